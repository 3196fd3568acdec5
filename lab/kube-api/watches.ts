import type { ServerResponse } from 'node:http';
import { apiVersionOf, type KubeObject, type Resource } from './objects.ts';
import type { Attributes } from './route.ts';
import { selectorOf } from './selectors.ts';
import type { Change, Store } from './store.ts';
import { tableOf } from './table.ts';

export interface WatchesOptions {
  /** How often a bookmark is sent to who wants some; kube-apiserver's is a minute. */
  readonly bookmarkMs: number;
}

/** The open watches of a server. */
export class Watches {
  /** With what sends a bookmark. */
  readonly #open = new Map<ServerResponse, () => void>();
  readonly #store: Store;
  readonly #options: WatchesOptions;

  constructor(store: Store, options: WatchesOptions) {
    this.#store = store;
    this.#options = options;
  }

  get count(): number {
    return this.#open.size;
  }

  /** Cuts all connections, as a load balancer does; with `half` in the middle of an event. */
  cut({ half = false } = {}): void {
    for (const response of this.#open.keys()) {
      if (half) response.write('{"type":"MODIFIED","object":{"kind":"Po', () => response.socket?.destroy());
      else response.socket?.destroy();
    }
  }

  /** Sends a bookmark to all who want some, before it is time. */
  bookmark(): void {
    for (const send of this.#open.values()) send();
  }

  /** Ends all watches in good order, as the server does when their time is over. */
  end(): void {
    for (const response of this.#open.keys()) response.end();
  }

  /** Answers a watch until it is over. */
  serve(asked: Attributes, response: ServerResponse, asTable: boolean): void {
    const { resource, namespace, query, name } = asked;
    const fits = selectorOf(resource, query);
    const isMeant = (object: KubeObject) =>
      (namespace === undefined || object.metadata.namespace === namespace) &&
      (name === undefined || object.metadata.name === name) &&
      fits(object);
    let described = false;
    const send = (type: string, object: KubeObject) => {
      const metadata = { resourceVersion: object.metadata.resourceVersion };
      const options = {
        include: query.get('includeObject'),
        nowMs: this.#store.nowMs(),
        metadata,
        withoutColumns: described,
      };
      described = true;
      write(response, type, asTable ? tableOf(resource, [object], options) : object);
    };
    response.writeHead(200, { 'content-type': 'application/json' });
    response.flushHeaders();
    const place = query.get('resourceVersion') ?? '';
    const missed = place === '' || place === '0' ? undefined : this.#store.since(resource, Number(place));
    if (missed === undefined && place !== '' && place !== '0') {
      const message = `too old resource version: ${place} (${this.#store.version})`;
      const status = { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, reason: 'Expired', code: 410 };
      response.end(`${JSON.stringify({ type: 'ERROR', object: status })}\n`);
      return;
    }
    const tell = (change: Change) => tellChange(change, isMeant, send);
    if (missed === undefined) {
      for (const object of this.#store.list(resource, namespace).filter(isMeant)) send('ADDED', object);
    } else missed.forEach(tell);
    this.#follow(asked, response, tell);
  }

  #follow({ resource, query }: Attributes, response: ServerResponse, tell: (change: Change) => void): void {
    const stop = this.#store.subscribe((change) => {
      if (change.resource.name === resource.name && change.resource.group === resource.group) tell(change);
    });
    const seconds = Number(query.get('timeoutSeconds') ?? 1_800);
    const end = setTimeout(() => response.end(), seconds * 1_000);
    const wantsBookmarks = query.get('allowWatchBookmarks') === 'true';
    const bookmark = () => {
      if (wantsBookmarks) write(response, 'BOOKMARK', bookmarkOf(resource, this.#store.version));
    };
    const bookmarks = setInterval(bookmark, this.#options.bookmarkMs);
    this.#open.set(response, bookmark);
    response.on('close', () => {
      stop();
      clearTimeout(end);
      clearInterval(bookmarks);
      this.#open.delete(response);
    });
  }
}

/** An object that comes to fit a selector is ADDED, one that does not fit any more is DELETED. */
function tellChange(
  { object, before, deleted }: Change,
  isMeant: (object: KubeObject) => boolean,
  send: (type: string, object: KubeObject) => void,
): void {
  const was = before !== undefined && isMeant(before);
  const is = !deleted && isMeant(object);
  if (is) send(was ? 'MODIFIED' : 'ADDED', object);
  else if (was) send('DELETED', object);
}

function bookmarkOf(resource: Resource, version: number): object {
  const metadata = { resourceVersion: String(version), creationTimestamp: null };
  return { kind: resource.kind, apiVersion: apiVersionOf(resource), metadata };
}

function write(response: ServerResponse, type: string, object: object): void {
  response.write(`${JSON.stringify({ type, object })}\n`);
}
