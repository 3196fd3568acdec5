import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { Observed } from '../model/observed.ts';
import type { KubeletLog, RuntimeLog } from '../model/records.ts';
import { safeText } from '../model/safe-text.ts';
import { type Run, run } from './child.ts';
import { KubeletLogReader } from './kubelet-log.ts';
import { LineSplitter } from './lines.ts';
import { type LogLine, parseJournalLine } from './log-line.ts';
import { readTail } from './read-file.ts';
import { RuntimeLogReader } from './runtime-log.ts';
import { observed } from './unknown.ts';

/** Where a log is read from. `file`: a file instead of the journal, as `journalctl -o json` or as plain lines. */
export interface LogSource {
  readonly file?: string;
  readonly units: readonly string[];
  /** The wall clock of the look. */
  readonly nowNs: bigint;
  /** Lines that say they are of another boot are left out. */
  readonly bootId?: string;
  readonly run?: Run;
}

/** The units that may contain kubelet, in the distributions that are known. What is not installed has no lines. */
export const kubeletUnits = [
  'kubelet.service',
  'k3s.service',
  'k3s-agent.service',
  'rke2-server.service',
  'rke2-agent.service',
  'k0scontroller.service',
  'k0sworker.service',
  'snap.microk8s.daemon-kubelite.service',
] as const;

/** kubelet's log of this boot, of the last `limits.journalSinceMs` by the wall clock and at most `limits.journalLines`. */
export function readKubeletLog(source: LogSource): Promise<Observed<KubeletLog>> {
  return observed(async () => {
    const reader = new KubeletLogReader(source.nowNs);
    return reader.result(await readLines(source, (line) => reader.add(line)));
  });
}

/** The runtime's log; bounds as in readKubeletLog. */
export function readRuntimeLog(source: LogSource): Promise<Observed<RuntimeLog>> {
  return observed(async () => {
    const reader = new RuntimeLogReader();
    return reader.result(await readLines(source, (line) => reader.add(line)));
  });
}

// What the parsers use; of the rest (command lines, capabilities) nothing is even read.
const FIELDS = '--output-fields=MESSAGE,MESSAGE_ID,_PID,_COMM';

/** The last lines of another boot, oldest first. */
export async function lastLinesOfBoot(bootId: string, count: number, runner: Run = run): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  const argv = ['journalctl', '-q', '--no-pager', '-o', 'json', FIELDS, '-n', String(count), '-b', bootId] as const;
  await runner(argv, {
    onLine(json) {
      const line = parseJournalLine(json);
      if (line) lines.push(line);
    },
  });
  return lines;
}

/** Gives each line to `add`; whether more were there than were read. */
async function readLines(source: LogSource, add: (line: LogLine) => void): Promise<boolean> {
  const ofThisBoot = (line: LogLine) => {
    const other = source.bootId !== undefined && line.at?.bootId !== undefined && line.at.bootId !== source.bootId;
    if (!other) add(line);
  };
  return source.file === undefined ? readJournal(source, ofThisBoot) : readLogFile(source.file, ofThisBoot);
}

async function readJournal(source: LogSource, add: (line: LogLine) => void): Promise<boolean> {
  const since = (source.nowNs - BigInt(limits.journalSinceMs) * 1_000_000n) / 1_000_000_000n;
  let count = 0;
  const { stderr } = await (source.run ?? run)(
    [
      'journalctl',
      '--no-pager',
      // Without it a message of more than 4 KiB is null.
      '--all',
      '-o',
      'json',
      FIELDS,
      '-b',
      '-n',
      String(limits.journalLines),
      `--since=@${since > 0n ? since : 0n}`,
      ...source.units.map((unit) => `--unit=${unit}`),
    ],
    {
      onLine(json) {
        const line = parseJournalLine(json);
        if (!line) return;
        count++;
        add(line);
      },
    },
  );
  if (count === 0 && /not seeing messages|insufficient permissions/i.test(stderr)) {
    throw new SandwardenError('ERR_FORBIDDEN', 'no permission to read the journal of the system', {
      hint: 'Run it as root, or as a member of the group systemd-journal.',
    });
  }
  return count >= limits.journalLines;
}

async function readLogFile(path: string, add: (line: LogLine) => void): Promise<boolean> {
  const tail = await readTail(path, limits.childOutputBytes);
  if (!tail) {
    throw new SandwardenError('ERR_FILE', `there is no file '${safeText(path, 300)}'`, {
      hint: 'Name an existing file.',
    });
  }
  const lines = new LineSplitter(limits.journalRecordBytes, (text) => {
    const journal =
      text.startsWith('{') && text.includes('"__REALTIME_TIMESTAMP"') ? parseJournalLine(text) : undefined;
    add(journal ?? { text: text.slice(0, limits.journalLineBytes) });
  });
  lines.push(tail.cut ? tail.bytes.subarray(tail.bytes.indexOf(10) + 1) : tail.bytes);
  lines.end();
  return tail.cut;
}
