/**
 * `value` as JSON: 64-bit integers (times in nanoseconds) as decimal strings, because a reader's
 * number may not hold them. Nothing is shortened; control characters are escaped by JSON itself.
 */
export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? each.toString() : each), 2)}\n`;
}
