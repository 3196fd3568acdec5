import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { LineSplitter } from './lines.ts';
import { type LogLine, parseJournalLine } from './log-line.ts';
import { readTail } from './read-file.ts';

/** What reads a log line by line, and knows the lines of the program whose log it is. */
export interface LogReader {
  add(line: LogLine): void;
  /** The lines so far that only this program writes: with none it is not its log, however quiet it is. */
  readonly own: number;
  /** The lines so far that were left out because they are dated before this boot. */
  readonly early: number;
}

/** A log in a file, as `journalctl -o json` or as plain lines. */
export interface LogFile {
  readonly path: string;
  readonly of: 'kubelet' | 'runtime';
  /** A person named it; else it was found where the distribution keeps it. */
  readonly isNamed: boolean;
  /** Lines that say they are of another boot are left out. */
  readonly bootId?: string;
}

/**
 * Gives each line of the file's end (`limits.childOutputBytes`) to `reader`; whether more was there than was read.
 * Throws ERR_FILE where it cannot be read, and where no line of it is of that program and this boot: nothing was said
 * by it then, and that nothing was found in it means nothing.
 */
export async function readLogFile(file: LogFile, reader: LogReader): Promise<boolean> {
  const tail = await readTail(file.path, limits.childOutputBytes);
  if (!tail) {
    throw new SandwardenError('ERR_FILE', `there is no file '${safeText(file.path, 300)}'`, {
      hint: 'Name an existing file.',
    });
  }
  const seen = { all: 0, ofOtherBoot: 0, cut: 0 };
  const lines = new LineSplitter(limits.journalRecordBytes, (text) => {
    seen.all++;
    const isRecord = text.startsWith('{') && text.includes('"__REALTIME_TIMESTAMP"');
    const record = isRecord ? parseJournalLine(text) : undefined;
    const bootId = record?.at?.bootId;
    if (file.bootId !== undefined && bootId !== undefined && bootId !== file.bootId) seen.ofOtherBoot++;
    else if (record === undefined && RECORD_FIELD.test(text)) seen.cut++;
    else reader.add(record ?? { text: text.slice(0, limits.journalLineBytes) });
  });
  lines.push(tail.cut ? tail.bytes.subarray(tail.bytes.indexOf(10) + 1) : tail.bytes);
  lines.end();
  if (reader.own === 0) throw nothingOfIt(file, seen, reader.early);
  return tail.cut;
}

// A part of a record tells neither its boot nor its date. Inside a message its quotes would be escaped.
const RECORD_FIELD =
  /"(?:__REALTIME_TIMESTAMP|__MONOTONIC_TIMESTAMP|__CURSOR|_BOOT_ID|_SYSTEMD_UNIT|MESSAGE)" ?: ?["[n]/;

function nothingOfIt(
  { path, of, isNamed }: LogFile,
  { all, ofOtherBoot, cut }: { all: number; ofOtherBoot: number; cut: number },
  early: number,
): SandwardenError {
  const whose = of === 'kubelet' ? "kubelet's" : "the runtime's";
  const counted: [number, string][] = [
    [ofOtherBoot, 'of another boot'],
    [early, 'dated before this boot'],
    [cut, 'cut off'],
    [all - ofOtherBoot - early - cut, `not ${whose}`],
  ];
  const why = counted.filter(([count]) => count > 0).map(([count, words]) => `${count} ${words}`);
  const name = safeText(path, 300);
  const message =
    all === 0
      ? `the file '${name}' has no line`
      : `no line of '${name}' is ${whose} and of this boot (${all} line${all === 1 ? '' : 's'}: ${why.join(', ')})`;
  const option = of === 'kubelet' ? '--kubelet-log' : '--runtime-log';
  const unit = of === 'kubelet' ? 'kubelet' : 'containerd';
  return new SandwardenError('ERR_FILE', message, {
    hint: isNamed
      ? `Name its log of this boot (journalctl -b -u ${unit} -o json > FILE); without ${option} the journal is read.`
      : `It lies where ${whose} log is kept here; if it is kept elsewhere, name it with ${option} FILE.`,
  });
}
