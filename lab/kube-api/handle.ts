import type { IncomingMessage, ServerResponse } from 'node:http';
import { admitPod } from './admission.ts';
import { type KubeObject, Refusal, type Resource } from './objects.ts';
import { patched } from './patch.ts';
import { podOfProtobuf } from './protobuf.ts';
import type { Attributes } from './route.ts';
import { selectorOf } from './selectors.ts';
import type { DeleteHow, Store } from './store.ts';
import { listOf, tableOf, wantsTable } from './table.ts';
import type { Watches } from './watches.ts';

export interface Handling {
  readonly store: Store;
  readonly watches: Watches;
  readonly resource: (name: string) => Resource;
  readonly logOf?: (pod: KubeObject, query: URLSearchParams, signal: AbortSignal) => AsyncIterable<string>;
}

/** Answers one request about a resource. Throws a Refusal. */
export async function answerRequest(
  handling: Handling,
  asked: Attributes,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { verb, subresource } = asked;
  if (subresource === 'log') return sendLog(handling, asked, response);
  if (subresource !== undefined && subresource !== 'status' && subresource !== 'eviction') {
    throw new Refusal(404, 'NotFound', `this server does not do ${subresource}`);
  }
  if (verb === 'watch') {
    handling.watches.serve(asked, response, wantsTable(request.headers.accept));
    return;
  }
  if (verb === 'list') {
    send(response, 200, listed(handling.store, asked, wantsTable(request.headers.accept)));
    return;
  }
  const type = request.headers['content-type'] ?? '';
  const body = verb === 'get' ? undefined : parse(await bodyOf(request), type);
  const [code, object] = changed(handling, asked, body, type);
  const isTable = verb === 'get' && wantsTable(request.headers.accept);
  const options = { include: asked.query.get('includeObject'), nowMs: handling.store.nowMs(), metadata: {} };
  send(response, code, isTable ? tableOf(asked.resource, [object as KubeObject], options) : object);
}

function changed(handling: Handling, asked: Attributes, body: unknown, type: string): [number, object] {
  const { store } = handling;
  const { verb, resource, namespace, name = '', query, subresource } = asked;
  const isDry = query.get('dryRun') === 'All';
  switch (verb) {
    case 'create':
      if (subresource === 'eviction') {
        store.delete(resource, namespace, name, (body as { deleteOptions?: DeleteHow }).deleteOptions ?? {});
        return [201, { kind: 'Status', apiVersion: 'v1', status: 'Success' }];
      }
      admit(handling, asked, body as object);
      return [201, isDry ? (body as object) : store.create(resource, namespace, body as object)];
    case 'update':
      return [200, store.update(resource, namespace, name, body as object)];
    case 'patch': {
      const before = store.find(resource, namespace, name);
      if (before === undefined && type.startsWith('application/apply-patch')) {
        return [201, store.create(resource, namespace, body as object)];
      }
      const object = patched(before ?? store.get(resource, namespace, name), type, body);
      return [200, isDry ? object : store.update(resource, namespace, name, object)];
    }
    case 'delete':
      return deleted(store, asked, (body ?? {}) as DeleteHow);
    default:
      return [200, store.get(resource, namespace, name)];
  }
}

function deleted(store: Store, { resource, namespace, name, query }: Attributes, how: DeleteHow): [number, object] {
  const given = query.get('gracePeriodSeconds');
  const asked = { ...how, ...(given === null ? {} : { gracePeriodSeconds: Number(given) }) };
  if (name === undefined) {
    const fits = selectorOf(resource, query);
    const all = store.list(resource, namespace).filter(fits);
    for (const { metadata } of all) store.delete(resource, metadata.namespace, metadata.name, asked);
    return [200, listOf(resource, all, { resourceVersion: String(store.version) })];
  }
  const { object, gone } = store.delete(resource, namespace, name, asked);
  // The registry gives the object where it goes on being there, and for pods always.
  if (!gone || resource.name === 'pods') return [200, object];
  const details = { name, kind: resource.name, uid: object.metadata.uid };
  return [200, { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details }];
}

function admit({ store, resource }: Handling, asked: Attributes, object: object): void {
  if (!asked.resource.namespaced || asked.namespace === undefined) return;
  const namespace = store.get(resource('namespaces'), undefined, asked.namespace);
  if (asked.resource.name === 'pods') admitPod(object, namespace);
}

/**
 * One page of a list. All pages show the state of the first one; its version is in the token, and a state that is
 * forgotten is 410. Source: apiserver pkg/storage/etcd3/store.go, storage/continue.go.
 */
function listed(store: Store, { resource, namespace, query }: Attributes, asTable: boolean): object {
  const token = tokenOf(query.get('continue'));
  const version = token?.version ?? store.version;
  const state = stateAt(store, resource, version);
  if (state === undefined) {
    const why = 'The provided continue parameter is too old to display a consistent list result.';
    throw new Refusal(410, 'Expired', why);
  }
  const fits = selectorOf(resource, query);
  const all = state.filter((each) => (namespace === undefined || each.metadata.namespace === namespace) && fits(each));
  const from = token === undefined ? 0 : token.from;
  const to = from + Number(query.get('limit') || all.length);
  const more = to < all.length;
  const metadata = {
    resourceVersion: String(version),
    ...(more ? { continue: Buffer.from(JSON.stringify({ version, from: to })).toString('base64url') } : {}),
    ...(more ? { remainingItemCount: all.length - to } : {}),
  };
  const items = all.slice(from, to);
  const options = { include: query.get('includeObject'), nowMs: store.nowMs(), metadata };
  // Objects in a list have no kind of their own.
  if (asTable) return tableOf(resource, items, options);
  return listOf(
    resource,
    items.map(({ kind, apiVersion, ...rest }) => rest as unknown as KubeObject),
    metadata,
  );
}

/** The objects of a resource as they were at `version`: those of now, with the changes since taken back. */
function stateAt(store: Store, resource: Resource, version: number): KubeObject[] | undefined {
  const now = store.list(resource);
  if (version === store.version) return now;
  const changes = store.since(resource, version);
  if (changes === undefined) return undefined;
  const keyOf = ({ metadata }: KubeObject) => `${metadata.namespace ?? ''}/${metadata.name}`;
  const objects = new Map(now.map((each) => [keyOf(each), each]));
  for (const { object, before } of changes.toReversed()) {
    if (before === undefined) objects.delete(keyOf(object));
    else objects.set(keyOf(before), before);
  }
  return [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, each]) => each);
}

function tokenOf(text: string | null): { version: number; from: number } | undefined {
  if (text === null || text === '') return undefined;
  return JSON.parse(Buffer.from(text, 'base64url').toString('utf8')) as { version: number; from: number };
}

async function sendLog({ store, logOf }: Handling, asked: Attributes, response: ServerResponse): Promise<void> {
  const pod = store.get(asked.resource, asked.namespace, asked.name ?? '');
  const over = new AbortController();
  response.on('close', () => over.abort());
  response.writeHead(200, { 'content-type': 'text/plain' });
  response.flushHeaders();
  try {
    for await (const text of logOf?.(pod, asked.query, over.signal) ?? []) response.write(text);
    response.end();
  } catch (error) {
    // A log that is cut: its reader sees a connection that ended in the middle.
    response.destroy(error instanceof Error ? error : undefined);
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function parse(body: Buffer, type: string): unknown {
  if (body.length === 0) return undefined;
  if (type === 'application/vnd.kubernetes.protobuf') return podOfProtobuf(body);
  try {
    return JSON.parse(body.toString('utf8'));
  } catch (error) {
    if (error instanceof SyntaxError) throw new Refusal(400, 'BadRequest', 'the body is no JSON');
    throw error;
  }
}

function send(response: ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
