/**
 * Exits 0 where node_modules already is what package-lock.json asks for, so that `make` need not reinstall.
 * npm keeps what it installed in node_modules/.package-lock.json; packages for other machines are optional there.
 */
import { readFileSync } from 'node:fs';

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string; readonly optional?: boolean }>>;
}

process.exitCode = isInstalled() ? 0 : 1;

function isInstalled(): boolean {
  const wanted = read('package-lock.json');
  const found = read('node_modules/.package-lock.json');
  if (wanted === undefined || found === undefined) return false;
  return Object.entries(wanted.packages).every(([path, { version, optional }]) => {
    const there = found.packages[path];
    return path === '' || there?.version === version || (there === undefined && optional === true);
  });
}

function read(path: string): Lock | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Lock;
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
