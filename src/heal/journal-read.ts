import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { decodeEntry, type Entry } from './entries.ts';

/** The end of a journal that a crash cut off: bytes that were never confirmed, so no act hangs on them. */
export interface Torn {
  readonly line: number;
  readonly bytes: number;
}

export interface Generation {
  readonly entries: readonly Entry[];
  /** How many bytes from the start are whole entries. */
  readonly goodBytes: number;
  readonly torn?: Torn;
}

/** A place at which the journal is no journal. */
export interface Damage {
  readonly file: string;
  readonly line: number;
  readonly why: string;
}

/**
 * Reads one generation of the journal as it streams in. A last line without its end is what a crash leaves and
 * is given as `torn`; anything else that is not an entry, or an entry that is missing, is damage.
 * `afterSeq` is the last number of the generation before, where there is one.
 * Throws ERR_JOURNAL_DAMAGED with file and line; with `onDamage` it is called instead, and what is whole is read on.
 */
export async function readGeneration(
  chunks: AsyncIterable<Uint8Array>,
  file: string,
  afterSeq?: number,
  onDamage: (damage: Damage) => void = refuse,
): Promise<Generation> {
  const entries: Entry[] = [];
  let last = afterSeq;
  let goodBytes = 0;
  let line = 0;
  let rest: Buffer = Buffer.alloc(0);
  // Of a line that is too long nothing is kept; the next one begins after its end.
  let isTooLong = false;
  const bad = (at: number, why: string) => {
    onDamage({ file, line: at, why });
    last = undefined;
  };
  for await (const chunk of chunks) {
    let data = rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([rest, chunk]);
    for (let end = data.indexOf(0x0a); end !== -1; end = data.indexOf(0x0a)) {
      line += 1;
      const known = isTooLong;
      isTooLong = false;
      const entry = end > limits.journalEntryBytes ? 'it is too long' : decodeEntry(data.toString('utf8', 0, end));
      data = data.subarray(end + 1);
      if (known) continue;
      if (typeof entry === 'string') {
        bad(line, entry);
        continue;
      }
      if (last !== undefined && entry.seq !== last + 1) bad(line, `entry ${entry.seq} follows entry ${last}`);
      last = entry.seq;
      entries.push(entry);
      goodBytes += end + 1;
    }
    if (data.length > limits.journalEntryBytes) {
      if (!isTooLong) bad(line + 1, 'it is too long');
      isTooLong = true;
      data = Buffer.alloc(0);
    }
    rest = data;
  }
  const torn = rest.length === 0 || isTooLong ? {} : { torn: { line: line + 1, bytes: rest.length } };
  return { entries, goodBytes, ...torn };
}

function refuse({ file, line, why }: Damage): never {
  throw damaged(file, line, why);
}

function damaged(file: string, line: number, why: string): SandwardenError {
  return new SandwardenError('ERR_JOURNAL_DAMAGED', `the journal is damaged at ${file}:${line}: ${why}`, {
    hint:
      `nothing was done: what was done before cannot be counted. Look at the line; to begin a new journal, ` +
      `move this one away: mv ${file} ${file}.damaged`,
  });
}
