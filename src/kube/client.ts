import { limits } from '../model/limits.ts';
import type { KubeAccess } from './access.ts';
import { type AskerOptions, askerOf } from './asker.ts';
import { upgradeHeaders, writeStdin } from './attach.ts';
import { KubeFault } from './errors.ts';
import { type ListOptions, listWhole } from './list.ts';
import type { KubeRequest } from './transport.ts';
import { type KubeChange, type WatchOptions, watching } from './watch.ts';

export type { ListOptions } from './list.ts';
export type KubeClientOptions = Partial<AskerOptions>;

/** What reads one API server. Its errors are translated in errors.ts; it throws nothing else. */
export interface KubeReader {
  /** The JSON at `path` (with its query). */
  get(path: string, signal?: AbortSignal): Promise<unknown>;
  /**
   * A whole list, page by page. Where the pages expire between two requests (410), it begins again once: what it
   * gives is one state of the cluster, never a mixture.
   */
  list<T>(path: string, options: ListOptions<T>): Promise<T[]>;
  /** What is there, and then each change of it, until `signal` is aborted; see watch.ts. */
  watch<T>(path: string, options: WatchOptions<T>): AsyncGenerator<KubeChange<T>, void>;
  /** The bytes of an answer without an end, such as a log that is followed. `signal` ends it quietly. */
  stream(path: string, signal: AbortSignal): AsyncGenerator<Buffer, void>;
  close(): void;
}

/** What reads and writes. A write is sent again only where the server said that it has not looked at it (429). */
export interface KubeClient extends KubeReader {
  /** POST to a collection (or to a subresource such as `…/eviction`); the object as the server made it. */
  create(path: string, object: object, signal?: AbortSignal): Promise<unknown>;
  /** The object as it is afterwards. A `resourceVersion` in the patch's metadata makes it conditional (409). */
  patch(path: string, patch: object, options?: PatchOptions): Promise<unknown>;
  /** What is attached to the stdin of a container at `path` (`…/pods/NAME/attach?container=…&stdin=true`). */
  attach(path: string, signal: AbortSignal): Promise<Stdin>;
  /**
   * Deletes the object at `path`. ERR_KUBE_NOT_FOUND where it is gone already, ERR_KUBE_CONFLICT where it is not the
   * one of the preconditions: then nothing was deleted. Resolves when the API has taken note; finalizers and the grace
   * period may keep the object there for a while.
   */
  delete(path: string, options?: DeleteOptions): Promise<void>;
}

/** The stdin of a container; disposing of it closes the connection, and what was not taken yet may be lost. */
export interface Stdin extends Disposable {
  write(bytes: Buffer): Promise<void>;
}

export interface PatchOptions {
  /** `merge` (RFC 7396) where absent; `apply` is server-side apply. Both under the name `sandwarden`. */
  readonly type?: 'merge' | 'apply';
  /** With `apply`: takes fields over from others. */
  readonly force?: boolean;
  readonly signal?: AbortSignal;
}

export interface DeleteOptions {
  readonly preconditions?: { readonly uid?: string; readonly resourceVersion?: string };
  /** The object's own where absent; 0 is "at once", which for a pod means that nobody waits for its processes. */
  readonly gracePeriodSeconds?: number;
  readonly signal?: AbortSignal;
}

/** A client for `access`. It connects at the first request. */
export function connectKube(access: KubeAccess, options: KubeClientOptions = {}): KubeClient {
  const { timeoutMs = limits.kubeRequestTimeoutMs, maxBytes = limits.kubeResponseBytes } = options;
  const { writeTimeoutMs = limits.kubeWriteTimeoutMs } = options;
  const asker = askerOf(access, { timeoutMs, maxBytes, writeTimeoutMs });
  const once = (request: KubeRequest, signal?: AbortSignal) => asker.within(request, signal, (ask) => ask(request));
  return {
    get: (path, signal) => once({ method: 'GET', target: path }, signal),
    list: async (path, { signal, ...what }) => {
      const request = { method: 'GET', target: path } as const;
      return (await asker.within(request, signal, (ask) => listWhole(path, what, ask))).items;
    },
    watch: (path, what) => watching(asker, path, what),
    stream: async function* (path, signal) {
      const request = { method: 'GET', target: path, accept: '*/*' } as const;
      try {
        yield* (await asker.begin(request, signal)) as AsyncIterable<Buffer>;
      } catch (error) {
        if (!signal.aborted) throw asker.translated(error, request);
      }
    },
    attach: async (path, signal) => {
      const { headers, accept } = upgradeHeaders();
      // What goes over the connection has no media type: kubelet, whose route of attach produces none, refuses a named
      // one with 406 (pkg/kubelet/server/server.go InstallDebuggingHandlers; go-restful Route.matchesAccept).
      const request = { method: 'GET', target: path, accept: '*/*', upgrade: headers } as const;
      const response = await asker.begin(request, signal);
      const { socket } = response;
      if (response.headers['sec-websocket-accept'] !== accept) {
        socket.destroy();
        throw asker.translated(new KubeFault('no-websocket'), request);
      }
      return {
        write: async (bytes) => {
          try {
            await writeStdin(socket, bytes, signal);
          } catch (error) {
            throw asker.translated(signal.aborted ? new DOMException('interrupted', 'AbortError') : error, request);
          }
        },
        [Symbol.dispose]: () => void socket.destroy(),
      };
    },
    create: (path, object, signal) =>
      once({ method: 'POST', target: path, body: bodyOf('application/json', object) }, signal),
    patch: (path, patch, { type = 'merge', force = false, signal } = {}) => {
      const query = new URLSearchParams({
        fieldManager: 'sandwarden',
        ...(type === 'apply' && force ? { force: 'true' } : {}),
      });
      // JSON is YAML too.
      const body = bodyOf(type === 'apply' ? 'application/apply-patch+yaml' : 'application/merge-patch+json', patch);
      return once({ method: 'PATCH', target: `${path}?${query}`, body }, signal);
    },
    delete: async (path, { signal, ...how } = {}) => {
      const body = bodyOf('application/json', { kind: 'DeleteOptions', apiVersion: 'v1', ...how });
      await once({ method: 'DELETE', target: path, body }, signal);
    },
    close: () => asker.close(),
  };
}

function bodyOf(type: string, object: object): { type: string; text: string } {
  return { type, text: JSON.stringify(object) };
}
