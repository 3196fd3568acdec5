import type { FleetReport, FleetVerdict } from '../../model/fleet.ts';
import { limits } from '../../model/limits.ts';
import { columnsOf, hang, wrap } from './layout.ts';
import { type Paint, paint, type Style, shown } from './style.ts';
import { formatSpan } from './time.ts';

/**
 * The nodes in trouble as a person reads them: the verdict, then one node after another, what has lasted longest
 * first. What does not fit one screen is counted; with `all` everything is shown.
 */
export function fleetText(report: FleetReport, style: Style, all: boolean): string {
  const troubled = report.nodes.filter(({ state }) => state !== 'healthy');
  const listed = all ? report.nodes : troubled.slice(0, limits.fleetRows);
  const lines = [
    ...wrap(paint(style, 'bold', headline(report)), style.width),
    ...(listed.length > 0 ? ['', ...table(listed, report, style)] : []),
    ...moreLines(troubled.slice(limits.fleetRows), all),
    ...report.missing.flatMap(({ what, message, hint }, index) => [
      ...(index === 0 ? ['', 'Not looked at:'] : []),
      ...hang(`${what}: ${shown(style, message)}. ${shown(style, hint)}`, style.width, '  '),
    ]),
    ...(troubled.length > 0 ? ['', ...wrap('Why: sandwarden --node NAME check', style.width)] : []),
  ];
  return `${lines.join('\n')}\n`;
}

function headline({ counts, nodes }: FleetReport): string {
  const total = nodes.length.toLocaleString('en');
  const of = nodes.length === 1 ? '1 node' : `${total} nodes`;
  if (nodes.length === 0) return 'The API knows no nodes.';
  if (counts.errors + counts.warnings === 0) return `${of}, all in order as far as the API can tell.`;
  const parts = [
    ...(counts.errors > 0 ? [`${counts.errors.toLocaleString('en')} in trouble`] : []),
    ...(counts.warnings > 0 ? [`${counts.warnings.toLocaleString('en')} with warnings`] : []),
    `${counts.healthy.toLocaleString('en')} in order`,
  ];
  return `${of}: ${parts.join(', ')}.`;
}

const colours: Readonly<Record<FleetVerdict['state'], Paint>> = {
  errors: ['bold', 'red'],
  warnings: 'yellow',
  healthy: 'green',
};

const words = { errors: 'error', warnings: 'warning', healthy: 'healthy' } as const;
const headings = ['NODE', 'VERDICT', 'GHOSTS', 'UNCLEAN', 'READY', 'SINCE'] as const;

function table(nodes: readonly FleetVerdict[], { nowNs }: FleetReport, style: Style): string[] {
  const rows = nodes.map((node) => [
    shown(style, node.name),
    words[node.state],
    node.ghosts === 0 ? '-' : String(node.ghosts),
    node.uncleanBoot === undefined ? '-' : ago(nowNs - node.uncleanBoot.atNs),
    node.readySinceNs === undefined ? '-' : ago(nowNs - node.readySinceNs),
    node.sinceNs === undefined ? '-' : ago(nowNs - node.sinceNs),
  ]);
  const widths = headings.map((heading, index) => {
    return Math.max(columnsOf(heading), ...rows.map((row) => columnsOf(row[index] ?? '')));
  });
  const cells = (row: readonly string[]) => row.map((cell, index) => pad(cell, widths[index] ?? 0)).join('  ');
  const lead = widths.reduce((sum, width) => sum + width + 2, 0);
  if (lead > style.width) return nodes.flatMap((node) => narrow(node, nowNs, style));
  const isWide = style.width - lead >= 40;
  return [
    paint(style, 'dim', isWide ? `${cells(headings)}  WHAT` : cells(headings)),
    ...nodes.flatMap((node, index) => {
      const row = rows[index] ?? [];
      const head = cells(row).replace(/ (error|warning|healthy) /, (word) => paint(style, colours[node.state], word));
      const problems = node.problems.map(({ says, suspects }) =>
        shown(style, suspects ? `${says} (${suspects})` : says),
      );
      if (problems.length === 0) return [head.trimEnd()];
      if (!isWide) return [head.trimEnd(), ...problems.flatMap((each) => hang(each, style.width, '  '))];
      const [first = '', ...rest] = problems.flatMap((each) => hang(each, style.width - lead, '', '  '));
      return [`${head}  ${first}`, ...rest.map((each) => `${' '.repeat(lead)}${each}`)];
    }),
  ];
}

/** A node where the columns have no room. */
function narrow(node: FleetVerdict, nowNs: bigint, style: Style): string[] {
  const facts = [
    `${shown(style, node.name)}: ${paint(style, colours[node.state], words[node.state])}`,
    ...(node.ghosts === 0 ? [] : [`${node.ghosts} ghosts`]),
    ...(node.uncleanBoot === undefined ? [] : [`last unclean boot ${ago(nowNs - node.uncleanBoot.atNs)} ago`]),
    ...(node.readySinceNs === undefined ? [] : [`ready for ${ago(nowNs - node.readySinceNs)}`]),
    ...(node.sinceNs === undefined ? [] : [`in trouble for ${ago(nowNs - node.sinceNs)}`]),
  ];
  const problems = node.problems.map(({ says, suspects }) => shown(style, suspects ? `${says} (${suspects})` : says));
  return [
    ...hang(facts.join(', '), style.width, '', '  '),
    ...problems.flatMap((each) => hang(each, style.width, '  ')),
  ];
}

function moreLines(rest: readonly FleetVerdict[], all: boolean): string[] {
  if (all || rest.length === 0) return [];
  const errors = rest.filter(({ state }) => state === 'errors').length;
  const parts = [
    ...(errors > 0 ? [`${errors} in trouble`] : []),
    ...(errors < rest.length ? [`${rest.length - errors} with warnings`] : []),
  ];
  return ['', `and ${rest.length} more nodes (${parts.join(', ')}): --all shows them.`];
}

function ago(spanNs: bigint): string {
  return formatSpan(spanNs < 0n ? 0n : spanNs).split(' ')[0] ?? '';
}

function pad(text: string, width: number): string {
  return text + ' '.repeat(Math.max(width - columnsOf(text), 0));
}
