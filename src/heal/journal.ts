import type { Clock } from '../model/clock.ts';
import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { within } from './deadline.ts';
import { type Entry, type EntryBody, encodeEntry, type Stamp } from './entries.ts';
import { type Damage, readGeneration } from './journal-read.ts';

/** The file of the journal that is being written, as a port: tests make it fail, or die, at any byte. */
export interface JournalFile {
  /** Writes all of it at the end, or throws. */
  append(bytes: Uint8Array): Promise<void>;
  /** Returns once all that was appended survives a power cut. */
  sync(): Promise<void>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

/** Where the journal lies. Errors of the system come as they are; the journal translates them. */
export interface JournalStore {
  /** How a person names the files. */
  readonly path: string;
  readonly olderPath: string;
  /** The bytes of a generation; nothing where it is not there. */
  read(which: 'current' | 'older'): AsyncIterable<Uint8Array>;
  /** Opens the current generation for appending; makes it where it is not there. */
  open(): Promise<JournalFile>;
  /** Makes the current generation the older one. */
  turnOver(): Promise<void>;
}

export interface ReadJournal {
  readonly entries: readonly Entry[];
  /** Where the journal ends in a line that a crash cut off, and how long that is. */
  readonly torn?: { readonly line: number; readonly bytes: number };
}

/**
 * Reads the whole journal and changes nothing: for `history` and for a plan that is only shown.
 * Throws ERR_JOURNAL_DAMAGED, ERR_FILE, ERR_FORBIDDEN.
 */
export async function readJournal(store: JournalStore): Promise<ReadJournal> {
  return joined(await readBoth(store));
}

/**
 * Reads what is whole of the journal and changes nothing: for a person who looks back. Damage is given and not thrown,
 * for nothing is done on the strength of this. Throws ERR_FILE, ERR_FORBIDDEN.
 */
export async function readWhatIsWhole(store: JournalStore): Promise<ReadJournal & { readonly damage: Damage[] }> {
  const damage: Damage[] = [];
  return { ...joined(await readBoth(store, (each) => damage.push(each))), damage };
}

function joined({ older, current }: Awaited<ReturnType<typeof readBoth>>): ReadJournal {
  const torn = current.torn ?? older.torn;
  return { entries: [...older.entries, ...current.entries], ...(torn === undefined ? {} : { torn }) };
}

/**
 * Opens the journal for a run that holds the lock. An end that a crash cut off is taken away and noted.
 * Throws ERR_JOURNAL_DAMAGED, ERR_JOURNAL_WRITE, ERR_FILE, ERR_FORBIDDEN.
 */
export async function openJournal(
  store: JournalStore,
  run: { readonly runId: string; readonly bootId: string; readonly clock: Clock },
): Promise<Journal> {
  let { older, current } = await readBoth(store);
  if (current.torn === undefined && current.goodBytes > limits.journalBytes) {
    await translated(store.path, () => store.turnOver());
    older = current;
    current = { entries: [], goodBytes: 0 };
  }
  const entries = [...older.entries, ...current.entries];
  const file = await translated(store.path, () => store.open());
  const journal = new Journal(store.path, file, run, { entries, length: current.goodBytes });
  if (current.torn !== undefined) {
    const { line, bytes } = current.torn;
    await translated(store.path, () => file.truncate(current.goodBytes));
    await journal.append({ kind: 'note', text: `line ${line} was cut off by a crash; ${bytes} bytes taken away` });
  }
  return journal;
}

interface Waiting {
  readonly body: EntryBody;
  readonly at: Stamp;
  readonly resolve: (entry: Entry) => void;
  readonly reject: (error: unknown) => void;
}

/** The journal of one run. Entries that wait at the same time share one sync. */
export class Journal {
  /** What was there when it was opened, oldest first. */
  readonly entries: readonly Entry[];
  readonly runId: string;
  readonly #path: string;
  readonly #file: JournalFile;
  readonly #clock: Clock;
  readonly #bootId: string;
  #length: number;
  #seq: number;
  #waiting: Waiting[] = [];
  #committing: Promise<void> | undefined;
  #broken: SandwardenError | undefined;

  constructor(
    path: string,
    file: JournalFile,
    run: { readonly runId: string; readonly bootId: string; readonly clock: Clock },
    start: { readonly entries: readonly Entry[]; readonly length: number },
  ) {
    this.#path = path;
    this.#file = file;
    this.#clock = run.clock;
    this.#bootId = run.bootId;
    this.runId = run.runId;
    this.entries = start.entries;
    this.#length = start.length;
    this.#seq = (start.entries.at(-1)?.seq ?? 0) + 1;
  }

  /** Now, by both clocks. */
  stamp(): Stamp {
    return { wallNs: this.#clock.wallNs(), uptimeNs: this.#clock.uptimeNs(), bootId: this.#bootId };
  }

  /** Resolves once the entry is durable. Throws ERR_JOURNAL_WRITE: then nothing may be done on its strength. */
  append(body: EntryBody): Promise<Entry> {
    const { promise, resolve, reject } = Promise.withResolvers<Entry>();
    this.#waiting.push({ body, at: this.stamp(), resolve, reject });
    this.#committing ??= this.#commit();
    return promise;
  }

  /** Waits for what is being written, then closes the file. */
  async close(): Promise<void> {
    await this.#committing;
    await translated(this.#path, () => this.#file.close());
  }

  async #commit(): Promise<void> {
    // One turn later: what others append in this turn shares the sync.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        const entries = await this.#write(batch);
        for (const [index, each] of batch.entries()) each.resolve(entries[index] as Entry);
      } catch (error) {
        for (const each of batch) each.reject(error);
      }
    }
    // In the same turn as the last look at what waits: whoever comes later begins a new commit.
    this.#committing = undefined;
  }

  async #write(batch: readonly Waiting[]): Promise<Entry[]> {
    if (this.#broken) throw this.#broken;
    const entries = batch.map(
      ({ body, at }, index): Entry => ({ v: 1, seq: this.#seq + index, runId: this.runId, at, ...body }),
    );
    const bytes = Buffer.from(entries.map(encodeEntry).join(''));
    try {
      await this.#bounded(() => this.#file.append(bytes));
    } catch (error) {
      await this.#takeBack(error);
      throw error;
    }
    try {
      await this.#bounded(() => this.#file.sync());
    } catch (error) {
      // After a failed sync nobody knows what is on the disk, and a second sync may lie (fsync(2), NOTES).
      this.#broken = asBroken(error);
      throw error;
    }
    this.#length += bytes.length;
    this.#seq += batch.length;
    return entries;
  }

  /** Takes half a line away after a failed write, so that outcomes can still be written when there is room again. */
  async #takeBack(error: unknown): Promise<void> {
    try {
      await this.#bounded(() => this.#file.truncate(this.#length));
    } catch (second) {
      if (!isSandwardenError(second)) throw second;
      this.#broken = asBroken(error);
    }
  }

  #bounded(work: () => Promise<void>): Promise<void> {
    const deadline = {
      clock: this.#clock,
      ms: limits.journalSyncTimeoutMs,
      doing: `writing the journal ${this.#path}`,
      code: 'ERR_JOURNAL_WRITE',
      hint: 'the disk of the journal hangs: look at dmesg; nothing is done that cannot be journaled',
    } as const;
    return translated(this.#path, () => within(deadline, work));
  }
}

async function readBoth(store: JournalStore, onDamage?: (damage: Damage) => void) {
  const read = (which: 'older' | 'current', path: string, afterSeq?: number) =>
    translated(path, () => readGeneration(store.read(which), path, afterSeq, onDamage), 'read');
  const older = await read('older', store.olderPath);
  const current = await read('current', store.path, older.entries.at(-1)?.seq);
  return { older, current };
}

function asBroken(error: unknown): SandwardenError {
  if (isSandwardenError(error)) return error;
  throw error;
}

/** The one place where errors of the journal's files become ours. */
async function translated<T>(path: string, work: () => Promise<T>, doing: 'read' | 'write' = 'write'): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined;
    if (isSandwardenError(error) || code === undefined) throw error;
    throw fileError(path, doing, code, error);
  }
}

function fileError(path: string, doing: 'read' | 'write', code: string, cause: unknown): SandwardenError {
  if (code === 'EACCES' || code === 'EPERM') {
    return new SandwardenError('ERR_FORBIDDEN', `may not ${doing} the journal ${path} (${code})`, {
      hint: 'run as root; without its journal Sandwarden does nothing',
      cause,
    });
  }
  if (code === 'ELOOP') {
    return new SandwardenError('ERR_FILE', `the journal ${path} is a symbolic link, which is not followed`, {
      hint: `remove the link: rm ${path}`,
      cause,
    });
  }
  if (doing === 'read') {
    return new SandwardenError('ERR_FILE', `cannot read the journal ${path} (${code})`, {
      hint: 'without its journal Sandwarden does nothing: look at the disk it lies on',
      cause,
    });
  }
  const full = code === 'ENOSPC' || code === 'EDQUOT';
  return new SandwardenError(
    'ERR_JOURNAL_WRITE',
    full
      ? `the disk is full: cannot write the journal ${path} (${code})`
      : `cannot write the journal ${path} (${code})`,
    {
      hint: full
        ? 'make room on that disk, then run `sandwarden heal` again; nothing is done that cannot be journaled'
        : 'look at the disk (dmesg), then run `sandwarden heal` again; nothing is done that cannot be journaled',
      cause,
    },
  );
}
