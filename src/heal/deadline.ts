import type { Clock } from '../model/clock.ts';
import { type ErrorCode, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';

export interface Deadline {
  readonly clock: Clock;
  readonly ms: number;
  /** What is waited for, in plain words: `StopPodSandbox of default/web/0`. */
  readonly doing: string;
  /** Once it is aborted, the call is waited for no longer than `limits.interruptGraceMs`. */
  readonly signal?: AbortSignal;
  /** What it is called when it is late; ERR_SOCKET_HUNG where nothing else is said. */
  readonly code?: ErrorCode;
  readonly hint?: string;
}

/**
 * The answer of `call`, or `code` after its deadline, or ERR_INTERRUPTED when it is still under way
 * a while after Ctrl-C. What the call does after that is not waited for.
 */
export async function within<T>(deadline: Deadline, call: () => Promise<T>): Promise<T> {
  const { clock, ms, doing, signal } = deadline;
  const settled = new AbortController();
  const late = clock.sleep(ms, settled.signal).then(() => {
    throw new SandwardenError(deadline.code ?? 'ERR_SOCKET_HUNG', `${doing} did not end within ${ms / 1_000} s`, {
      hint: deadline.hint ?? 'it may still be under way; look with `sandwarden check` at what it waits for',
    });
  });
  const races: Promise<T>[] = [Promise.resolve().then(call), late];
  if (signal) races.push(interrupted(clock, signal, settled.signal, doing));
  try {
    return await Promise.race(races);
  } finally {
    settled.abort(over);
  }
}

/** Why what watches over a call is let go. One for all: an error with its stack for each call costs as much as it. */
const over = new Error('the call has ended');

async function interrupted(clock: Clock, signal: AbortSignal, settled: AbortSignal, doing: string): Promise<never> {
  await aborted(signal, settled);
  await clock.sleep(limits.interruptGraceMs, settled);
  throw new SandwardenError('ERR_INTERRUPTED', `interrupted while ${doing} was under way`, {
    hint: 'it may still end in the runtime; the next `sandwarden heal` looks whether it did',
  });
}

/** Resolves when `signal` is aborted; rejects when `settled` is. */
function aborted(signal: AbortSignal, settled: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => resolve(), { once: true, signal: settled });
    settled.addEventListener('abort', () => reject(settled.reason), { once: true });
  });
}
