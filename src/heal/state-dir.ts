import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import {
  type FileHandle,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  unlink,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Clock } from '../model/clock.ts';
import { SandwardenError } from '../model/errors.ts';
import { fileBackups } from './backups.ts';
import { type Journal, type JournalFile, type JournalStore, openJournal } from './journal.ts';
import { type HeldLock, type LockStore, type Processes, takeLock } from './lock.ts';
import type { Backups } from './node-changes.ts';

/** Where Sandwarden keeps what must survive a reboot: the journal and the lock. */
export interface HealState {
  readonly bootId: string;
  /** Throws ERR_LOCKED with who holds it and since when, ERR_FORBIDDEN, ERR_FILE, ERR_JOURNAL_WRITE. */
  lock(wallNs: bigint): Promise<HeldLock>;
  /** Only under the lock. Throws as journal.ts openJournal. */
  openJournal(runId: string, clock: Clock): Promise<Journal>;
  /** What was replaced, for taking it back. */
  readonly backups: Backups;
}

export const defaultStateDir = '/var/lib/sandwarden';

const { O_APPEND, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } = constants;
// O_NONBLOCK: a named pipe in place of a file must not hang us. Node sets O_CLOEXEC on all.
const SAFE = O_NOFOLLOW | O_NONBLOCK;

/**
 * The state directory, made (0700) where it is not there. Throws ERR_FORBIDDEN where it cannot be made or
 * others may write in it, ERR_FILE where it is no directory.
 */
export async function openStateDir(path: string = defaultStateDir): Promise<HealState> {
  await inDirectory(path, () => makeDirectory(path));
  const stat = await inDirectory(path, () => lstat(path));
  if (!stat.isDirectory()) {
    throw new SandwardenError('ERR_FILE', `${path} is not a directory`, {
      hint: `Sandwarden keeps its journal there; move it away: mv ${path} ${path}.old`,
    });
  }
  if (stat.uid !== process.geteuid?.() || (stat.mode & 0o022) !== 0) {
    throw new SandwardenError('ERR_FORBIDDEN', `${path} belongs to somebody else or others may write in it`, {
      hint: `make it root's alone: chown root: ${path} && chmod 700 ${path}`,
    });
  }
  const processes = realProcesses();
  const { bootId } = await processes.self();
  const locks = lockStore(path);
  const journal = journalStore(path);
  return {
    bootId,
    lock: (wallNs) => inDirectory(path, () => takeLock(locks, processes, wallNs)),
    openJournal: (runId, clock) => openJournal(journal, { runId, bootId, clock }),
    backups: fileBackups(path),
  };
}

/**
 * With all above it. Node's own `recursive` goes round for ever, and cannot be interrupted, in a file system where
 * mkdir(2) says ENOENT (proc, autofs).
 */
async function makeDirectory(path: string): Promise<void> {
  try {
    await mkdir(path, { mode: 0o700 });
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return;
    if (codeOf(error) !== 'ENOENT' || dirname(path) === path) throw error;
    await makeDirectory(dirname(path));
    await mkdir(path, { mode: 0o700 });
  }
}

/** The journal's files in `directory`: `journal.ndjson` and `journal.1.ndjson`, the generation before. */
export function journalStore(directory: string): JournalStore {
  const path = join(directory, 'journal.ndjson');
  const olderPath = join(directory, 'journal.1.ndjson');
  return {
    path,
    olderPath,
    read: (which) => readFileChunks(which === 'current' ? path : olderPath),
    open: async () => {
      const handle = await open(path, O_RDWR | O_APPEND | O_CREAT | SAFE, 0o600);
      await syncDirectory(directory);
      return journalFile(handle);
    },
    turnOver: async () => {
      await rename(path, olderPath);
      await syncDirectory(directory);
    },
  };
}

/** The lock's files in `directory`. */
export function lockStore(directory: string): LockStore {
  const pathOf = (name: string) => join(directory, name);
  return {
    pathOf,
    list: () => readdir(directory),
    read: (name) => orAbsent(() => readSmall(pathOf(name))),
    remove: async (name) => {
      await orAbsent(() => unlink(pathOf(name)));
    },
    create: async (name, text) => {
      const draft = pathOf(`draft.${process.pid}.${randomBytes(6).toString('hex')}`);
      const handle = await open(draft, O_WRONLY | O_CREAT | O_EXCL | SAFE, 0o600);
      try {
        await handle.writeFile(text);
        await link(draft, pathOf(name));
        return true;
      } catch (error) {
        if (codeOf(error) === 'EEXIST') return false;
        throw error;
      } finally {
        await handle.close();
        await unlink(draft);
      }
    },
  };
}

/** The processes of this machine by /proc. */
export function realProcesses(): Processes {
  const startTicks = async (pid: number) => {
    const text = await orAbsent(() => readFile(`/proc/${pid}/stat`, 'utf8'));
    // proc(5): the second field is the name in parentheses and may hold anything; the 22nd is the start.
    const fields = text?.slice(text.lastIndexOf(')') + 2).split(' ');
    return fields?.[19] === undefined ? undefined : Number(fields[19]);
  };
  return {
    startTicks,
    self: async () => {
      const ticks = await startTicks(process.pid);
      if (ticks === undefined) throw unreadable('/proc/self/stat');
      const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
      return { pid: process.pid, startTicks: ticks, bootId, pidNamespace: await readlink('/proc/self/ns/pid') };
    },
  };
}

function journalFile(handle: FileHandle): JournalFile {
  return {
    append: async (bytes) => {
      let written = 0;
      while (written < bytes.length) written += (await handle.write(bytes, written)).bytesWritten;
    },
    sync: () => handle.datasync(),
    truncate: (length) => handle.truncate(length),
    close: () => handle.close(),
  };
}

async function* readFileChunks(path: string): AsyncIterable<Uint8Array> {
  await using handle = await orAbsent(() => open(path, O_RDONLY | SAFE));
  if (handle === undefined) return;
  if (!(await handle.stat()).isFile()) throw notAFile(path);
  const buffer = Buffer.alloc(64 * 1024);
  for (;;) {
    const { bytesRead } = await handle.read(buffer, 0, buffer.length);
    if (bytesRead === 0) return;
    yield Buffer.from(buffer.subarray(0, bytesRead));
  }
}

async function readSmall(path: string): Promise<string> {
  await using handle = await open(path, O_RDONLY | SAFE);
  if (!(await handle.stat()).isFile()) throw notAFile(path);
  const buffer = Buffer.alloc(4_096);
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0);
  return buffer.toString('utf8', 0, bytesRead);
}

/** So that the name of a new file survives a power cut too. */
async function syncDirectory(path: string): Promise<void> {
  await using handle = await open(path, O_RDONLY | O_DIRECTORY);
  await handle.sync();
}

/** The answer, or undefined where the file or the process is not there (ENOENT, and ESRCH of /proc). */
async function orAbsent<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return undefined;
    throw error;
  }
}

/** The one place where errors of the directory and the lock become ours. */
async function inDirectory<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (error instanceof SandwardenError || code === undefined) throw error;
    const denied = code === 'EACCES' || code === 'EPERM';
    const full = code === 'ENOSPC' || code === 'EDQUOT';
    throw new SandwardenError(
      denied ? 'ERR_FORBIDDEN' : full ? 'ERR_JOURNAL_WRITE' : 'ERR_FILE',
      full ? `the disk is full: cannot take the lock in ${path} (${code})` : `cannot use ${path} (${code})`,
      {
        hint: denied
          ? 'run as root'
          : full
            ? 'make room on that disk; nothing is done that cannot be journaled'
            : `Sandwarden keeps its journal there: look at ${path} and the disk it lies on`,
        cause: error,
      },
    );
  }
}

function notAFile(path: string): SandwardenError {
  return new SandwardenError('ERR_FILE', `${path} is not a file`, { hint: `move it away: mv ${path} ${path}.old` });
}

function unreadable(path: string): SandwardenError {
  return new SandwardenError('ERR_FILE', `cannot read ${path}`, { hint: 'mount /proc; Sandwarden needs it' });
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error ? String(error.code) : undefined;
}
