/** Makes src/cri/gen from proto/ with buf, offline; `--check` only says whether it is what is committed. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const gen = 'src/cri/gen';

if (process.argv.includes('--check')) {
  mkdirSync(join(root, '.cache'), { recursive: true });
  const fresh = mkdtempSync(join(root, '.cache', 'gen-'));
  try {
    buf('lint');
    buf('generate', '--output', fresh);
    const stale = differences(join(root, gen), join(fresh, gen));
    for (const file of stale)
      process.stderr.write(`${join(gen, file)} is not what proto/ gives: run \`make generate\`\n`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
} else {
  buf('generate');
}

function buf(...args: string[]): void {
  const bin = join(root, 'node_modules/.bin');
  const env = { ...process.env, PATH: `${bin}:${process.env.PATH ?? ''}` };
  const { status, error } = spawnSync(join(bin, 'buf'), args, { cwd: root, stdio: 'inherit', env });
  if (error !== undefined) throw error;
  if (status !== 0) process.exit(1);
}

/** The files that are in only one of two folders or differ. */
function differences(one: string, other: string): string[] {
  const files = new Set([...filesIn(one), ...filesIn(other)]);
  return [...files].filter((file) => content(join(one, file)) !== content(join(other, file))).sort();
}

function filesIn(folder: string): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((each) => each.isFile())
    .map((each) => join(each.parentPath, each.name).slice(folder.length + 1));
}

function content(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
