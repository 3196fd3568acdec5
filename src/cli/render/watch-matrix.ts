import type { SliceState } from '../../watch/controllers/watch.ts';
import { columnsOf, hang } from './layout.ts';
import { paint, type Style, shown } from './style.ts';

/** How often a cell of the table changed, by `slice controller`; the key of the last one. */
export interface CellChanges {
  readonly counts: ReadonlyMap<string, number>;
  readonly last: string | undefined;
}

/**
 * The slices and what they hand down, changed cells marked with how often (`NO 3x`). Where the terminal is too narrow
 * for a table, a line for each slice.
 */
export function watchMatrix(
  slices: readonly SliceState[],
  required: readonly string[],
  { counts, last }: CellChanges,
  style: Style,
): string[] {
  const names = slices.map((each) => shown(style, nameOf(each, slices)));
  const cells = slices.map(({ path, handsDown }) => {
    return required.map((controller) => {
      const key = `${path} ${controller}`;
      return cell(handsDown?.includes(controller), counts.get(key) ?? 0, key === last, style);
    });
  });
  const widest = (texts: readonly string[]) => Math.max(...texts.map(columnsOf), 0);
  const first = widest(names);
  const columns = required.map((controller, index) => widest([controller, ...cells.map((row) => row[index] ?? '')]));
  const width = first + columns.reduce((sum, each) => sum + each + 2, 0);
  if (width >= style.width) return narrow(slices, required, counts, style);
  const line = (name: string, texts: readonly string[]) => {
    const rest = texts.map((each, index) => `  ${padded(each, columns[index] ?? 0)}`);
    return `${padded(name, first)}${rest.join('')}`.trimEnd();
  };
  return [paint(style, 'dim', line('', required)), ...cells.map((row, index) => line(names[index] ?? '', row))];
}

function cell(has: boolean | undefined, changes: number, isLast: boolean, style: Style): string {
  if (has === undefined) return paint(style, 'dim', '-');
  const text = `${has ? 'yes' : 'NO'}${changes === 0 ? '' : ` ${changes}x`}`;
  if (isLast) return paint(style, ['bold', has ? 'green' : 'red', 'inverse'], text);
  if (!has) return paint(style, ['bold', 'red'], text);
  return changes === 0 ? text : paint(style, 'yellow', text);
}

function narrow(
  slices: readonly SliceState[],
  required: readonly string[],
  counts: ReadonlyMap<string, number>,
  style: Style,
): string[] {
  return slices.flatMap((slice) => {
    const name = shown(style, nameOf(slice, slices));
    const { handsDown } = slice;
    if (handsDown === undefined) return hang(`${name}: not there`, style.width - 1, '', '  ');
    const missing = required.filter((each) => !handsDown.includes(each));
    const changes = required.reduce((sum, each) => sum + (counts.get(`${slice.path} ${each}`) ?? 0), 0);
    const words = missing.length === 0 ? 'all' : paint(style, ['bold', 'red'], `NO ${missing.join(', ')}`);
    return hang(`${name}: ${words}${changes === 0 ? '' : ` (${changes}x)`}`, style.width - 1, '', '  ');
  });
}

/** The last part of the path, the whole of it where two slices end alike (two drivers side by side). */
function nameOf({ path }: SliceState, slices: readonly SliceState[]): string {
  const lastOf = (of: string) => of.slice(of.lastIndexOf('/') + 1);
  if (path === '/') return '/';
  return slices.filter((each) => lastOf(each.path) === lastOf(path)).length > 1 ? path : lastOf(path);
}

function padded(text: string, width: number): string {
  return `${text}${' '.repeat(Math.max(width - columnsOf(text), 0))}`;
}
