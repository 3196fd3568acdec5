/**
 * A Kubernetes API server for tests and demonstrations: no mirror of our own client, but held to what the real kubectl
 * takes (test/kube/kubectl.test.ts). It stores, lists by pages, watches, patches and deletes; it schedules and runs
 * nothing, and has no admission but Pod Security's.
 */
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { serveStdin } from './attach.ts';
import { discovery } from './discovery.ts';
import { answerRequest, type Handling } from './handle.ts';
import { type KubeObject, Refusal, type Resource } from './objects.ts';
import { applications, builtIn } from './resources.ts';
import { type Attributes, attributesOf, permission } from './route.ts';
import { Store, type StoreOptions } from './store.ts';
import { Watches } from './watches.ts';

export interface KubeServerOptions extends StoreOptions {
  /** With it https is spoken. */
  readonly tls?: https.ServerOptions;
  readonly resources?: readonly Resource[];
  /** Who is let in; everybody where absent (401). */
  readonly authenticates?: (request: http.IncomingMessage) => boolean;
  /** What is allowed; everything where absent (403). */
  readonly allows?: (asked: Attributes) => boolean;
  /** Does something else than answering; true: it has answered, or will not. */
  readonly fault?: (asked: Attributes, response: http.ServerResponse, request: http.IncomingMessage) => boolean;
  /** Answers only then: a server that is slow and alive. */
  readonly delay?: (asked: Attributes) => Promise<void>;
  readonly bookmarkMs?: number;
  /** What is written to a pod's stdin. */
  readonly onStdin?: (pod: KubeObject, bytes: Buffer) => void;
  /** The log of a pod. `signal` is aborted when nobody follows it any more. */
  readonly logOf?: Handling['logOf'];
}

export interface KubeServer extends AsyncDisposable {
  readonly url: string;
  readonly store: Store;
  readonly watches: Watches;
  /** What was asked about resources, oldest first. */
  readonly asked: readonly Attributes[];
  /** What a role would have had to allow for all that, sorted. */
  permissions(): string[];
  /** Puts an object there; its kind says which resource it is of. */
  add(object: object): KubeObject;
  resource(name: string): Resource;
}

/** A server on a free port of 127.0.0.1, with the namespaces default, kube-system and kube-node-lease. */
export async function kubeServer(options: KubeServerOptions = {}): Promise<KubeServer> {
  const { resources = [...builtIn, applications], tls, bookmarkMs = 60_000 } = options;
  const store = new Store(options);
  const watches = new Watches(store, { bookmarkMs });
  const asked: Attributes[] = [];
  const resource = (name: string): Resource => {
    const found = resources.find((each) => each.name === name);
    if (found === undefined) throw new Error(`the server has no resource ${name}`);
    return found;
  };
  const handling: Handling = { store, watches, resource, ...(options.logOf ? { logOf: options.logOf } : {}) };

  const listener: http.RequestListener = (request, response) => {
    const url = new URL(request.url ?? '/', 'http://api');
    const about = request.method === 'GET' ? discovery(url.pathname, resources) : undefined;
    const attributes = about ? undefined : attributesOf(request.method ?? 'GET', url, resources);
    if (attributes) asked.push(attributes);
    if (options.authenticates?.(request) === false)
      return refuse(response, new Refusal(401, 'Unauthorized', 'Unauthorized'));
    if (about) return json(response, 200, about);
    if (attributes === undefined) return void response.writeHead(404).end('404 page not found\n');
    if (options.fault?.(attributes, response, request)) return;
    if (options.allows?.(attributes) === false) return refuse(response, forbidden(attributes));
    const answer = async () => {
      await options.delay?.(attributes);
      await answerRequest(handling, attributes, request, response);
    };
    answer().catch((error: unknown) => {
      if (error instanceof Refusal) return refuse(response, error);
      // A bug of this server's: whoever asked must not wait for an answer.
      response.destroy(error instanceof Error ? error : undefined);
      throw error;
    });
  };
  const server = tls ? https.createServer(tls, listener) : http.createServer(listener);
  server.on('upgrade', (request, socket) => {
    const attributes = attributesOf('GET', new URL(request.url ?? '/', 'http://api'), resources);
    if (attributes) asked.push(attributes);
    const pod = attributes && store.find(attributes.resource, attributes.namespace, attributes.name ?? '');
    const isAllowed =
      attributes && options.allows?.(attributes) !== false && options.authenticates?.(request) !== false;
    if (attributes?.subresource !== 'attach' || !isAllowed || pod === undefined || options.onStdin === undefined) {
      return void socket.end(`HTTP/1.1 ${isAllowed ? 404 : 403} No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n`);
    }
    const { onStdin } = options;
    serveStdin(request, socket, (bytes) => onStdin(pod, bytes));
  });
  const closeAll = closerOf(server);
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const add = (object: object) => addTo(store, resources, object);
  for (const name of ['default', 'kube-system', 'kube-node-lease']) {
    add({ apiVersion: 'v1', kind: 'Namespace', metadata: { name }, status: { phase: 'Active' } });
  }
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`,
    store,
    watches,
    asked,
    permissions: () => [...new Set(asked.map(permission))].sort(),
    add,
    resource,
    [Symbol.asyncDispose]: closeAll,
  };
}

function addTo(store: Store, resources: readonly Resource[], object: object): KubeObject {
  const { kind, metadata } = object as Partial<KubeObject>;
  const resource = resources.find((each) => each.kind === kind);
  if (resource === undefined) throw new Error(`the server has no resource of kind ${kind}`);
  return store.create(resource, resource.namespaced ? (metadata?.namespace ?? 'default') : undefined, object);
}

function closerOf(server: http.Server | https.Server): () => Promise<void> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  });
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  return async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
}

function forbidden({ verb, resource, subresource, namespace, name = '' }: Attributes): Refusal {
  const what = subresource === undefined ? resource.name : `${resource.name}/${subresource}`;
  const where = namespace === undefined ? 'at the cluster scope' : `in the namespace "${namespace}"`;
  const group = `in API group "${resource.group}" ${where}`;
  const why = `User "tester" cannot ${verb} resource "${what}" ${group}`;
  const subject = name === '' ? what : `${what} "${name}"`;
  return new Refusal(403, 'Forbidden', `${subject} is forbidden: ${why}`, { name, kind: resource.name });
}

function refuse(response: http.ServerResponse, refusal: Refusal): void {
  if (response.headersSent) response.destroy();
  else json(response, refusal.code, refusal.status());
}

function json(response: http.ServerResponse, code: number, body: object): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
