import { styleText } from 'node:util';
import { safeText } from '../../model/safe-text.ts';
import type { Io, Output } from '../frame/io.ts';

/** How text may look where it goes to. */
export interface Style {
  readonly colour: boolean;
  /** false: nothing but ASCII is written. */
  readonly unicode: boolean;
  readonly width: number;
  /** The rows of the terminal; absent where there is none. */
  readonly height?: number;
}

const NARROWEST = 40;
const WITHOUT_TERMINAL = 100;
const WIDEST = 120;

/** What `output` can show: by --no-color, NO_COLOR, FORCE_COLOR, TERM, the locale, COLUMNS and the terminal's width. */
export function styleOf(io: Io, noColour: boolean, output: Output = io.stdout): Style {
  const asked = Number(io.env.COLUMNS);
  const columns = Number.isInteger(asked) && asked > 0 ? asked : output.columns || WITHOUT_TERMINAL;
  return {
    colour: !noColour && output.takesColour,
    unicode: io.env.TERM !== 'dumb' && localeIsUtf8(io.env),
    width: Math.min(Math.max(columns, NARROWEST), WIDEST),
    ...(output.rows ? { height: output.rows } : {}),
  };
}

export type Paint = Parameters<typeof styleText>[0];

/** `text` in a colour or weight, where the style takes colours. */
export function paint(style: Style, how: Paint, text: string): string {
  return style.colour ? styleText(how, text, { validateStream: false }) : text;
}

/** Text that may come from others, as it may be shown: safe, its long ids short, ASCII where the style asks for it. */
export function shown(style: Style, text: string): string {
  return plain(
    style,
    safeText(text).replace(LONG_ID, (id) => id.slice(0, 13)),
  );
}

/** Like `shown`, but nothing in it is shortened: for commands that are pasted. */
export function exact(style: Style, text: string): string {
  return plain(style, safeText(text));
}

export interface Marks {
  readonly corner: string;
  readonly tee: string;
  readonly bar: string;
  readonly arrow: string;
  readonly dash: string;
}

/** The few drawing characters of the reports. */
export function marksOf(style: Style): Marks {
  return style.unicode
    ? { corner: '└─', tee: '├─', bar: '│', arrow: '→', dash: '–' }
    : { corner: '`-', tee: '|-', bar: '|', arrow: '->', dash: '-' };
}

// POSIX: LC_ALL wins, then LC_CTYPE, then LANG; the first that is set and not empty decides.
function localeIsUtf8(env: Io['env']): boolean {
  const locale = env.LC_ALL || env.LC_CTYPE || env.LANG || '';
  return /utf-?8/i.test(locale);
}

const LONG_ID = /\b[0-9a-f]{64}\b/g;

function plain(style: Style, text: string): string {
  return style.unicode ? text : text.replace(NOT_ASCII, (each) => ASCII[each] ?? escaped(each));
}

function escaped(character: string): string {
  return `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`;
}

const NOT_ASCII = /[^\x20-\x7e\n]/gu;
const ASCII: Readonly<Record<string, string>> = {
  '…': '...',
  '→': '->',
  '–': '-',
  '—': '-',
  '≤': '<=',
  '≥': '>=',
  '≠': '!=',
  '×': 'x',
  '·': '*',
  '“': '"',
  '”': '"',
  '’': "'",
  '‘': "'",
};
