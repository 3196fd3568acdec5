import type { IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { KubeAccess } from './access.ts';
import { KubeFault, KubeStatus, translateKubeError } from './errors.ts';
import { type Answer, type KubeRequest, retryAfter, transportOf } from './transport.ts';

export interface AskerOptions {
  /** Deadline of one read, all pages of a list together, in milliseconds. */
  readonly timeoutMs: number;
  /** Deadline of one write. */
  readonly writeTimeoutMs: number;
  /** Largest answer (page), in bytes. */
  readonly maxBytes: number;
}

/** Sends a request and gives the JSON of the answer; throws what translateKubeError knows. */
export type Ask = (request: KubeRequest) => Promise<unknown>;

/** Requests to one server, with deadlines, another try where the server asks for it, and translated errors. */
export interface Asker {
  /** All requests that `work` makes, under the one deadline that fits `request`, which stands for them in errors. */
  within<T>(request: KubeRequest, signal: AbortSignal | undefined, work: (ask: Ask) => Promise<T>): Promise<T>;
  /** The beginning of an answer without an end. What it throws while it is read is for `translated`. */
  begin(request: KubeRequest, signal: AbortSignal): Promise<IncomingMessage>;
  translated(error: unknown, request: KubeRequest): SandwardenError;
  close(): void;
}

/** An Asker for `access`; it connects at the first request. */
export function askerOf(access: KubeAccess, { timeoutMs, writeTimeoutMs, maxBytes }: AskerOptions): Asker {
  const transport = transportOf(access);
  const limitOf = ({ method }: KubeRequest) => (method === 'GET' ? timeoutMs : writeTimeoutMs);
  const translated = (error: unknown, request: KubeRequest) => {
    return translateKubeError(error, { access, timeoutMs: limitOf(request), request });
  };
  return {
    translated,
    close: () => transport.close(),
    within: async (request, signal, work) => {
      const limitMs = limitOf(request);
      using deadline = deadlineOf(limitMs, signal);
      const ask: Ask = async (each) => {
        const options = { signal: deadline.signal, timeoutMs: limitMs, maxBytes };
        const send = () => transport.send(each, options);
        return parsed((await accepted(send, { access, method: each.method, deadline })).body);
      };
      try {
        signal?.throwIfAborted();
        return await work(ask);
      } catch (error) {
        throw translated(deadline.reasonOr(error), request);
      }
    },
    begin: async (request, signal) => {
      using deadline = deadlineOf(timeoutMs, signal);
      // The deadline is for the beginning; afterwards only `signal` ends the answer.
      const ending = new AbortController();
      const end = () => ending.abort(deadline.signal.reason);
      deadline.signal.addEventListener('abort', end, { once: true });
      try {
        signal.throwIfAborted();
        const response = await begun(
          () => transport.open(request, { signal: ending.signal, timeoutMs }),
          access,
          request,
        );
        deadline.signal.removeEventListener('abort', end);
        const forward = () => response.destroy();
        signal.addEventListener('abort', forward, { once: true });
        response.once('close', () => signal.removeEventListener('abort', forward));
        return response;
      } catch (error) {
        throw translated(deadline.reasonOr(error), request);
      }
    },
  };
}

interface Deadline extends Disposable {
  readonly signal: AbortSignal;
  readonly untilMs: number;
  /** Why it was ended, where it was, else `error`. */
  reasonOr(error: unknown): unknown;
}

/** A signal that is aborted by a deadline or by another signal. */
function deadlineOf(limitMs: number, other: AbortSignal | undefined): Deadline {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(new KubeFault('too-late')), limitMs);
  const forward = () => controller.abort(other?.reason);
  other?.addEventListener('abort', forward, { once: true });
  return {
    signal: controller.signal,
    untilMs: performance.now() + limitMs,
    reasonOr: (error) => {
      if (!controller.signal.aborted && !other?.aborted) return error;
      const { reason } = controller.signal;
      // Whoever ends a request by a signal may give any reason; only ours are told apart.
      return reason instanceof KubeFault ? reason : new DOMException('interrupted', 'AbortError');
    },
    [Symbol.dispose]: () => {
      clearTimeout(timer);
      other?.removeEventListener('abort', forward);
    },
  };
}

interface Again {
  readonly access: KubeAccess;
  readonly method: KubeRequest['method'];
  readonly deadline: Deadline;
}

/**
 * An answer of success. Asks again where the server says when to (429 was not looked at; a 5xx may have been half
 * done, so only reads are repeated), as client-go does, and once where there are other credentials than those refused.
 */
async function accepted(send: () => Promise<Answer>, { access, method, deadline }: Again): Promise<Answer> {
  let refused = false;
  for (let tries = 1; ; tries++) {
    const { status, body, retryAfterMs } = await send();
    if (status >= 200 && status < 300) return { status, body };
    const failure = new KubeStatus(status, body, retryAfterMs);
    if (status === 401 && !refused && access.source?.refused?.() === true) {
      refused = true;
      continue;
    }
    const isAskable = status === 429 || (status >= 500 && method === 'GET');
    if (!isAskable || retryAfterMs === undefined || tries >= limits.kubeTries) throw failure;
    if (performance.now() + retryAfterMs >= deadline.untilMs) throw failure;
    await sleep(retryAfterMs, undefined, { signal: deadline.signal });
  }
}

/** The answer that was asked for; asks once more where there are other credentials than those refused. */
async function begun(
  open: () => Promise<IncomingMessage>,
  { source }: KubeAccess,
  { upgrade }: KubeRequest,
): Promise<IncomingMessage> {
  for (let refused = false; ; refused = true) {
    const response = await open();
    if (response.statusCode === (upgrade === undefined ? 200 : 101)) return response;
    const refusal = await refusalOf(response);
    if (refusal.status !== 401 || refused || source?.refused?.() !== true) throw refusal;
  }
}

async function refusalOf(response: IncomingMessage): Promise<KubeStatus> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > limits.configBytes) break;
  }
  const text = Buffer.concat(chunks).toString('utf8');
  return new KubeStatus(response.statusCode ?? 0, text, retryAfter(response.headers['retry-after']));
}

/** The words of a SyntaxError quote the answer; they are not kept. */
export function parsed(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch (error) {
    if (error instanceof SyntaxError) throw new KubeFault('not-json');
    throw error;
  }
}
