import { limits } from '../../model/limits.ts';
import type { Run } from '../child.ts';
import { systemClock } from '../clock.ts';
import type { KubeAccess } from './access.ts';
import { KubeFault, KubeStatus, translateKubeError } from './errors.ts';
import { agentOf, send } from './request.ts';

export interface KubeClientOptions {
  /** Deadline of one `get`, or of all pages of one `list`, in milliseconds. */
  readonly timeoutMs?: number;
  /** Largest answer (page), in bytes. */
  readonly maxBytes?: number;
  /** How getent is run; the port that tests replace. */
  readonly run?: Run;
}

export interface ListOptions<T> {
  /** The kind that the server must answer with, e.g. `PodList`. */
  readonly kind: string;
  /** What is kept of a page; the page itself is let go. */
  readonly itemsOf: (page: unknown) => readonly T[];
  readonly query?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

/** A client of one API server that only reads. Its errors are translated in errors.ts; it throws nothing else. */
export interface KubeClient {
  /** The JSON at `path` (with its query). */
  get(path: string, signal?: AbortSignal): Promise<unknown>;
  /**
   * A whole list, page by page. Where the pages expire between two requests (410), it begins again once: what it
   * gives is one state of the cluster, never a mixture.
   */
  list<T>(path: string, options: ListOptions<T>): Promise<T[]>;
  close(): void;
}

/** A client for `access`. It connects at the first request. */
export function connectKube(access: KubeAccess, options: KubeClientOptions = {}): KubeClient {
  const { timeoutMs = limits.kubeRequestTimeoutMs, maxBytes = limits.kubeResponseBytes } = options;
  const agent = agentOf(access);

  async function within<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(new KubeFault('too-late')), timeoutMs);
    const forward = () => deadline.abort(signal?.reason);
    signal?.addEventListener('abort', forward, { once: true });
    try {
      signal?.throwIfAborted();
      return await work(deadline.signal);
    } catch (error) {
      const reason = deadline.signal.aborted || signal?.aborted ? interruption(deadline.signal.reason) : error;
      throw translateKubeError(reason, { access, timeoutMs, wallNs: systemClock().wallNs() });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', forward);
    }
  }

  async function read(path: string, signal: AbortSignal): Promise<unknown> {
    const { run } = options;
    const answer = await send(access, agent, path, { signal, timeoutMs, maxBytes, ...(run ? { run } : {}) });
    if (answer.status !== 200) throw new KubeStatus(answer.status, answer.body);
    return parsed(answer.body);
  }

  return {
    get: (path, signal) => within(signal, (ending) => read(path, ending)),
    list: (path, { signal, ...what }) =>
      within(signal, async (ending) => {
        try {
          return await pages(path, what, (target) => read(target, ending));
        } catch (error) {
          if (!(error instanceof KubeStatus) || error.status !== 410) throw error;
          return await pages(path, what, (target) => read(target, ending));
        }
      }),
    close: () => agent.destroy(),
  };
}

/** Whoever ends a request by a signal may give any reason; only ours are told apart. */
function interruption(reason: unknown): unknown {
  return reason instanceof KubeFault ? reason : new DOMException('interrupted', 'AbortError');
}

async function pages<T>(
  path: string,
  { kind, itemsOf, query = {} }: ListOptions<T>,
  read: (target: string) => Promise<unknown>,
): Promise<T[]> {
  const items: T[] = [];
  let next: string | undefined;
  for (let page = 0; page < limits.kubeListPages; page++) {
    const asked = { ...query, limit: String(limits.kubePageItems), ...(next === undefined ? {} : { continue: next }) };
    const answer = await read(`${path}?${new URLSearchParams(asked)}`);
    if (!isListOf(kind, answer)) throw new KubeFault('not-a-list');
    for (const item of itemsOf(answer)) items.push(item);
    next = continuationOf(answer);
    if (next === undefined) return items;
  }
  throw new KubeFault('too-many-pages');
}

function isListOf(kind: string, answer: unknown): answer is object {
  if (typeof answer !== 'object' || answer === null) return false;
  // An answer without items is no empty list: nothing may be concluded from it.
  return 'kind' in answer && answer.kind === kind && 'items' in answer && Array.isArray(answer.items);
}

function continuationOf(list: object): string | undefined {
  const metadata = 'metadata' in list ? list.metadata : undefined;
  if (typeof metadata !== 'object' || metadata === null || !('continue' in metadata)) return undefined;
  return typeof metadata.continue === 'string' && metadata.continue !== '' ? metadata.continue : undefined;
}

/** The words of a SyntaxError quote the answer; they are not kept. */
function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    if (error instanceof SyntaxError) throw new KubeFault('not-json');
    throw error;
  }
}
