/**
 * `value` as JSON: 64-bit integers (times in nanoseconds) as decimal strings, because a reader's number may not hold
 * them. Nothing is shortened or changed: what a terminal would obey is written with JSON's own escapes.
 */
export function jsonText(value: unknown): string {
  return encoded(value, 2);
}

/** `jsonText` on one line, for a stream of objects. */
export function jsonLine(value: unknown): string {
  return encoded(value);
}

function encoded(value: unknown, indent?: number): string {
  const text = JSON.stringify(value, (_key, each: unknown) => plain(each), indent);
  return `${text.replace(OBEYED, escapesOf)}\n`;
}

/** What a plan will write (model/plan.ts, contents) is a map, and no part of any output. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Map ? undefined : value;
}

// What model/safe-text.ts calls dangerous, without what JSON.stringify has escaped already (C0, lone surrogates).
const OBEYED =
  /[\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]/gu;

function escapesOf(character: string): string {
  return [...character.split('')].map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');
}
