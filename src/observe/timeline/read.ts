import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import type { Timeline, TimelineBoot, TimelineGap } from '../../model/incident.ts';
import { limits } from '../../model/limits.ts';
import type { Boot } from '../../model/node.ts';
import { safeText } from '../../model/safe-text.ts';
import { parseBootList } from '../boots.ts';
import { type Run, run } from '../child.ts';
import { BootReader } from './boot.ts';
import { parseEntry, SequenceWatch } from './entry.ts';
import { readCrashes } from './pstore.ts';

/** Which journal. */
export interface JournalPlace {
  /** A journal file or a directory of them, in place of this machine's journal. */
  readonly journal?: { readonly path: string; readonly isDirectory: boolean };
  readonly run?: Run;
}

export interface TimelineSource extends JournalPlace {
  readonly sinceNs: bigint;
  /** This machine's boot; absent where the journal is another machine's. */
  readonly bootId?: string;
  /** Prefix of the paths of pstore; pstore is not looked at where the journal is another machine's. */
  readonly root?: string;
}

/**
 * The journal of all boots since a date, line by line and with bounded memory, in the order in which it was written:
 * by boot and by the kernel's count in each, whatever the wall clock did. A journal that is damaged is read as far as
 * it can be, and says so. Throws ERR_FORBIDDEN, ERR_COMMAND_MISSING, ERR_NOT_SUPPORTED where nothing could be read.
 */
export async function readTimeline(source: TimelineSource): Promise<Omit<Timeline, 'healed' | 'hostname'>> {
  const gaps: TimelineGap[] = [];
  const listed = await listBoots(source, gaps);
  const { boots, lines } = await readBoots(source, listed, gaps);
  const here = source.journal === undefined;
  const crashes = here ? await readCrashes(source.root ?? '', source.sinceNs, gaps) : [];
  return { sinceNs: source.sinceNs, lines, boots, crashes, gaps };
}

const FIELDS = '--output-fields=MESSAGE,MESSAGE_ID,_TRANSPORT,_PID,_SYSTEMD_UNIT';

/**
 * What is asked of journalctl: all lines, few fields of each. With matches it would give fewer lines, but follows lists
 * of them in the file, and where one of those is damaged it leaves out the rest without a word: that would look as if
 * kubelet had gone silent.
 */
export function journalArgv(source: TimelineSource, listed: readonly Boot[]): [string, ...string[]] {
  // A boot whose clock was wrong begins before the date that is asked for, though it came after: then all is read.
  const jumped = wantedBoots(listed, source.sinceNs)
    .slice(1)
    .some((each) => each.firstNs < source.sinceNs);
  const since = jumped ? [] : [`--since=@${source.sinceNs > 0n ? source.sinceNs / 1_000_000_000n : 0n}`];
  return ['journalctl', ...where(source), '--no-pager', '--all', '-o', 'json', FIELDS, ...since];
}

/** Where a journal ends by its own clock. */
export interface JournalEnd {
  /** The last date of the boot that was written last; undefined where the journal has none or cannot be listed. */
  readonly endNs?: bigint;
  /** The boots whose dates were passed over, and why. */
  readonly gaps: readonly TimelineGap[];
}

/**
 * The end of a journal: that of the boot written last, in the order of journalctl's list, which goes by the numbers of
 * the lines; the largest date may be that of a boot whose clock was wrong. Nor is a boot taken that lies in the future
 * of `nowNs`, this machine's clock: with it as now, no other boot would be within the last days. Where all do, it is
 * this machine's clock that is behind.
 */
export async function endOfJournal(place: JournalPlace, nowNs: bigint): Promise<JournalEnd> {
  const boots = await listBoots(place, []);
  const ahead = boots.filter((each) => each.lastNs > nowNs + BigInt(limits.incidentAheadMs) * 1_000_000n);
  const last = boots.findLast((each) => !ahead.includes(each));
  if (last === undefined) return { ...endOf(boots.at(-1)), gaps: [] };
  return { ...endOf(last), gaps: ahead.map(aheadOf) };
}

function endOf(boot: Boot | undefined): { endNs?: bigint } {
  return boot === undefined ? {} : { endNs: boot.lastNs };
}

function aheadOf({ bootId, lastNs }: Boot): TimelineGap {
  const date = new Date(Number(lastNs / 1_000_000n)).toISOString().slice(0, 16).replace('T', ' ');
  return {
    source: `the dates of boot ${bootId.slice(0, 8)}`,
    message: `it ends at ${date} UTC, which has not come yet: they are wrong, and no end of the journal`,
    hint: 'The clock of the machine was far ahead. The order of boots does not go by dates.',
  };
}

async function listBoots(source: JournalPlace & { readonly bootId?: string }, gaps: TimelineGap[]): Promise<Boot[]> {
  const runner = source.run ?? run;
  try {
    const { stdout } = await runner(['journalctl', ...where(source), '-q', '--no-pager', '--list-boots', '-o', 'json']);
    return parseBootList(stdout, source.bootId);
  } catch (error) {
    if (!isSandwardenError(error, 'ERR_COMMAND_FAILED')) throw error;
    gaps.push(gapOf('the list of boots', error));
    return [];
  }
}

async function readBoots(
  source: TimelineSource,
  listed: readonly Boot[],
  gaps: TimelineGap[],
): Promise<{ boots: TimelineBoot[]; lines: number }> {
  const readers = new Map<string, BootReader>();
  const sequence = new SequenceWatch();
  const wanted = wantedBoots(listed, source.sinceNs).map((each) => each.bootId);
  const isWanted = wanted.length === 0 ? () => true : (bootId: string) => wanted.includes(bootId);
  let [lines, broken] = [0, 0];
  const onLine = (json: string) => {
    const entry = parseEntry(json);
    if (!entry) {
      if (json.startsWith('{')) broken++;
      return;
    }
    sequence.add(entry.cursor);
    const known = readers.get(entry.bootId);
    if (known) {
      lines++;
      return known.add(entry);
    }
    if (readers.size >= limits.incidentBoots || !isWanted(entry.bootId)) return;
    lines++;
    const reader = new BootReader(entry);
    readers.set(entry.bootId, reader);
    reader.add(entry);
  };
  const bounds = { onLine, timeoutMs: limits.incidentReadMs, maxBytes: limits.incidentBytes };
  try {
    const { stderr } = await (source.run ?? run)(journalArgv(source, listed), bounds);
    complain(stderr, lines, gaps);
  } catch (error) {
    // What was read before it broke off is worth telling.
    if (!isSandwardenError(error, 'ERR_COMMAND_FAILED')) throw error;
    if (lines === 0) throw source.journal === undefined ? error : unreadable(source.journal.path, error);
    gaps.push(gapOf('the journal', error));
  }
  if (broken > 0) gaps.push(brokenLines(broken));
  if (sequence.missing > 0) gaps.push(missingLines(sequence.missing));
  // In the order in which their first line was written: the list of journalctl goes by dates, which may be wrong.
  const known = new Map(listed.map((each) => [each.bootId, each]));
  const boots = [...readers].map(([bootId, reader], index) => {
    const isLast = index === readers.size - 1;
    const boot = reader.result(known.get(bootId), isLast);
    return bootId === source.bootId ? { ...boot, end: 'running' as const } : boot;
  });
  return { boots, lines };
}

/** What journalctl says on the side: no permission, damaged files. */
function complain(stderr: string, lines: number, gaps: TimelineGap[]): void {
  if (lines === 0 && /not seeing messages|insufficient permissions|No journal files were opened/i.test(stderr)) {
    throw new SandwardenError('ERR_FORBIDDEN', 'no permission to read the journal of the system', {
      hint: 'Run it as root, or as a member of the group systemd-journal.',
    });
  }
  const damage = stderr.split('\n').filter((line) => /corrupt|truncated|Bad message|unclean|cannot|failed/i.test(line));
  const [first] = damage;
  if (first === undefined) return;
  gaps.push({
    source: 'the journal',
    message: `damaged: ${safeText(first.trim(), 300)}${damage.length > 1 ? ` (and ${damage.length - 1} more)` : ''}`,
    hint: '`journalctl --verify` says which files; what is in them after the damage is missing here.',
  });
}

function unreadable(path: string, cause: SandwardenError): SandwardenError {
  const why = cause.message.slice(cause.message.lastIndexOf('failed: ') + 'failed: '.length);
  return new SandwardenError('ERR_FILE', `cannot read the journal ${safeText(path, 300)}: ${why}`, {
    hint: 'It is cut off, damaged, or no journal: `journalctl --verify --file PATH` says which.',
    cause,
  });
}

function gapOf(source: string, { message, hint }: SandwardenError): TimelineGap {
  return { source, message: `broke off: ${message}`, hint };
}

function brokenLines(count: number): TimelineGap {
  const message = `${count} ${count === 1 ? 'line' : 'lines'} could not be read, or had no date`;
  return { source: 'the journal', message, hint: '`journalctl --verify` says what is damaged.' };
}

function missingLines(count: number): TimelineGap {
  const message = `${count} ${count === 1 ? 'line is' : 'lines are'} missing in between, by the numbers of the others`;
  const hint = 'Files of the journal were removed or are damaged: `journalctl --verify`.';
  return { source: 'the journal', message, hint };
}

function wantedBoots(listed: readonly Boot[], sinceNs: bigint): readonly Boot[] {
  const from = listed.findIndex((each) => each.lastNs >= sinceNs);
  return from === -1 ? [] : listed.slice(from).slice(-limits.incidentBoots);
}

function where({ journal }: JournalPlace): string[] {
  if (journal === undefined) return [];
  return [journal.isDirectory ? `--directory=${journal.path}` : `--file=${journal.path}`];
}
