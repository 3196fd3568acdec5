/** `--version` and `--help` against a Node that runs an empty script. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { measure } from './measure.ts';
import { type Figure, show } from './report.ts';

const root = join(import.meta.dirname, '..');

/** Wall and CPU time of the two, each against the empty script. */
export async function benchStart(repetitions: number): Promise<Figure[]> {
  const folder = join(root, '.cache/bench');
  mkdirSync(folder, { recursive: true });
  const empty = join(folder, 'empty.mjs');
  writeFileSync(empty, '');
  const program = join(root, 'dist/sandwarden.js');
  const cases = ['--version', '--help'].map((flag) => ({ name: flag, args: [program, flag] }));
  const [reference, ...measured] = await measure([{ name: 'empty script', args: [empty] }, ...cases], repetitions);
  if (!reference) throw new Error('the reference was lost');
  return measured.flatMap(({ name, wallMs, cpuMs }): Figure[] => {
    const wall = `${show(wallMs)} ms against ${show(reference.wallMs)} ms of an empty script`;
    const cpu = `${show(cpuMs)} ms against ${show(reference.cpuMs)} ms`;
    return [
      { name: `${name}: wall`, value: wallMs / reference.wallMs, unit: '×', limit: 1.5, from: wall },
      { name: `${name}: CPU`, value: cpuMs / reference.cpuMs, unit: '×', limit: 1.5, from: cpu },
    ];
  });
}
