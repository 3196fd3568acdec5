import { readdir, readlink, stat } from 'node:fs/promises';
import type { SocketOwner } from '../../model/csi.ts';
import { inParallel } from '../pool.ts';
import type { ProcessStat } from '../proc.ts';
import { isErrno, readProc } from '../read-file.ts';
import type { SocketFile } from './folders.ts';

/** Who has a socket open; `owned` is absent where nobody can say. */
export interface Ownership {
  readonly owned?: boolean;
  readonly owner?: SocketOwner;
}

/**
 * Looks which process has each of these sockets bound, listening already or not yet. Without spawning anything:
 * /proc/net/unix of every network namespace, the descriptors of the processes, and then the file itself, since the
 * path in that list is the one the process knows (`/csi/csi.sock` in a container).
 */
export async function ownersOf(
  files: readonly SocketFile[],
  processes: readonly ProcessStat[],
  root: string,
): Promise<Ownership[]> {
  if (files.length === 0) return [];
  const names = new Set(files.map((each) => nameOf(each.path)));
  const bound = await boundSockets(processes, names, root);
  if (bound === undefined) return files.map(() => ({}));
  const holders = bound.size === 0 ? [] : await holdersOf(bound, processes, root);
  return files.map((file) => ownershipOf(file, bound, holders));
}

/** The entries of a /proc/net/unix that are bound to a file of one of these names: path by the socket's inode. */
export function boundIn(unix: string, names: ReadonlySet<string>): Map<string, string> {
  const found = new Map<string, string>();
  for (const line of unix.split('\n')) {
    const [, inode, path] = /^\S+ \S+ \S+ \S+ \S+ \S+ +(\d{1,20}) (\/.*)$/.exec(line) ?? [];
    if (inode !== undefined && path !== undefined && names.has(nameOf(path))) found.set(inode, path);
  }
  return found;
}

interface Holder {
  readonly process: ProcessStat;
  readonly socket: string;
  /** The file behind the path as the process sees it; undefined where it cannot be looked at. */
  readonly file: { readonly device: string; readonly inode: string } | undefined;
}

/** Undefined where a namespace could not be read: then nobody can say that a socket has no owner. */
async function boundSockets(
  processes: readonly ProcessStat[],
  names: ReadonlySet<string>,
  root: string,
): Promise<Map<string, string> | undefined> {
  const seen = new Set<string>();
  const bound = new Map<string, string>();
  for (const { pid, state } of processes) {
    if (state === 'Z') continue;
    const namespace = await linkOf(`${root}/proc/${pid}/ns/net`);
    if (namespace === undefined) return undefined;
    if (namespace === 'gone' || seen.has(namespace)) continue;
    seen.add(namespace);
    const unix = await readProc(`${root}/proc/${pid}/net/unix`, 16 * 1024 * 1024);
    // It ended meanwhile; another process of its namespace is asked, if there is one.
    if (unix === undefined) seen.delete(namespace);
    else for (const [inode, path] of boundIn(unix, names)) bound.set(inode, path);
  }
  return seen.size === 0 ? undefined : bound;
}

async function holdersOf(
  bound: ReadonlyMap<string, string>,
  processes: readonly ProcessStat[],
  root: string,
): Promise<Holder[]> {
  const found = await inParallel(processes, 8, async (each): Promise<Holder[]> => {
    const sockets = await socketsOf(each.pid, root);
    return inParallel(
      sockets.filter((inode) => bound.has(inode)),
      1,
      async (socket) => ({ process: each, socket, file: await fileOf(each.pid, bound.get(socket) ?? '', root) }),
    );
  });
  return found.flat();
}

function ownershipOf(file: SocketFile, bound: ReadonlyMap<string, string>, holders: readonly Holder[]): Ownership {
  const mine = holders.find((each) => each.file?.device === file.device && each.file.inode === file.inode);
  if (mine !== undefined) {
    const { pid, comm, startedUptimeNs } = mine.process;
    return { owned: true, owner: { pid, comm, startedUptimeNs } };
  }
  // A socket of that name whose holder or whose file nobody could look at may be this one.
  const held = new Set(holders.filter((each) => each.file !== undefined).map((each) => each.socket));
  const open = [...bound].some(([inode, path]) => nameOf(path) === nameOf(file.path) && !held.has(inode));
  return open ? {} : { owned: false };
}

async function socketsOf(pid: number, root: string): Promise<string[]> {
  try {
    const fds = await readdir(`${root}/proc/${pid}/fd`);
    const links = await inParallel(fds, 8, (fd) => linkOf(`${root}/proc/${pid}/fd/${fd}`));
    return links.flatMap((link) => /^socket:\[(\d{1,20})\]$/.exec(link ?? '')?.[1] ?? []);
  } catch (error) {
    if (isErrno(error)) return [];
    throw error;
  }
}

async function fileOf(pid: number, path: string, root: string): Promise<Holder['file']> {
  try {
    const { dev, ino } = await stat(`${root}/proc/${pid}/root${path}`, { bigint: true });
    return { device: String(dev), inode: String(ino) };
  } catch (error) {
    // The path leads elsewhere by now: whatever is bound there is not the file that is looked for.
    if (isErrno(error)) return error.code === 'ENOENT' ? { device: '', inode: '' } : undefined;
    throw error;
  }
}

/** `gone` where the process is; undefined where it may not be looked at. */
async function linkOf(path: string): Promise<string | 'gone' | undefined> {
  try {
    return await readlink(path);
  } catch (error) {
    if (!isErrno(error)) throw error;
    return error.code === 'ENOENT' || error.code === 'ESRCH' || error.code === 'EINVAL' ? 'gone' : undefined;
  }
}

function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
