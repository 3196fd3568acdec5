import { stripVTControlCharacters } from 'node:util';

/**
 * Breaks `text` into lines of at most `width` columns at its spaces; a word that is longer is cut.
 * Words may be painted: what a terminal does not show is not counted.
 */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/ +/).filter((each) => each !== '')) {
    const joined = line === '' ? word : `${line} ${word}`;
    if (columnsOf(joined) <= width) {
      line = joined;
      continue;
    }
    if (line !== '') lines.push(line);
    const pieces = columnsOf(word) <= width ? [word] : cut(stripVTControlCharacters(word), width);
    lines.push(...pieces.slice(0, -1));
    line = pieces.at(-1) ?? '';
  }
  if (line !== '' || lines.length === 0) lines.push(line);
  return lines;
}

/** `wrap` with something in front of the first line and of each other line. */
export function hang(text: string, width: number, first: string, rest = ' '.repeat(columnsOf(first))): string[] {
  const room = Math.max(width - Math.max(columnsOf(first), columnsOf(rest)), 12);
  return wrap(text, room).map((line, index) => `${index === 0 ? first : rest}${line}`);
}

/** The columns that a terminal needs for `text`: wide characters take two, marks none. */
export function columnsOf(text: string): number {
  const shown = stripVTControlCharacters(text);
  if (/^[\x20-\x7e]*$/.test(shown)) return shown.length;
  let columns = 0;
  for (const character of shown) columns += columnsOfCharacter(character);
  return columns;
}

function cut(word: string, width: number): string[] {
  const pieces: string[] = [];
  let piece = '';
  for (const character of word) {
    if (piece !== '' && columnsOf(piece) + columnsOfCharacter(character) > width) {
      pieces.push(piece);
      piece = '';
    }
    piece += character;
  }
  if (piece !== '') pieces.push(piece);
  return pieces;
}

function columnsOfCharacter(character: string): number {
  if (/^\p{M}$/u.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

// East Asian Wide and Fullwidth (Unicode UAX #11), by script, and pictographs.
const SCRIPTS = '\\p{Script=Han}\\p{Script=Hangul}\\p{Script=Hiragana}\\p{Script=Katakana}';
const WIDE = new RegExp(`^[${SCRIPTS}\\u3000-\\u303f\\uff01-\\uff60\\uffe0-\\uffe6]|^\\p{Emoji_Presentation}`, 'u');
