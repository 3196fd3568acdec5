import type { NodeUnit } from '../../boot/anchors/node-units.ts';
import { shellWord } from '../../model/shell-word.ts';
import type { Anchor } from '../../systemd/anchors.ts';
import { type ScopeSpec, scopeProperties } from '../../systemd/bus.ts';
import { columnsOf, hang } from './layout.ts';
import { exact, paint, type Style, shown } from './style.ts';
import { formatSpan } from './time.ts';

/** A slice that was asked for. */
export interface HeldSlice {
  readonly name: string;
  readonly slice: string;
  readonly result: 'held' | 'already' | 'waits';
  readonly lasts: Anchor['lasts'];
  /** What kubelet requires and the slice does not give, although it is held. */
  readonly missing: readonly string[];
}

/** An anchor that is there, or one whose unit waits for its slice. */
export type ListedAnchor = Pick<Anchor, 'name' | 'slice' | 'kind' | 'holds' | 'lasts' | 'state'> & Partial<Anchor>;

const ends = {
  slice: 'as long as the slice is there',
  boot: 'until the next boot, also when the slice is made anew',
  always: 'at each boot, and when the slice is made anew',
} as const;

/** What `anchor` did, for people. */
export function heldText(held: readonly HeldSlice[], style: Style): string {
  const lines: string[] = [];
  for (const { name, slice, result, lasts, missing } of held) {
    const words = { held: 'Held', already: 'Held before', waits: 'Waits' }[result];
    const how = result === 'waits' ? 'is started with it' : `holds it ${ends[lasts]}`;
    const head = `${paint(style, 'bold', words)}: ${shown(style, slice)}; ${exact(style, name)} ${how}.`;
    lines.push(...hang(head, style.width, '', '  '));
    if (missing.length === 0) continue;
    const why = "what is above it, or the kernel, does not give it: 'sandwarden check' says more";
    const still = `Still missing: ${missing.join(', ')}; ${why}.`;
    lines.push(...hang(paint(style, 'yellow', still), style.width, '  '));
  }
  return `${lines.join('\n')}\n`;
}

/** `anchor list` for people: a table, or where it does not fit a paragraph for each. */
export function anchorsText(anchors: readonly ListedAnchor[], uptimeNs: bigint, style: Style): string {
  if (anchors.length === 0) return 'Nothing is held here.\n';
  const head = ['NAME', 'HOLDS', 'LASTS', 'STATE', 'AGE', 'MEMORY'];
  const rows = anchors.map((each) => cells(each, uptimeNs, style));
  const widths = head.map((word, column) => Math.max(word.length, ...rows.map((row) => columnsOf(row[column] ?? ''))));
  const width = widths.reduce((sum, each) => sum + each + 2, -2);
  if (width > style.width) return paragraphs(rows, style);
  const line = (row: readonly string[]) =>
    row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - columnsOf(cell)))
      .join('  ')
      .trimEnd();
  return `${[paint(style, 'bold', line(head)), ...rows.map(line)].join('\n')}\n`;
}

function cells(
  { name, holds, lasts, state, delegated, sinceUs, memoryBytes }: ListedAnchor,
  uptimeNs: bigint,
  style: Style,
): string[] {
  const word = delegated === false && state === 'active' ? 'not delegated: holds nothing' : state;
  const since = sinceUs === undefined || sinceUs === 0n ? '-' : formatSpan(uptimeNs - sinceUs * 1_000n);
  const memory = memoryBytes === undefined ? '-' : `${(memoryBytes + 1_023n) / 1_024n} KiB`;
  const until = { slice: 'slice', boot: 'this boot', always: 'each boot' }[lasts];
  return [shown(style, name), shown(style, holds), until, shown(style, word), since, memory];
}

function paragraphs(rows: readonly (readonly string[])[], style: Style): string {
  const lines = rows.flatMap(([name = '', holds, lasts, state, age = '-', memory = '-']) => {
    const says = [`holds ${holds} (${lasts})`, state, ...(age === '-' ? [] : [`for ${age}`]), memory];
    const text = says.filter((each) => each !== '-').join(', ');
    return [...hang(paint(style, 'bold', name), style.width, ''), ...hang(text, style.width, '  ')];
  });
  return `${lines.join('\n')}\n`;
}

/** The call that makes a scope, spelled out with busctl. */
export function scopeScript(scope: ScopeSpec): string {
  const properties = scopeProperties(scope, 0).map(([name, { signature, value }]) => {
    // The process that was started last.
    const words = name === 'PIDs' ? '1 "$!"' : shellWord(String(value));
    return `  ${name} ${signature} ${words}`;
  });
  return [
    '#!/bin/sh',
    'set -eu',
    `${scope.command.map(shellWord).join(' ')} </dev/null >/dev/null 2>&1 &`,
    'busctl call org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager \\',
    "  StartTransientUnit 'ssa(sv)a(sa(sv))' \\",
    `  ${shellWord(scope.name)} fail ${properties.length} \\`,
    ...properties.map((each) => `${each} \\`),
    '  0',
    "# Without a bus, the same by systemd's own program:",
    `#   systemd-run --scope --unit=${shellWord(scope.name)} --slice=${shellWord(scope.slice)} \\`,
    `#     -p Delegate=yes -p DefaultDependencies=no --collect ${scope.command.map(shellWord).join(' ')} &`,
    '',
  ].join('\n');
}

/** The units of a node, and what starts them. */
export function nodeScript(units: readonly NodeUnit[]): string {
  const lines = ['#!/bin/sh', 'set -eu'];
  for (const { path, text, link } of units) {
    lines.push('', `install -D -m 644 /dev/stdin ${shellWord(path)} <<'END_OF_FILE'`, `${text}END_OF_FILE`);
    lines.push(`mkdir -p ${shellWord(link.path.slice(0, link.path.lastIndexOf('/')))}`);
    lines.push(`ln -sfn ${shellWord(link.target)} ${shellWord(link.path)}`);
  }
  lines.push('', '# First held, then read anew: that is one of the moments at which systemd takes controllers away.');
  for (const { name, slice } of units) {
    lines.push(`systemctl is-active --quiet ${shellWord(slice)} && systemctl start ${shellWord(name)}`);
  }
  return `${lines.join('\n')}\nsystemctl daemon-reload\n`;
}
