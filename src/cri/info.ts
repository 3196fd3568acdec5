import { limits } from '../model/limits.ts';

export type RecordOf<T> = Readonly<Record<string, T>>;

/**
 * The runtime's verbose JSON of a status: under `info` in containerd and CRI-O.
 * Undefined where there is none, it is too long or no JSON object: a runtime owes nobody that text.
 */
export function parseInfo(info: RecordOf<string>, key = 'info'): RecordOf<unknown> | undefined {
  const json = info[key];
  return json === undefined ? undefined : parseObject(json);
}

/** A JSON object, or undefined. */
export function parseObject(json: string): RecordOf<unknown> | undefined {
  if (json.length > limits.criMessageBytes) return undefined;
  try {
    const value: unknown = JSON.parse(json);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as RecordOf<unknown>)
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

/** The member as an object, or undefined where it is none. */
export function record(from: RecordOf<unknown> | undefined, key: string): RecordOf<unknown> | undefined {
  const value = from?.[key];
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as RecordOf<unknown>)
    : undefined;
}

/** The member as a text, or undefined where it is none. */
export function text(from: RecordOf<unknown> | undefined, key: string): string | undefined {
  const value = from?.[key];
  return typeof value === 'string' ? value : undefined;
}

/** The member as a whole number ≥ 0, or undefined where it is none. */
export function number(from: RecordOf<unknown>, key: string): number | undefined {
  const value = from[key];
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

/** The member as a truth value, or undefined where it is none. */
export function bool(from: RecordOf<unknown>, key: string): boolean | undefined {
  const value = from[key];
  return typeof value === 'boolean' ? value : undefined;
}
