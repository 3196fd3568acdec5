import type { ErrorCode } from './errors.ts';

/**
 * What a source answered: a value and when it was read, or why it could not.
 * Unknown is never healthy and never a reason to act.
 */
export type Observed<T> = Known<T> | Unknown;

export interface Known<T> {
  readonly known: true;
  readonly value: T;
}

export interface Unknown {
  readonly known: false;
  /** A stable code, for scripts. `ERR_NOT_ASKED`: nobody looked, by choice. */
  readonly code: ErrorCode | 'ERR_NOT_ASKED';
  /** What is wrong, in plain words. */
  readonly message: string;
  /** What to do to make it known. Empty when there is nothing to do. */
  readonly hint: string;
}

/** A value that a source gave. */
export function known<T>(value: T): Known<T> {
  return { known: true, value };
}

/** Why a source gave none: a code, plain words, and what to do about it. */
export function unknown(code: Unknown['code'], message: string, hint = ''): Unknown {
  return { known: false, code, message, hint };
}

/** The value, or `fallback` where the source could not answer. */
export function valueOr<T, F>(observed: Observed<T>, fallback: F): T | F {
  return observed.known ? observed.value : fallback;
}
