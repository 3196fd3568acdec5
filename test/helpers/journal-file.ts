import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** An entry of a journal as its export format has it (systemd.io/JOURNAL_EXPORT_FORMATS). */
export interface JournalEntry {
  readonly wallUs: number;
  readonly monotonicUs: number;
  readonly bootId: string;
  /** Values must hold no line break. */
  readonly fields: Readonly<Record<string, string>>;
}

const program = ['/lib/systemd/systemd-journal-remote', '/usr/lib/systemd/systemd-journal-remote'].find((each) =>
  existsSync(each),
);

/** Why no journal can be made here, or undefined where one can. */
export const cannotMakeJournals =
  program === undefined
    ? 'systemd-journal-remote is not installed (apt-get install systemd-journal-remote)'
    : undefined;

/** Writes a real journal file (its name must end in `.journal`), which journalctl reads with --file. */
export async function writeJournal(path: string, entries: Iterable<JournalEntry>): Promise<void> {
  if (program === undefined) throw new Error(cannotMakeJournals);
  const child = spawn(program, ['-o', path, '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.on('data', (chunk: Buffer) => {
    words += chunk.toString();
  });
  const ended = once(child, 'close');
  await pipeline(Readable.from(chunks(entries)), child.stdin);
  const [code] = (await ended) as [number | null];
  if (code !== 0) throw new Error(`systemd-journal-remote ended with ${code}: ${words}`);
}

function* chunks(entries: Iterable<JournalEntry>): Generator<string> {
  let text = '';
  for (const { wallUs, monotonicUs, bootId, fields } of entries) {
    text += `__REALTIME_TIMESTAMP=${wallUs}\n__MONOTONIC_TIMESTAMP=${monotonicUs}\n_BOOT_ID=${bootId}\n`;
    for (const [key, value] of Object.entries(fields)) text += `${key}=${value}\n`;
    text += '\n';
    if (text.length > 64 * 1024) {
      yield text;
      text = '';
    }
  }
  yield text;
}
