import type { Evidence, Finding, Link, Severity } from '../../model/finding.ts';
import { hang } from './layout.ts';
import { sourceNames } from './sources.ts';
import { exact, type Paint, paint, type Style, shown } from './style.ts';

/** Groups of one code up to this size are written out. */
const SMALL_GROUP = 3;
const EVIDENCE_LINES = 4;
const NAMES = 6;

interface Options {
  readonly style: Style;
  /** Every finding by itself, with all of its evidence. */
  readonly all: boolean;
  /** What stands above: evidence that it quotes is not quoted again. */
  readonly chain: readonly Link[];
  /** All findings, also those that are not printed. */
  readonly among: readonly Finding[];
}

/**
 * The findings after a blank line, and whether evidence was left out because it stands elsewhere in the report.
 * Findings of one code that have the same words and the same cure are written once, with all their objects.
 */
export function findingsText(findings: readonly Finding[], options: Options): { lines: string[]; leftOut: boolean } {
  const quotes = options.all ? asItIs : quotedOnce(findings, options.chain);
  const groups = options.all ? findings.map((each) => [each]) : byCode(findings);
  const lines = groups.flatMap((group) => {
    const kinds = [...Map.groupBy(group, kindOf).values()];
    const full = group.length > SMALL_GROUP ? kinds.slice(0, 1) : kinds;
    const rest = kinds.slice(full.length).flat();
    // What is indented needs no blank line between; what is asked for as a whole is easier to read with it.
    const between = options.all ? [''] : [];
    const blocks = full.flatMap((kind) => [...between, ...blockLines(kind, quotes, options)]);
    return rest.length === 0 ? blocks : [...blocks, ...restLines(rest, group, options)];
  });
  const gap = options.all || lines.length === 0 ? [] : [''];
  return { lines: [...gap, ...lines], leftOut: findings.some((each) => quotes(each).length < each.evidence.length) };
}

type Quotes = (finding: Finding) => readonly Evidence[];

const asItIs: Quotes = ({ evidence }) => evidence;

/** What a finding quotes: not what the chain above has, and not what is the first evidence of another finding. */
function quotedOnce(findings: readonly Finding[], chain: readonly Link[]): Quotes {
  const told = chain.flatMap((each) => (each.evidence === '' ? [] : [each.evidence]));
  const isTold = (text: string) => told.some((each) => text === each || text.startsWith(`${each} (`));
  const firsts = new Map<string, Finding>();
  for (const each of findings) {
    const [first] = each.evidence;
    if (first !== undefined) firsts.set(keyOf(each, first), firsts.get(keyOf(each, first)) ?? each);
  }
  return (finding) =>
    finding.evidence.filter((each) => {
      const first = firsts.get(keyOf(finding, each));
      return !isTold(each.text) && (first === undefined || first === finding);
    });
}

/** The same words of two pods are two facts. */
function keyOf({ pods }: Finding, { source, text }: Evidence): string {
  return `${source} ${pods.join(' ')} ${text}`;
}

function kindOf({ why, remedy }: Finding): string {
  return `${why}\n${remedy.tier}\n${remedy.text}`;
}

function blockLines(kind: readonly Finding[], quotes: Quotes, options: Options): string[] {
  const { style } = options;
  const [first] = kind;
  if (first === undefined) return [];
  const code = shown(style, first.code);
  const label = paint(style, severityPaint[first.severity], first.severity);
  const names = listed(
    kind.map((each) => each.object.name),
    style,
  );
  const { remedy } = first;
  const tier = remedy.tier === 'none' || remedy.tier === 'safe' ? '' : ` (${remedy.tier})`;
  return [
    ...hang(`${label} ${paint(style, 'bold', code)} ${names}: ${shown(style, first.why)}`, style.width, '', '  '),
    ...podLines(kind, options),
    ...(kind.length === 1 ? evidenceLines(first, quotes, options) : evidenceOfEach(kind, quotes, style)),
    ...labelled('mend', `${shown(style, remedy.text)}${tier}`, style),
    ...commandLines(kind, options),
    ...noCommandLines(first, style),
  ];
}

/** A command is never broken: it is there to be pasted. One that takes all findings of the code stands for them. */
function commandLines(kind: readonly Finding[], { style, among }: Options): string[] {
  const commands = [...new Set(kind.flatMap((each) => each.remedy.command ?? []))];
  const whole = forAll(kind, among);
  const shownOnes = whole !== undefined ? [whole] : commands.slice(0, SMALL_GROUP);
  const more = whole !== undefined ? 0 : commands.length - shownOnes.length;
  return [
    ...shownOnes.map((each) => `${' '.repeat(LABEL)}${paint(style, 'green', exact(style, each))}`),
    ...(more > 0 ? [`${' '.repeat(LABEL)}and ${more} more like these`] : []),
  ];
}

/** Why there is nothing to paste; where nothing is wrong there is nothing to say. */
function noCommandLines({ severity, remedy }: Finding, style: Style): string[] {
  if (remedy.noCommand === undefined || severity === 'info') return [];
  return labelled('', `no command: ${shown(style, remedy.noCommand)}`, style);
}

/** `heal --only CODE` for commands that name one object each and differ in nothing else, where these are all. */
function forAll(kind: readonly Finding[], among: readonly Finding[]): string | undefined {
  const same = among.filter(({ code, remedy }) => code === kind[0]?.code && remedy.command !== undefined);
  const heads = kind.map(({ code, remedy }) => {
    const [head, tail, ...more] = (remedy.command ?? '').split(`--only ${code}/`);
    return tail !== undefined && !tail.includes(' ') && more.length === 0 ? `${head}--only ${code}` : undefined;
  });
  return kind.length > 1 && kind.length === same.length && new Set(heads).size === 1 ? heads[0] : undefined;
}

function restLines(rest: readonly Finding[], group: readonly Finding[], { style, among }: Options): string[] {
  const whole = forAll(group, among);
  const names = listed(
    rest.map((each) => each.object.name),
    style,
  );
  const code = shown(style, rest[0]?.code ?? '');
  const lines = hang(
    `and ${rest.length} more ${code} of the same kind: ${names} (--show all writes them out)`,
    style.width,
    '  ',
  );
  return whole === undefined ? lines : [...lines, `${' '.repeat(LABEL)}${paint(style, 'green', exact(style, whole))}`];
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

function podLines(kind: readonly Finding[], { style, all, chain }: Options): string[] {
  // The object of most findings names its one pod already.
  const isNamed = kind.every(({ pods, object }) => pods.length === 1 && object.name.startsWith(pods[0] ?? ''));
  const pods = [...new Set(kind.flatMap((each) => each.pods))];
  const last = chain.at(-1)?.evidence ?? '';
  // All that are down are named at the end of the chain.
  const isTold = !all && pods.length > 1 && last.endsWith([...pods].sort().join(', '));
  if (pods.length === 0 || isNamed || isTold) return [];
  return labelled('pods', listed(pods, style, all ? pods.length : NAMES), style);
}

function evidenceLines(finding: Finding, quotes: Quotes, { style, all }: Options): string[] {
  const quoted = quotes(finding);
  const some = all ? quoted : quoted.slice(0, EVIDENCE_LINES);
  const left = quoted.length - some.length;
  const texts = all ? some.map((each) => quoteOf([each], style)) : bySource(some).map((each) => quoteOf(each, style));
  return seenLines(texts, finding.evidence.length > 0, left, style);
}

/** Of findings that are written once: what was seen of each of them. */
function evidenceOfEach(kind: readonly Finding[], quotes: Quotes, style: Style): string[] {
  const withQuotes = kind.filter((each) => quotes(each).length > 0);
  const texts = withQuotes.slice(0, SMALL_GROUP).map((each) => {
    const quoted = bySource(quotes(each).slice(0, 2)).map((some) => quoteOf(some, style));
    return `${shown(style, each.object.name)}: ${quoted.join('; ')}`;
  });
  return seenLines(
    texts,
    kind.some((each) => each.evidence.length > 0),
    withQuotes.length - texts.length,
    style,
  );
}

/** What stands together and is of one source is said with its name once. */
function bySource(evidence: readonly Evidence[]): Evidence[][] {
  const groups: Evidence[][] = [];
  for (const each of evidence) {
    const last = groups.at(-1);
    if (last?.[0]?.source === each.source) last.push(each);
    else groups.push([each]);
  }
  return groups;
}

function quoteOf(same: readonly Evidence[], style: Style): string {
  const [first] = same;
  const texts = same.map((each) => shown(style, each.text)).join('; ');
  return first === undefined ? '' : `${sourceNames[first.source]}: ${texts}`;
}

function seenLines(texts: readonly string[], isThere: boolean, left: number, style: Style): string[] {
  const told = texts.length === 0 && isThere ? ['what is quoted above'] : texts;
  const lines = told.flatMap((each, index) =>
    hang(each, style.width, (index === 0 ? '  seen' : '').padEnd(LABEL), ' '.repeat(LABEL + 2)),
  );
  if (left > 0) lines.push(`${' '.repeat(LABEL)}and ${left} more`);
  return lines.map((each) => each.slice(0, LABEL) + paint(style, 'dim', each.slice(LABEL)));
}

function listed(names: readonly string[], style: Style, most = NAMES): string {
  const some = names.slice(0, most).map((each) => shown(style, each));
  return `${some.join(', ')}${names.length > most ? ` and ${names.length - most} more` : ''}`;
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
