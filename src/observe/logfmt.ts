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

const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v' };

/** Go's strconv.Unquote for what strconv.Quote writes; an escape that is none stays as its character. */
function unquote(body: string): string {
  if (!body.includes('\\')) return body;
  return body.replace(
    /\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))/gis,
    (
      _all,
      hex: string | undefined,
      short: string | undefined,
      long: string | undefined,
      single: string | undefined,
    ) => {
      const digits = hex ?? short ?? long;
      if (digits === undefined) return escapes[single ?? ''] ?? single ?? '';
      const code = Number.parseInt(digits, 16);
      return code <= 0x10_ffff ? String.fromCodePoint(code) : '\ufffd';
    },
  );
}
