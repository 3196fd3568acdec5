import type { Entry } from '../../src/heal/entries.ts';
import { type JournalFile, type JournalStore, openJournal, readJournal } from '../../src/heal/journal.ts';
import { type LockStore, type Processes, takeLock } from '../../src/heal/lock.ts';
import type { HealState } from '../../src/heal/state-dir.ts';
import type { Clock } from '../../src/model/clock.ts';

/** What the disk does at one of its operations, counted from 0 over `append`, `sync` and `truncate`. */
export type Mishap =
  | {
      readonly at: number;
      readonly kind: 'error';
      readonly code: string;
      readonly afterBytes?: number;
      readonly for?: number;
    }
  /** The process dies after this many bytes of the write. */
  | { readonly at: number; readonly kind: 'die'; readonly afterBytes: number }
  | { readonly at: number; readonly kind: 'hang' }
  | { readonly at: number; readonly kind: 'slow'; readonly ms: number };

/** A journal in memory: what was written, how much of it is durable, and mishaps at will. */
export class SimDisk implements JournalStore {
  readonly path = '/sim/journal.ndjson';
  readonly olderPath = '/sim/journal.1.ndjson';
  current: Buffer = Buffer.alloc(0);
  older: Buffer = Buffer.alloc(0);
  durable = 0;
  operations: string[] = [];
  mishaps: Mishap[] = [];
  onDeath: () => void = () => undefined;
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  async *read(which: 'current' | 'older'): AsyncIterable<Uint8Array> {
    const data = which === 'current' ? this.current : this.older;
    for (let at = 0; at < data.length; at += 1_000) yield data.subarray(at, at + 1_000);
  }

  open(): Promise<JournalFile> {
    return Promise.resolve({
      append: (bytes) => this.#operate(`append ${bytes.length}`, Buffer.from(bytes)),
      sync: async () => {
        const length = this.current.length;
        await this.#operate('sync');
        this.durable = Math.max(this.durable, length);
      },
      truncate: async (length) => {
        await this.#operate(`truncate ${length}`);
        this.current = this.current.subarray(0, length);
        this.durable = Math.min(this.durable, length);
      },
      close: () => Promise.resolve(),
    });
  }

  turnOver(): Promise<void> {
    this.older = this.current;
    this.current = Buffer.alloc(0);
    this.durable = 0;
    return Promise.resolve();
  }

  /** The entries that survive a power cut now. */
  async durableEntries(): Promise<readonly Entry[]> {
    const only = new SimDisk(this.#clock);
    only.older = this.older;
    only.current = this.current.subarray(0, this.durable);
    return (await readJournal(only)).entries;
  }

  async #operate(name: string, bytes: Buffer = Buffer.alloc(0)): Promise<void> {
    const index = this.operations.push(name) - 1;
    const mishap = this.mishaps.find(
      (each) => index >= each.at && index < each.at + ('for' in each ? (each.for ?? 1) : 1),
    );
    if (mishap?.kind === 'slow') await this.#clock.sleep(mishap.ms);
    if (mishap?.kind === 'hang') return new Promise(() => undefined);
    const taken =
      mishap && 'afterBytes' in mishap ? (mishap.afterBytes ?? 0) : mishap?.kind === 'error' ? 0 : bytes.length;
    this.current = Buffer.concat([this.current, bytes.subarray(0, taken)]);
    if (mishap?.kind === 'error') throw Object.assign(new Error(mishap.code), { code: mishap.code });
    if (mishap?.kind === 'die') {
      this.onDeath();
      return new Promise(() => undefined);
    }
  }
}

/** The processes and the lock of the simulated machine. */
export class SimMachine {
  bootId = 'boot-1';
  readonly files = new Map<string, string>();
  readonly alive = new Map<number, number>();
  /** The contents that were kept, by their hash. */
  readonly kept = new Map<string, Buffer>();
  #nextPid = 100;

  /** A process of Sandwarden with its view of the state directory. */
  start(disk: JournalStore): { state: HealState; kill: () => void; pid: number } {
    const pid = this.#nextPid++;
    this.alive.set(pid, pid * 10);
    const { bootId } = this;
    const processes: Processes = {
      self: () => Promise.resolve({ pid, startTicks: pid * 10, bootId, pidNamespace: 'pid:[1]' }),
      startTicks: (of) => Promise.resolve(this.alive.get(of)),
    };
    return {
      pid,
      kill: () => void this.alive.delete(pid),
      state: {
        bootId,
        lock: (wallNs) => takeLock(this.locks, processes, wallNs),
        openJournal: (runId, clock) => openJournal(disk, { runId, bootId, clock }),
        backups: {
          save: async (sha256, content) => void this.kept.set(sha256, content),
          read: async (sha256) => this.kept.get(sha256),
          pathOf: (sha256) => `/sim/backups/${sha256}`,
        },
      },
    };
  }

  readonly locks: LockStore = {
    pathOf: (name) => `/sim/${name}`,
    list: () => Promise.resolve([...this.files.keys()]),
    read: (name) => Promise.resolve(this.files.get(name)),
    create: (name, text) => {
      if (this.files.has(name)) return Promise.resolve(false);
      this.files.set(name, text);
      return Promise.resolve(true);
    },
    remove: (name) => {
      this.files.delete(name);
      return Promise.resolve();
    },
  };
}
