/** A line of the journal that says something else than Sandwarden writes. Only the reader of lines sees it. */
export class Malformed extends Error {
  override readonly name = 'Malformed';
}

/** A JSON object. */
export function asObject(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Malformed(`${field} is no object`);
  return value as Record<string, unknown>;
}

/** A text, of any length. */
export function asText(value: unknown, field: string): string {
  if (typeof value !== 'string') throw new Malformed(`${field} is no text`);
  return value;
}

/** A whole number from 0 that a double holds exactly. */
export function asCount(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw new Malformed(`${field} is no count`);
  }
  return value;
}

/** A 64-bit integer, written as decimal text. */
export function asBigint(value: unknown, field: string): bigint {
  if (typeof value !== 'string' || !/^-?\d{1,20}$/.test(value)) throw new Malformed(`${field} is no number`);
  return BigInt(value);
}

/** One of the known words. */
export function asOneOf<const T extends string>(value: unknown, known: readonly T[], field: string): T {
  const found = known.find((each) => each === value);
  if (found === undefined) throw new Malformed(`${field} is none of ${known.join(', ')}`);
  return found;
}

/** A list, each of its items read by `item`. */
export function asList<T>(value: unknown, field: string, item: (value: unknown, field: string) => T): T[] {
  if (!Array.isArray(value)) throw new Malformed(`${field} is no list`);
  return value.map((each, index) => item(each, `${field}[${index}]`));
}
