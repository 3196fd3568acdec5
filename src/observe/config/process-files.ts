import { readlink, stat } from 'node:fs/promises';
import { isErrno, readProc } from '../read-file.ts';
import { type FileSource, filesUnder } from './file-source.ts';

/** A process as far as it tells which files it reads. Its command line stays here: it can hold secrets. */
export interface ProcessFiles {
  readonly argv: readonly string[];
  /** Its own folder, `/` where that is not known. */
  readonly cwd: string;
  /** The files as the process sees them: those of its own mount namespace. */
  readonly files: FileSource;
  /** Its program, where Sandwarden may run it too: root's, writable by root alone, in the file system of pid 1. */
  readonly program?: string;
}

/** What /proc tells of a process; undefined where it is gone or may not be looked at. */
export async function processFiles(pid: number, root = ''): Promise<ProcessFiles | undefined> {
  const of = (name: string) => `${root}/proc/${pid}/${name}`;
  const cmdline = await readProc(of('cmdline'), 128 * 1024);
  if (!cmdline) return undefined;
  const argv = cmdline.replace(/\0$/, '').split('\0');
  const [cwd, own, ours, first, exe] = await Promise.all([
    link(of('cwd')),
    link(of('ns/mnt')),
    link(`${root}/proc/self/ns/mnt`),
    link(`${root}/proc/1/ns/mnt`),
    link(of('exe')),
  ]);
  const elsewhere = own !== undefined && ours !== undefined && own !== ours;
  const isTrusted = own !== undefined && own === first && exe !== undefined && (await isRoots(of('exe')));
  return {
    argv,
    cwd: cwd ?? '/',
    files: filesUnder(elsewhere ? of('root') : root),
    // A program that is many (k3s) goes by its name: run as `exe` it would be another one.
    ...(isTrusted && exe.endsWith('/containerd') ? { program: of('exe') } : {}),
  };
}

/** The value of a flag of Go's kinds: `--name value`, `--name=value`, `-name value`; the last one counts. */
export function flagValue(argv: readonly string[], ...names: readonly string[]): string | undefined {
  return flagValues(argv, ...names).at(-1);
}

/** All values of a flag that may be given more than once. */
export function flagValues(argv: readonly string[], ...names: readonly string[]): string[] {
  const found: string[] = [];
  for (const [index, word] of argv.entries()) {
    if (word === '--') break;
    const match = /^--?([A-Za-z][\w-]*)(?:=([\s\S]*))?$/.exec(word);
    if (index === 0 || !match || !names.includes(match[1] ?? '')) continue;
    const value = match[2] ?? argv[index + 1];
    if (value !== undefined) found.push(value);
  }
  return found;
}

async function link(path: string): Promise<string | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}

async function isRoots(path: string): Promise<boolean> {
  try {
    const { uid, mode } = await stat(path);
    return uid === 0 && (mode & 0o022) === 0;
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}
