import type { Diagnosis, Finding, Gap, Link, Severity } from '../../model/finding.ts';
import { findingsText } from './finding-text.ts';
import { hang, wrap } from './layout.ts';
import { lookedAtLines } from './looked-at.ts';
import { sourceNames } from './sources.ts';
import { marksOf, type Paint, paint, type Style, shown } from './style.ts';
import { formatSpan, formatWhen } from './time.ts';

/** Which findings are printed: those at least this severe; `all` also leaves nothing of them out. */
export type Show = Severity | 'all';

/** A report longer than a screen says its verdict once more at the end; this many lines where no terminal says. */
const SCREEN_LINES = 40;

/** The report of `check`: the verdict, the chain of causes, the findings, what was not looked at. */
export function diagnosisText(diagnosis: Diagnosis, style: Style, show: Show): string {
  const all = show === 'all';
  const visible = diagnosis.findings.filter((each) => isShown(each.severity, show));
  const verdict = verdictLines(diagnosis, style);
  const chain = diagnosis.state === 'healthy' ? [] : diagnosis.chain;
  const findings = findingsText(visible, { style, all, chain, among: diagnosis.findings });
  const lines = [...verdict, ...chainLines(chain, style, all), ...findings.lines];
  lines.push(...gapLines(diagnosis, style, visible.length > 0 || all || show === 'info'));
  const isBrief = diagnosis.state === 'healthy' && visible.length === 0;
  const lookedAt = lookedAtLines(diagnosis, style);
  if (lookedAt.length > 0) lines.push(...(isBrief ? lookedAt : ['', ...lookedAt]));
  if (!isBrief) lines.push(...closingLines(diagnosis, { visible, show, leftOut: findings.leftOut }, style));
  // The verdict comes first; on a screen that it has left by now it is wanted last.
  if (lines.length > (style.height ?? SCREEN_LINES)) lines.push('', ...verdict);
  return `${lines.join('\n')}\n`;
}

/** Whether a finding of this severity passes `--show`. */
export function isShown(severity: Severity, show: Show): boolean {
  if (show === 'error') return severity === 'error';
  if (show === 'warning') return severity !== 'info';
  return true;
}

/** The verdict, alone. */
export function verdictLines(diagnosis: Diagnosis, style: Style): string[] {
  const how: Paint =
    diagnosis.state === 'healthy'
      ? ['bold', 'green']
      : diagnosis.state === 'warnings'
        ? ['bold', 'yellow']
        : ['bold', 'red'];
  return wrap(shown(style, diagnosis.verdict), style.width).map((line) => paint(style, how, line));
}

function chainLines(chain: readonly Link[], style: Style, all: boolean): string[] {
  if (chain.length === 0) return [];
  const marks = marksOf(style);
  const lines = ['', paint(style, 'bold', 'How it came about, oldest first')];
  chain.forEach((link, depth) => {
    // A deep chain on a narrow terminal stops moving right: the words need the room.
    const indent = '  '.repeat(Math.min(Math.max(depth - 1, 0), Math.floor(style.width / 16)));
    const first = depth === 0 ? '' : `${indent}${marks.corner}`;
    const inner = depth === 0 ? '' : `${indent}  `;
    const bar = depth < chain.length - 1 ? `${inner}${marks.bar} ` : `${inner}  `;
    const when = formatWhen(link.agoNs, link.at).replaceAll(' ', '\u00a0');
    const head = [
      when === '' ? '' : paint(style, 'cyan', when),
      link.lastedNs === null ? '' : paint(style, 'red', `+${span(link.lastedNs)}`),
      shown(style, link.text),
      link.code === undefined ? '' : paint(style, 'dim', `[${shown(style, link.code)}]`),
    ].join(' ');
    lines.push(...linkLines(head, link.evidence, { first, bar, style }));
    for (const words of reasonsOf(link, all)) {
      for (const each of hang(shown(style, words), style.width, bar, `${bar}  `)) {
        lines.push(bar + paint(style, 'dim', each.slice(bar.length)));
      }
    }
  });
  return lines;
}

/** A link and its evidence: in one go where that takes fewer lines. */
function linkLines(
  head: string,
  evidence: string,
  { first, bar, style }: { readonly first: string; readonly bar: string; readonly style: Style },
): string[] {
  const broken = (text: string) => hang(text, style.width, first, bar).map((each) => each.replaceAll('\u00a0', ' '));
  const alone = broken(head);
  if (evidence === '') return alone;
  const words = shown(style, evidence);
  const below = hang(words, style.width, bar, bar).map((each) => bar + paint(style, 'dim', each.slice(bar.length)));
  const dimmed = words.split(' ').map((each) => paint(style, 'dim', each));
  const joined = broken(`${head} ${marksOf(style).dash} ${dimmed.join(' ')}`);
  return joined.length < alone.length + below.length ? joined : [...alone, ...below];
}

/** Why a link came of an earlier one, and what else could have caused it. */
function reasonsOf({ because, others = [], ends }: Link, all: boolean): string[] {
  const last = ends === undefined ? [] : [`broken here, the chain ends: ${ends}`];
  const other = others.map(({ text, decidedBy }) => `or of ${text}; what decides: ${decidedBy}`);
  const best = because === undefined ? [] : [`because of ${because}`];
  if (all || other.length === 0) return [...best, ...other, ...last];
  const codes = [...new Set([/^SW\d{3}/.exec(because ?? '')?.[0] ?? [], ...others.map((each) => each.code)].flat())];
  return [`because of ${codes.join(' or ')} (--show all says why, and what decides)`, ...last];
}

function span(ns: bigint): string {
  return formatSpan(ns).replaceAll(' ', '\u00a0');
}

function gapLines(diagnosis: Diagnosis, style: Style, full: boolean): string[] {
  const { gaps } = diagnosis;
  if (gaps.length === 0) return [];
  if (diagnosis.state === 'healthy' && !full) {
    const names = gaps.map((each) => sourceNames[each.source]).join(', ');
    const text = `Not looked at: ${names} (--show info says why).`;
    return wrap(text, style.width).map((line) => paint(style, 'dim', line));
  }
  const reasons = sameReason(gaps);
  const [only] = reasons;
  const title = 'Not looked at';
  if (reasons.length === 1 && only?.hint === '') {
    const text = `${title}: ${only.names.join(', ')}: ${shown(style, only.message)}`;
    return ['', ...hang(text, style.width, '', '  ')];
  }
  return ['', paint(style, 'bold', title), ...reasons.flatMap((each) => gapText(each, style))];
}

interface Gaps {
  readonly names: string[];
  readonly message: string;
  readonly hint: string;
}

/** Sources that are missing for one reason go together; the runtime, on which most hangs, comes first. */
function sameReason(gaps: readonly Gap[]): Gaps[] {
  const groups = new Map<string, Gaps>();
  for (const { source, message, hint } of gaps.toSorted((a, b) => weight(a) - weight(b))) {
    const key = `${message.replace(/ \(named by: .*\)$/, '')}\n${hint}`;
    const group = groups.get(key);
    if (group) group.names.push(sourceNames[source]);
    else groups.set(key, { names: [sourceNames[source]], message, hint });
  }
  return [...groups.values()];
}

function weight(gap: Gap): number {
  return gap.source === 'runtime' ? 0 : 1;
}

function gapText({ names, message, hint }: Gaps, style: Style): string[] {
  const says = hang(`${names.join(', ')}: ${shown(style, message)}`, style.width, '  ', '    ');
  return hint === '' ? says : [...says, ...hang(shown(style, hint), style.width, `    ${marksOf(style).arrow} `)];
}

interface Shown {
  readonly visible: readonly Finding[];
  readonly show: Show;
  /** Evidence that stands elsewhere in the report was not quoted again. */
  readonly leftOut: boolean;
}

function closingLines(diagnosis: Diagnosis, { visible, show, leftOut }: Shown, style: Style): string[] {
  const lines: string[] = [];
  const [first] = visible;
  if (visible.some((each) => each.remedy.tier === 'safe')) {
    const text = "Next: 'sandwarden heal' shows what it would do and asks first.";
    lines.push(...wrap(text, style.width).map((line) => paint(style, 'bold', line)));
  }
  const notes: string[] = [];
  if (first !== undefined) notes.push(`'sandwarden explain ${shown(style, first.code)}'`);
  if (leftOut) notes.push('--show all (evidence is quoted once)');
  const hidden = diagnosis.findings.length - visible.length;
  if (hidden > 0) {
    const all = show === 'error' ? 'warning' : 'info';
    notes.push(`--show ${all} (${hidden} less severe finding${hidden === 1 ? '' : 's'} not shown)`);
  }
  if (notes.length > 0) {
    lines.push(...wrap(`More: ${notes.join(', ')}`, style.width).map((line) => paint(style, 'dim', line)));
  }
  return lines.length === 0 ? [] : ['', ...lines];
}
