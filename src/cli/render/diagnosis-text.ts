import type { Diagnosis, Evidence, Finding, Gap, Link, Severity } from '../../model/finding.ts';
import { hang, wrap } from './layout.ts';
import { lookedAtLines } from './looked-at.ts';
import { sourceNames } from './sources.ts';
import { exact, marksOf, type Paint, paint, type Style, shown } from './style.ts';
import { formatSpan, formatWhen } from './time.ts';

/** Which findings are printed: those at least this severe; `all` also leaves nothing of them out. */
export type Show = Severity | 'all';

/** How many findings of one code are written out before the rest is only named. */
const IN_FULL = 1;
/** Groups up to this size are written out. */
const SMALL_GROUP = 3;
const EVIDENCE_LINES = 4;
const NAMES = 6;

/** The report of `check`: the verdict, the chain of causes, the findings, what was not looked at. */
export function diagnosisText(diagnosis: Diagnosis, style: Style, show: Show): string {
  const visible = diagnosis.findings.filter((each) => isShown(each.severity, show));
  const lines = [...verdictLines(diagnosis, style)];
  if (diagnosis.state !== 'healthy') lines.push(...chainLines(diagnosis.chain, style));
  for (const group of byCode(visible)) lines.push('', ...groupLines(group, style, show === 'all'));
  lines.push(...gapLines(diagnosis, style, visible.length > 0 || show === 'all' || show === 'info'));
  const isBrief = diagnosis.state === 'healthy' && visible.length === 0;
  const lookedAt = lookedAtLines(diagnosis, style);
  if (lookedAt.length > 0) lines.push(...(isBrief ? lookedAt : ['', ...lookedAt]));
  if (!isBrief) lines.push(...closingLines(diagnosis, visible, style, show));
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

function chainLines(chain: readonly Link[], style: Style): string[] {
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
    lines.push(...hang(head, style.width, first, bar).map((each) => each.replaceAll('\u00a0', ' ')));
    if (link.evidence !== '') {
      for (const each of hang(shown(style, link.evidence), style.width, bar, bar)) {
        lines.push(bar + paint(style, 'dim', each.slice(bar.length)));
      }
    }
    for (const words of reasonsOf(link)) {
      for (const each of hang(shown(style, words), style.width, bar, `${bar}  `)) {
        lines.push(bar + paint(style, 'dim', each.slice(bar.length)));
      }
    }
  });
  return lines;
}

/** Why a link came of an earlier one, and what else could have caused it. */
function reasonsOf({ because, others = [], ends }: Link): string[] {
  const other = others.map(({ text, decidedBy }) => `or of ${text}; what decides: ${decidedBy}`);
  const last = ends === undefined ? [] : [`broken here, the chain ends: ${ends}`];
  return [...(because === undefined ? [] : [`because of ${because}`]), ...other, ...last];
}

function span(ns: bigint): string {
  return formatSpan(ns).replaceAll(' ', '\u00a0');
}

function groupLines(group: readonly Finding[], style: Style, all: boolean): string[] {
  const full = all || group.length <= SMALL_GROUP ? group : group.slice(0, IN_FULL);
  const rest = group.slice(full.length);
  const lines = full.flatMap((each, index) => [...(index === 0 ? [] : ['']), ...findingLines(each, style, all)]);
  if (rest.length > 0) {
    const names = rest.slice(0, NAMES).map((each) => shown(style, each.object.name));
    const more = rest.length > NAMES ? ` and ${rest.length - NAMES} more` : '';
    const code = shown(style, rest[0]?.code ?? '');
    const named = `${names.join(', ')}${more}`;
    const text = `and ${rest.length} more ${code} of the same kind: ${named} (--show all writes them out)`;
    lines.push(...hang(text, style.width, '  '));
  }
  return lines;
}

function findingLines(finding: Finding, style: Style, all: boolean): string[] {
  const code = shown(style, finding.code);
  const label = paint(style, severityPaint[finding.severity], finding.severity);
  const head = `${label} ${paint(style, 'bold', code)} ${shown(style, finding.object.name)}`;
  const lines = [
    ...hang(head, style.width, '', '  '),
    ...hang(shown(style, finding.why), style.width, '  '),
    ...podLines(finding, style, all),
    ...evidenceLines(finding.evidence, style, all),
  ];
  const { remedy } = finding;
  const tier = remedy.tier === 'none' || remedy.tier === 'safe' ? '' : ` (${remedy.tier})`;
  lines.push(...labelled('mend', `${shown(style, remedy.text)}${tier}`, style));
  // A command is never broken: it is there to be pasted.
  if (remedy.command !== undefined) {
    lines.push(`${' '.repeat(LABEL)}${paint(style, 'green', exact(style, remedy.command))}`);
  }
  lines.push(...labelled('more', `sandwarden explain ${code}`, style));
  return lines;
}

const LABEL = 8;

function labelled(label: string, text: string, style: Style): string[] {
  return hang(text, style.width, `  ${label}`.padEnd(LABEL), ' '.repeat(LABEL));
}

const severityPaint: Readonly<Record<Severity, Paint>> = {
  error: ['bold', 'red'],
  warning: ['bold', 'yellow'],
  info: ['bold', 'blue'],
};

function podLines(finding: Finding, style: Style, all: boolean): string[] {
  const { pods } = finding;
  // The object of most findings names its one pod already.
  if (pods.length === 0 || (pods.length === 1 && finding.object.name.startsWith(pods[0] ?? ''))) return [];
  const named = (all ? pods : pods.slice(0, NAMES)).map((each) => shown(style, each)).join(', ');
  const more = all || pods.length <= NAMES ? '' : ` and ${pods.length - NAMES} more`;
  return labelled('pods', `${named}${more}`, style);
}

function evidenceLines(evidence: readonly Evidence[], style: Style, all: boolean): string[] {
  const some = all ? evidence : evidence.slice(0, EVIDENCE_LINES);
  const lines = some.flatMap((each, index) =>
    hang(
      `${sourceNames[each.source]}: ${shown(style, each.text)}`,
      style.width,
      (index === 0 ? '  seen' : '').padEnd(LABEL),
      ' '.repeat(LABEL + 2),
    ),
  );
  if (some.length < evidence.length) lines.push(`${' '.repeat(LABEL)}and ${evidence.length - some.length} more`);
  return lines.map((each) => each.slice(0, LABEL) + paint(style, 'dim', each.slice(LABEL)));
}

function gapLines(diagnosis: Diagnosis, style: Style, full: boolean): string[] {
  const { gaps } = diagnosis;
  if (gaps.length === 0) return [];
  if (diagnosis.state === 'healthy' && !full) {
    const names = gaps.map((each) => sourceNames[each.source]).join(', ');
    const text = `Not looked at: ${names} (--show info says why).`;
    return wrap(text, style.width).map((line) => paint(style, 'dim', line));
  }
  return ['', paint(style, 'bold', 'Not looked at'), ...sameReason(gaps).flatMap((each) => gapText(each, style))];
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

function closingLines(diagnosis: Diagnosis, visible: readonly Finding[], style: Style, show: Show): string[] {
  const lines: string[] = [];
  if (visible.some((each) => each.remedy.tier === 'safe')) {
    const text = "Next: 'sandwarden heal' shows what it would do and asks first.";
    lines.push('', ...wrap(text, style.width).map((line) => paint(style, 'bold', line)));
  }
  const hidden = diagnosis.findings.length - visible.length;
  if (hidden > 0) {
    const all = show === 'error' ? 'warning' : 'info';
    const text = `${hidden} less severe finding${hidden === 1 ? '' : 's'} not shown (--show ${all}).`;
    lines.push('', ...wrap(text, style.width).map((line) => paint(style, 'dim', line)));
  }
  return lines;
}

function byCode(findings: readonly Finding[]): Finding[][] {
  const groups: Finding[][] = [];
  for (const finding of findings) {
    const last = groups.at(-1);
    if (last?.[0] && last[0].code === finding.code && last[0].severity === finding.severity) last.push(finding);
    else groups.push([finding]);
  }
  return groups;
}
