/** Text by key, in the order of the line; of a key given twice the last. */
export type Fields = ReadonlyMap<string, string>;

/**
 * `key=value key="quoted \"value\"" key={"json":1} …` from `start` on, as logrus and klog write it.
 * Quoted values are unquoted by Go's rules; what is no pair is skipped. Linear in the length of the text.
 */
export function parseFields(text: string, start = 0): Fields {
  const fields = new Map<string, string>();
  let at = start;
  while (at < text.length) {
    while (text[at] === ' ') at++;
    const keyEnd = endOfKey(text, at);
    if (text[keyEnd] !== '=') {
      at = Math.max(keyEnd, at + 1);
      continue;
    }
    const [value, end] = readValue(text, keyEnd + 1);
    if (keyEnd > at) fields.set(text.slice(at, keyEnd), value);
    at = Math.max(end, keyEnd + 1);
  }
  return fields;
}

/** The Go-quoted text that begins with the quote at `start`, unquoted, and the index behind its end. */
export function readQuoted(text: string, start: number): readonly [value: string, end: number] {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return [unquote(text.slice(start + 1, at)), Math.min(at + 1, text.length)];
}

function endOfKey(text: string, start: number): number {
  let at = start;
  while (at < text.length && text[at] !== '=' && text[at] !== ' ' && text[at] !== '"') at++;
  return at;
}

function readValue(text: string, start: number): readonly [value: string, end: number] {
  const first = text[start];
  if (first === '"') return readQuoted(text, start);
  if (first === '{' || first === '[') return readNested(text, start);
  const space = text.indexOf(' ', start);
  const end = space === -1 ? text.length : space;
  return [text.slice(start, end), end];
}

/** JSON or Go's %+v of a struct: until the brackets are closed; brackets inside quotes do not count. */
function readNested(text: string, start: number): readonly [value: string, end: number] {
  let depth = 0;
  let at = start;
  while (at < text.length) {
    const character = text[at];
    if (character === '"') {
      at++;
      while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
    } else if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    at++;
    if (depth === 0) break;
  }
  return [text.slice(start, at), Math.min(at, text.length)];
}

/**
 * The quotes of a text that went through many escapings (`\\"`, `\\\\\\"`, …) as plain ones; other backslashes stay.
 * Each run of backslashes is looked at once: linear.
 */
export function plainQuotes(text: string): string {
  return text.replace(/\\+("?)/g, (run, quote: string) => (quote === '' ? run : quote));
}

const escapes: ReadonlyMap<string, string> = new Map(
  Object.entries({ n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v' }),
);
const digits: ReadonlyMap<string, number> = new Map(Object.entries({ x: 2, u: 4, U: 8 }));

/** Go's strconv.Unquote for what strconv.Quote writes; an escape that is none stays as its character. */
function unquote(body: string): string {
  let plain = '';
  let from = 0;
  for (let at = body.indexOf('\\'); at !== -1; at = body.indexOf('\\', from)) {
    plain += body.slice(from, at);
    const kind = body[at + 1] ?? '';
    const length = digits.get(kind) ?? 0;
    const hex = body.slice(at + 2, at + 2 + length);
    if (length > 0 && hex.length === length && /^[0-9a-f]+$/i.test(hex)) {
      const code = Number.parseInt(hex, 16);
      plain += code <= 0x10_ffff ? String.fromCodePoint(code) : '\ufffd';
      from = at + 2 + length;
    } else {
      plain += escapes.get(kind) ?? kind;
      from = at + 2;
    }
  }
  return plain + body.slice(from);
}
