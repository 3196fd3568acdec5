import { access } from 'node:fs/promises';
import { run } from './run.ts';

/**
 * Installs the Debian packages of `byFile`, by the file that shows that each is there, and `more` without a look; as
 * root. `say` is told before. Throws an Error with apt's words where they cannot be had.
 */
export async function needPackages(
  byFile: Readonly<Record<string, string>>,
  { more = [], say = () => {} }: { more?: readonly string[]; say?: (line: string) => void } = {},
): Promise<void> {
  const missing = new Set(more);
  for (const [file, name] of Object.entries(byFile)) if (!(await exists(file))) missing.add(name);
  if (missing.size === 0) return;
  const names = [...missing];
  if (!(await exists('/usr/bin/apt-get'))) throw new Error(`no apt-get here to install ${names.join(', ')}`);
  say(`apt-get install ${names.join(' ')}`);
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const get = ['install', '-y', '--no-install-recommends', ...names];
  // A machine that never updated its lists, or whose lists are old, is given them after the first try.
  const first = await run('apt-get', get, { env, timeoutMs: 600_000, check: false });
  if (first.status === 0) return;
  await run('apt-get', ['update'], { env, timeoutMs: 300_000 });
  await run('apt-get', get, { env, timeoutMs: 600_000 });
}

/** Whether a file is there. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
