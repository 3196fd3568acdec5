import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';

/** Who holds the lock. A pid alone names nobody: pids come again, and after a reboot all of them do. */
export interface Holder {
  readonly pid: number;
  /** Start of the process in clock ticks since boot (/proc/PID/stat, field 22). */
  readonly startTicks: number;
  readonly bootId: string;
  /** The pid namespace the pid belongs to (/proc/self/ns/pid). */
  readonly pidNamespace: string;
  /** When it was taken, by the wall clock. */
  readonly sinceWallNs: bigint;
}

/** The files of the lock, as a port. */
export interface LockStore {
  /** How a person names file `name`. */
  pathOf(name: string): string;
  list(): Promise<readonly string[]>;
  /** The text of a file, or undefined where it is not there. */
  read(name: string): Promise<string | undefined>;
  /** Makes the file with all of its text at once; false where it is there already. */
  create(name: string, text: string): Promise<boolean>;
  /** Removes it; nothing where it is not there. */
  remove(name: string): Promise<void>;
}

/** The processes of this machine, as a port. */
export interface Processes {
  /** Ourselves. */
  self(): Promise<Omit<Holder, 'sinceWallNs'>>;
  /** The start of a process of our pid namespace, or undefined where there is none. */
  startTicks(pid: number): Promise<number | undefined>;
}

export interface HeldLock {
  release(): Promise<void>;
}

const NAME = /^lock\.(\d{1,15})$/;
const FREE = 'free\n';

/**
 * Takes the lock, or throws ERR_LOCKED with who holds it and since when.
 *
 * The lock is the file `lock.N` with the highest N; its text says who holds it, or that it is free. Whoever finds
 * it free, or its holder gone, makes `lock.N+1`, which only one can. Numbers only grow and a file appears with all
 * of its text (link(2)), so a lock of a dead process is taken over without a moment in which two hold it.
 */
export async function takeLock(store: LockStore, processes: Processes, wallNs: bigint): Promise<HeldLock> {
  const self = await processes.self();
  const text = encodeHolder({ ...self, sinceWallNs: wallNs });
  for (let tries = 0; tries < limits.lockTries; tries += 1) {
    const top = await highest(store);
    const holder = top === 0 ? undefined : await holderOf(store, top);
    if (holder === 'moved') continue;
    if (holder !== undefined && (await isThere(holder, self, processes))) throw locked(store, top, holder, self);
    const mine = top + 1;
    if (!(await store.create(nameOf(mine), text))) continue;
    if ((await highest(store)) !== mine) {
      await store.remove(nameOf(mine));
      continue;
    }
    await removeBelow(store, mine);
    return { release: () => release(store, mine) };
  }
  throw new SandwardenError('ERR_LOCKED', 'several Sandwardens try to start at the same moment', {
    hint: 'run it again when the others are done',
  });
}

/** Frees it by the next number, so that numbers never start anew under somebody who is looking. */
async function release(store: LockStore, mine: number): Promise<void> {
  await store.create(nameOf(mine + 1), FREE);
  await removeBelow(store, mine + 1);
}

async function highest(store: LockStore): Promise<number> {
  const numbers = (await store.list()).map((name) => Number(NAME.exec(name)?.[1] ?? 0));
  return numbers.reduce((most, each) => Math.max(most, each), 0);
}

async function removeBelow(store: LockStore, keep: number): Promise<void> {
  for (const name of await store.list()) {
    const number = Number(NAME.exec(name)?.[1] ?? Number.POSITIVE_INFINITY);
    if (number < keep) await store.remove(name);
  }
}

async function holderOf(store: LockStore, number: number): Promise<Holder | undefined | 'moved'> {
  const text = await store.read(nameOf(number));
  if (text === undefined) return 'moved';
  if (text === FREE) return undefined;
  const holder = decodeHolder(text);
  if (holder !== undefined) return holder;
  throw new SandwardenError('ERR_LOCKED', `the lock ${store.pathOf(nameOf(number))} does not say who holds it`, {
    hint: `when no other Sandwarden runs, remove it: rm ${store.pathOf(nameOf(number))}`,
  });
}

async function isThere(holder: Holder, self: { bootId: string; pidNamespace: string }, processes: Processes) {
  if (holder.bootId !== self.bootId) return false;
  // The pid of another namespace (a container) means nothing here: it counts as there until the next boot.
  if (holder.pidNamespace !== self.pidNamespace) return true;
  return (await processes.startTicks(holder.pid)) === holder.startTicks;
}

function locked(store: LockStore, number: number, holder: Holder, self: { pidNamespace: string }): SandwardenError {
  const since = dateOf(holder.sinceWallNs);
  const elsewhere = holder.pidNamespace !== self.pidNamespace;
  const who = elsewhere ? `process ${holder.pid} of another container` : `process ${holder.pid}`;
  return new SandwardenError('ERR_LOCKED', `another Sandwarden is healing this node: ${who}, since ${since}`, {
    hint: elsewhere
      ? `wait until it is done; when that container is gone: rm ${store.pathOf(nameOf(number))}`
      : 'wait until it is done, then run `sandwarden check`',
  });
}

function nameOf(number: number): string {
  return `lock.${number}`;
}

function encodeHolder(holder: Holder): string {
  const { pid, startTicks, bootId, pidNamespace } = holder;
  return `${JSON.stringify({ pid, startTicks, bootId, pidNamespace, sinceWallNs: holder.sinceWallNs.toString() })}\n`;
}

function decodeHolder(text: string): Holder | undefined {
  const match =
    /^\{"pid":(\d{1,10}),"startTicks":(\d{1,15}),"bootId":"([\w-]{1,64})","pidNamespace":"([^"\\]{1,64})","sinceWallNs":"(-?\d{1,20})"\}\n$/.exec(
      text,
    );
  const [, pid, startTicks, bootId, pidNamespace, since] = match ?? [];
  if (!pid || !startTicks || !bootId || !pidNamespace || !since) return undefined;
  return { pid: Number(pid), startTicks: Number(startTicks), bootId, pidNamespace, sinceWallNs: BigInt(since) };
}

function dateOf(wallNs: bigint): string {
  const date = new Date(Number(wallNs / 1_000_000n));
  return Number.isNaN(date.getTime()) ? 'an unknown date' : date.toISOString();
}
