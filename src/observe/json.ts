import { momentOfText } from './kubelet-log.ts';

/** The member of an object of others; undefined where it is none or has none. */
export function member(of: unknown, key: string): unknown {
  return typeof of === 'object' && of !== null ? (of as Readonly<Record<string, unknown>>)[key] : undefined;
}

/** The member at the end of a path of names. */
export function at(of: unknown, ...path: readonly string[]): unknown {
  return path.reduce(member, of);
}

/** A text, shortened; undefined where it is none. */
export function textOf(value: unknown, length = 300): string | undefined {
  return typeof value === 'string' ? value.slice(0, length) : undefined;
}

/** A list; empty where it is none. */
export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

/** A count; 0 where it is none. */
export function countOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : 0;
}

/** A date as the API writes one (RFC 3339), nanoseconds since 1970; undefined where it is none. */
export function dateOf(value: unknown): bigint | undefined {
  return momentOfText(textOf(value) ?? '')?.wallNs;
}
