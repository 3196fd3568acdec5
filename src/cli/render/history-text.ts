import type { Entry, IntentEntry, OutcomeEntry, Stamp } from '../../heal/entries.ts';
import type { HistoryRun } from '../../heal/history.ts';
import type { ReadJournal } from '../../heal/journal.ts';
import type { Damage } from '../../heal/journal-read.ts';
import { undoIdOf } from '../../heal/run.ts';
import { undoable } from '../../heal/undo.ts';
import type { ActionOutcome } from '../../model/plan.ts';
import { jsonText } from './json.ts';
import { hang, wrap } from './layout.ts';
import { actionTitle } from './plan-text.ts';
import { type Paint, paint, type Style, shown } from './style.ts';
import { formatAgo, formatDate, formatMs } from './time.ts';

interface Options {
  readonly style: Style;
  /** Where the journal is, for a person who wants to read it. */
  readonly path: string;
  readonly torn: ReadJournal['torn'];
  readonly damage: readonly Damage[];
}

/** The journal as a person reads it: run by run, oldest first. */
export function historyText(entries: readonly Entry[], { style, path, torn, damage }: Options): string {
  if (entries.length === 0 && damage.length === 0)
    return `${wrap(`Nothing was done here (${shown(style, path)}).`, style.width).join('\n')}\n`;
  const runs = Map.groupBy(entries, (each) => each.runId);
  // What a crash left open was answered by a later run, so outcomes are looked up in the whole journal.
  const outcomes = new Map(entries.flatMap((each) => (each.kind === 'outcome' ? [[each.of, each] as const] : [])));
  const intents = new Set(entries.flatMap((each) => (each.kind === 'intent' ? [each.seq] : [])));
  const undo = undoable(entries);
  const blocks = [...runs.values()].map((run) =>
    runLines(run, { outcomes, intents, undo, isWhole: damage.length === 0 }, style),
  );
  const lines = blocks.flatMap((block, index) => (index === 0 ? block : ['', ...block]));
  if (torn) {
    const why = 'was cut off by a crash; it was never confirmed, so nothing was done on it.';
    const text = `The last line (${torn.line}) ${why}`;
    lines.push('', ...wrap(text, style.width));
  }
  lines.push(...damageLines(damage, lines.length > 0, style));
  return `${lines.join('\n')}\n`;
}

/** One run in a few words, for a list beside what else happened. */
export function describeRun({ acts, mode, end, notes }: HistoryRun): string {
  // What the steps at boot write down is no run: it has neither a beginning nor an end.
  if (mode === 'unknown' && acts.length === 0 && notes.length > 0) return notes.join('; ');
  const done = acts.filter((each) => each.result === 'done');
  const removed = done.filter((each) => each.action.kind === 'remove-sandbox').length;
  const others = [...new Set(done.map((each) => each.action.kind))].filter((kind) => kind !== 'remove-sandbox');
  const did = [
    ...(removed === 0 ? [] : [`removed ${removed} dead ${removed === 1 ? 'sandbox' : 'sandboxes'}`]),
    ...others,
    ...(done.length === 0 ? ['changed nothing'] : []),
  ];
  const how = end === undefined ? ', and was cut off' : end.recovery.state === 'recovered' ? '; all recovered' : '';
  return `${mode === 'boot' ? 'at boot: ' : ''}${did.join(', ')}${how}`;
}

/** The same for scripts: `sandwarden.history/1`. */
export function historyJson(entries: readonly Entry[], { path, torn, damage }: Omit<Options, 'style'>): string {
  const more = { ...(torn ? { torn } : {}), ...(damage.length > 0 ? { damage } : {}) };
  return jsonText({ format: 'sandwarden.history/1', journal: path, entries, ...more });
}

/** Where the journal is damaged, and what follows. */
function damageLines(damage: readonly Damage[], isAfterRuns: boolean, style: Style): string[] {
  const [first] = damage;
  if (first === undefined) return [];
  const places = damage.slice(0, DAMAGES).map(({ file, line, why }) => `${file}:${line}: ${why}`);
  const more = damage.length > DAMAGES ? [`and ${damage.length - DAMAGES} more`] : [];
  const file = shown(style, first.file);
  const hint =
    'What is above is whole; what stood there is missing. heal does nothing until the journal is moved away: ' +
    `mv ${file} ${file}.damaged`;
  return [
    ...(isAfterRuns ? [''] : []),
    ...wrap('The journal is damaged:', style.width).map((line) => paint(style, ['bold', 'red'], line)),
    ...[...places, ...more].flatMap((each) => hang(shown(style, each), style.width, '  ', '    ')),
    ...wrap(hint, style.width),
  ];
}

const DAMAGES = 5;

interface Journal {
  readonly outcomes: ReadonlyMap<number, OutcomeEntry>;
  readonly intents: ReadonlySet<number>;
  /** false: what seems to be missing may have stood where it is damaged. */
  readonly isWhole: boolean;
  /** What `heal --undo` takes, by the run. */
  readonly undo: ReadonlyMap<string, string>;
}

function runLines(run: readonly Entry[], { outcomes, intents, undo, isWhole }: Journal, style: Style): string[] {
  const [first] = run;
  if (!first) return [];
  const start = run.find((each) => each.kind === 'run-start');
  const planned = start ? `: ${start.planned} planned, ${start.refused} refused` : '';
  const during = start?.mode === 'boot' ? ' at boot' : '';
  const taken = start?.undoes === undefined ? '' : `, taking back ${undoIdOf(start.undoes)}`;
  const id = undo.get(first.runId);
  const lines = hang(
    `${paint(style, 'bold', whenOf(first.at, style))}${during}${planned}${taken}`,
    style.width,
    '',
    '  ',
  );
  for (const each of run) {
    if (each.kind === 'intent') lines.push(...intentLines(each, outcomes.get(each.seq), isWhole, style));
    if (each.kind === 'outcome' && !intents.has(each.of)) lines.push(...foundLines(each, style));
    if (each.kind === 'note') lines.push(...hang(shown(style, each.text), style.width, '  note    '));
  }
  const back = id === undefined ? [] : hang(`sandwarden heal --undo ${id}`, style.width, '  undo    ', ' '.repeat(10));
  return [...lines, ...endLines(run, style), ...back];
}

/** A date by the clock of that moment, and what does not depend on it: the boot, and how long it had been up. */
function whenOf(at: Stamp, style: Style): string {
  const up = formatAgo(at.uptimeNs).slice(1);
  return `${formatDate(at.wallNs)} (wall clock; ${up} after the start of boot ${shown(style, at.bootId).slice(0, 8)})`;
}

const resultPaint: Readonly<Record<ActionOutcome['result'], Paint>> = {
  done: 'green',
  already: 'green',
  failed: ['bold', 'red'],
  skipped: 'yellow',
};

function intentLines(intent: IntentEntry, outcome: OutcomeEntry | undefined, isWhole: boolean, style: Style): string[] {
  const { action } = intent;
  const title = `${actionTitle(action, style)} ${paint(style, 'dim', shown(style, action.code))}`;
  const inner = ' '.repeat(10);
  const why = hang(shown(style, action.reason), style.width, `${inner}because `, `${inner}  `);
  if (!outcome) {
    const left = isWhole
      ? 'no outcome was written: Sandwarden was ended, or the power went, in between'
      : 'its outcome is not there: the journal is damaged, or Sandwarden was ended in between';
    const head = hang(title, style.width, `  ${paint(style, ['bold', 'yellow'], 'unknown')} `, inner);
    return [...head, ...why, ...hang(left, style.width, inner)];
  }
  const label = paint(style, resultPaint[outcome.result], outcome.result.padEnd(7));
  const took = outcome.result === 'done' ? ` +${formatMs(outcome.tookMs)}` : '';
  const found = outcome.found ? ' (found so by a later run)' : '';
  const says = outcome.why === '' ? [] : hang(shown(style, outcome.why), style.width, inner);
  return [...hang(`${title}${took}${found}`, style.width, `  ${label} `, inner), ...why, ...says];
}

/** The outcome of an action whose intent is not shown (it is older than --since, or than the journal). */
function foundLines(outcome: OutcomeEntry, style: Style): string[] {
  const text = `entry ${outcome.of} of an earlier run: ${shown(style, outcome.why || outcome.result)}`;
  return hang(
    text,
    style.width,
    `  ${paint(style, resultPaint[outcome.result], outcome.result.padEnd(7))} `,
    ' '.repeat(10),
  );
}

function endLines(run: readonly Entry[], style: Style): string[] {
  const end = run.find((each) => each.kind === 'run-end');
  if (!end) {
    if (!run.some((each) => each.kind === 'run-start' || each.kind === 'intent')) return [];
    return hang(
      'the run did not end by itself',
      style.width,
      `  ${paint(style, ['bold', 'yellow'], 'cut off')} `,
      ' '.repeat(10),
    );
  }
  const recovery = {
    recovered: `recovered in ${formatMs(end.recovery.tookMs)}`,
    partly: `partly recovered after ${formatMs(end.recovery.tookMs)}`,
    'not-yet': `not recovered after ${formatMs(end.recovery.tookMs)}`,
    'not-checked': 'recovery was not checked',
  }[end.recovery.state];
  const stopped = end.stopped
    ? `; stopped: ${shown(style, end.stopped.message)} [${shown(style, end.stopped.code)}]`
    : '';
  return hang(`${recovery}${stopped}`, style.width, '  end     ', ' '.repeat(10));
}
