import { setTimeout as timer } from 'node:timers/promises';
import { isSandwardenError, type SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { type Asker, parsed } from './asker.ts';
import { KubeFault, KubeStatus } from './errors.ts';
import { type ListOptions, listWhole, metadataOf } from './list.ts';
import type { KubeRequest } from './transport.ts';

/** What a watch tells. After `listed` nothing of before counts; after `interrupted` changes come late, none is lost. */
export type KubeChange<T> =
  | { readonly type: 'listed'; readonly items: readonly T[] }
  | { readonly type: 'added' | 'modified' | 'deleted'; readonly item: T }
  | { readonly type: 'interrupted'; readonly why: SandwardenError; readonly againAfterMs: number };

export interface WatchOptions<T> extends Omit<ListOptions<T>, 'signal' | 'accept'> {
  /** Ends the watch, quietly. */
  readonly signal: AbortSignal;
  /** How it waits, and a number from 0 to 1 that spreads the waiting; ports that tests replace. */
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly random?: () => number;
}

/**
 * Lists, then watches from there: bookmarks keep the place, a watch that ended is resumed from it, and only where the
 * server has forgotten that place (410) the list is read again. Holds one event at a time; who reads slowly slows the
 * server down. Throws what waiting does not mend: ERR_FORBIDDEN, ERR_KUBE_NOT_FOUND, ERR_CONFIG, a list too long.
 * Source: client-go tools/cache/reflector.go.
 */
export async function* watching<T>(
  asker: Asker,
  path: string,
  options: WatchOptions<T>,
): AsyncGenerator<KubeChange<T>, void> {
  const { signal, sleep = (ms, ending) => timer(ms, undefined, { signal: ending }), random = Math.random } = options;
  const { kind, itemsOf, query = {}, pageItems } = options;
  const what: ListOptions<T> = { kind, itemsOf, query, ...(pageItems === undefined ? {} : { pageItems }) };
  let place: string | undefined;
  let failures = 0;
  // When the list was read, and how often in a row the place that it gave was forgotten soon.
  let [listedMs, forgotten] = [0, 0];
  while (!signal.aborted) {
    try {
      if (place === undefined) {
        const list = { method: 'GET', target: path } as const;
        listedMs = performance.now();
        const { items, resourceVersion } = await asker.within(list, signal, (ask) => listWhole(path, what, ask));
        place = resourceVersion ?? '0';
        yield { type: 'listed', items };
      }
      const startedMs = performance.now();
      for await (const event of eventsOf(asker, targetOf(path, query, place, random()), signal)) {
        // One that tells something at once and ends, again and again, must not become a loop.
        if (lasts(startedMs)) failures = 0;
        place = metadataOf(event.object, 'resourceVersion') ?? place;
        if (event.type === 'BOOKMARK') continue;
        for (const item of itemsOf({ items: [event.object] })) yield { type: changes[event.type], item };
      }
      failures = lasts(startedMs) ? 0 : failures + 1;
      if (failures > 1) await sleep(delayMs(failures, random()), signal);
    } catch (error) {
      if (signal.aborted) return;
      if (isForgotten(error)) {
        place = undefined;
        forgotten = performance.now() - listedMs > limits.kubeWatchBackOffMaxMs ? 1 : forgotten + 1;
        if (forgotten === 1) continue;
        failures = Math.max(failures + 1, forgotten - 1);
      } else if (!isPassing(error)) throw error;
      else failures++;
      const againAfterMs = Math.max(delayMs(failures, random()), retryAfterOf(error));
      yield { type: 'interrupted', why: asker.translated(error, { method: 'GET', target: path }), againAfterMs };
      if (signal.aborted) return;
      await sleep(againAfterMs, signal).catch((reason: unknown) => {
        if (!signal.aborted) throw reason;
      });
    }
  }
}

/** Whether a watch has gone on for longer than one that fails. */
function lasts(startedMs: number): boolean {
  return performance.now() - startedMs > limits.kubeWatchBackOffMs;
}

const changes = { ADDED: 'added', MODIFIED: 'modified', DELETED: 'deleted' } as const;

interface WatchEvent {
  readonly type: keyof typeof changes | 'BOOKMARK';
  readonly object: object;
}

function targetOf(path: string, query: Readonly<Record<string, string>>, place: string, random: number): string {
  const timeoutSeconds = String(Math.round((limits.kubeWatchMs * (1 + random)) / 1_000));
  const asked = { ...query, watch: 'true', allowWatchBookmarks: 'true', resourceVersion: place, timeoutSeconds };
  return `${path}?${new URLSearchParams(asked)}`;
}

/** The events of one watch until the server ends it. Throws translated errors. */
async function* eventsOf(asker: Asker, target: string, signal: AbortSignal): AsyncGenerator<WatchEvent, void> {
  const request: KubeRequest = { method: 'GET', target };
  const gone = AbortSignal.timeout(2 * limits.kubeWatchMs + limits.kubeWatchSlackMs);
  const either = AbortSignal.any([signal, gone]);
  try {
    const response = await asker.begin(request, either);
    try {
      for await (const line of linesOf(response as AsyncIterable<Buffer>)) yield eventOf(line);
    } finally {
      response.destroy();
    }
  } catch (error) {
    throw asker.translated(gone.aborted && !signal.aborted ? new KubeFault('too-late') : error, request);
  }
}

/** An event; ERROR is thrown as the status that it holds. */
function eventOf(line: string): WatchEvent {
  const event = parsed(line);
  if (typeof event !== 'object' || event === null || !('type' in event) || !('object' in event)) {
    throw new KubeFault('not-an-event');
  }
  const { type, object } = event;
  if (typeof object !== 'object' || object === null) throw new KubeFault('not-an-event');
  if (type === 'ERROR') {
    const code = 'code' in object && typeof object.code === 'number' ? object.code : 500;
    throw new KubeStatus(code, JSON.stringify(object));
  }
  if (type !== 'ADDED' && type !== 'MODIFIED' && type !== 'DELETED' && type !== 'BOOKMARK') {
    throw new KubeFault('not-an-event');
  }
  return { type, object };
}

/** What stands after the last line end is half an event: the connection was cut, and it comes again. */
async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string, void> {
  let [parts, bytes]: [Buffer[], number] = [[], 0];
  for await (const chunk of chunks) {
    let from = 0;
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      const line = Buffer.concat([...parts, chunk.subarray(from, end)]).toString('utf8');
      [parts, bytes, from] = [[], 0, end + 1];
      if (line !== '') yield line;
    }
    parts.push(chunk.subarray(from));
    bytes += chunk.length - from;
    if (bytes > limits.kubeWatchEventBytes) throw new KubeFault('too-large');
  }
}

function delayMs(failures: number, random: number): number {
  const grown = limits.kubeWatchBackOffMs * 2 ** Math.min(failures - 1, 10);
  return Math.round(Math.min(grown, limits.kubeWatchBackOffMaxMs) * (0.5 + random));
}

function isForgotten(error: unknown): boolean {
  return statusOf(error)?.status === 410;
}

/** What may be over at the next try: nobody answers, too busy, broken, or half an answer. */
function isPassing(error: unknown): boolean {
  if (!isSandwardenError(error)) return false;
  const status = statusOf(error)?.status;
  if (status !== undefined) return status === 429 || status >= 500;
  return error.code === 'ERR_KUBE_UNREACHABLE' || error.code === 'ERR_KUBE_FAILED';
}

function retryAfterOf(error: unknown): number {
  return statusOf(error)?.retryAfterMs ?? 0;
}

function statusOf(error: unknown): KubeStatus | undefined {
  return isSandwardenError(error) && error.cause instanceof KubeStatus ? error.cause : undefined;
}
