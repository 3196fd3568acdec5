import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { Observed } from '../model/observed.ts';
import type { KubeletLog, RuntimeLog } from '../model/records.ts';
import { type Run, run } from './child.ts';
import { KubeletLogReader } from './kubelet-log.ts';
import { type LogReader, readLogFile } from './log-file.ts';
import { type LogLine, parseJournalLine } from './log-line.ts';
import { RuntimeLogReader } from './runtime-log.ts';
import { observed } from './unknown.ts';

/** Where a log is read from. `file`: a file instead of the journal, as `journalctl -o json` or as plain lines. */
export interface LogSource {
  readonly file?: string;
  /** No person named that file: it lies where the distribution keeps the log. */
  readonly isFileFound?: boolean;
  readonly units: readonly string[];
  /** Of a file that spans boots: lines dated earlier are not looked at. */
  readonly notBeforeNs?: bigint;
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

/** kubelet's log of this boot: of the last `limits.journalSinceMs` by the wall clock, at most `limits.journalLines`. */
export function readKubeletLog(source: LogSource): Promise<Observed<KubeletLog>> {
  return observed(async () => {
    const reader = new KubeletLogReader(source.nowNs, source.notBeforeNs);
    return reader.result(await readLines(source, 'kubelet', reader));
  });
}

/** The runtime's log; bounds as in readKubeletLog. */
export function readRuntimeLog(source: LogSource): Promise<Observed<RuntimeLog>> {
  return observed(async () => {
    const reader = new RuntimeLogReader(source.notBeforeNs);
    return reader.result(await readLines(source, 'runtime', reader));
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

/** Gives each line to `reader`; whether more were there than were read. */
function readLines(source: LogSource, of: 'kubelet' | 'runtime', reader: LogReader): Promise<boolean> {
  const { bootId, file: path, isFileFound = false } = source;
  if (path !== undefined) {
    return readLogFile({ path, of, isNamed: !isFileFound, ...(bootId === undefined ? {} : { bootId }) }, reader);
  }
  return readJournal(source, (line) => {
    const other = bootId !== undefined && line.at?.bootId !== undefined && line.at.bootId !== bootId;
    if (!other) reader.add(line);
  });
}

async function readJournal(source: LogSource, add: (line: LogLine) => void): Promise<boolean> {
  const runner = source.run ?? run;
  const units = source.units.map((unit) => `--unit=${unit}`);
  const since = (source.nowNs - BigInt(limits.journalSinceMs) * 1_000_000n) / 1_000_000_000n;
  // Without --all a message of more than 4 KiB is null.
  const base = ['journalctl', '--no-pager', '--all', '-o', 'json', FIELDS, '-b', ...units] as const;
  let count = 0;
  const onLine = (json: string) => {
    const line = parseJournalLine(json);
    if (!line) return;
    count++;
    add(line);
  };
  const bounds = ['-n', String(limits.journalLines), `--since=@${since > 0n ? since : 0n}`];
  const { stderr } = await runner([...base, ...bounds], { onLine });
  if (count === 0) await explainSilence(base, stderr, runner);
  return count >= limits.journalLines;
}

/** No line: they may not be read, or this boot has none of these units, or nothing was said lately. */
async function explainSilence(base: readonly [string, ...string[]], stderr: string, runner: Run): Promise<void> {
  if (/not seeing messages|insufficient permissions/i.test(stderr)) {
    throw new SandwardenError('ERR_FORBIDDEN', 'no permission to read the journal of the system', {
      hint: 'Run it as root, or as a member of the group systemd-journal.',
    });
  }
  let any = false;
  const onLine = (json: string) => {
    any ||= parseJournalLine(json) !== undefined;
  };
  await runner([...base, '-n', '1'], { onLine });
  if (any) return;
  const units = base.filter((each) => each.startsWith('--unit=')).map((each) => each.slice(7));
  throw new SandwardenError('ERR_NOT_SUPPORTED', `the journal of this boot has no line of ${units.join(', ')}`, {
    hint: 'Name its log with --kubelet-log FILE or --runtime-log FILE.',
  });
}
