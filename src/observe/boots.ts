import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { Boot } from '../model/node.ts';
import { type Observed, valueOr } from '../model/observed.ts';
import { type Run, run } from './child.ts';
import { lastLinesOfBoot } from './journal.ts';
import { type LogLine, plainBootId } from './log-line.ts';
import { observed } from './unknown.ts';

/**
 * The boots of `journalctl --list-boots -o json`, oldest first; entries that are none are left out. systemd before 251
 * writes a table instead, with dates of whole seconds (in UTC, by our environment of it).
 * How each ended is not in it: `running` for the current boot, else `unknown`.
 */
export function parseBootList(listed: string, currentBootId: string | undefined): Boot[] {
  return listed.trimStart().startsWith('[') ? parseJsonList(listed, currentBootId) : parseTable(listed, currentBootId);
}

/** ` -1 5cca5a3cbfa04b43919473ceebaf94d7 Sat 2026-11-21 19:58:36 UTC—Sat 2026-11-21 19:59:39 UTC` */
function parseTable(table: string, currentBootId: string | undefined): Boot[] {
  const date = String.raw`\w{3} (\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d) UTC`;
  const row = new RegExp(`^ {0,8}-?\\d{1,6} ([0-9a-f]{32}) ${date}\\W{1,5}${date}`);
  return table.split('\n').flatMap((line): Boot[] => {
    const [, bootId, firstDay, firstTime, lastDay, lastTime] = row.exec(line.slice(0, 200)) ?? [];
    const [firstMs, lastMs] = [Date.parse(`${firstDay}T${firstTime}Z`), Date.parse(`${lastDay}T${lastTime}Z`)];
    if (bootId === undefined || Number.isNaN(firstMs) || Number.isNaN(lastMs)) return [];
    const end = bootId === currentBootId ? 'running' : 'unknown';
    return [{ bootId, firstNs: BigInt(firstMs) * 1_000_000n, lastNs: BigInt(lastMs) * 1_000_000n, end }];
  });
}

function parseJsonList(json: string, currentBootId: string | undefined): Boot[] {
  let list: unknown;
  try {
    list = JSON.parse(json);
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return [];
    throw error;
  }
  if (!Array.isArray(list)) return [];
  const boots = list.flatMap((each: unknown): (Boot & { index: number })[] => {
    if (typeof each !== 'object' || each === null) return [];
    const { index, boot_id, first_entry, last_entry } = each as Record<string, unknown>;
    const bootId = plainBootId(boot_id);
    const [firstNs, lastNs] = [micros(first_entry), micros(last_entry)];
    if (bootId === undefined || firstNs === undefined || lastNs === undefined) return [];
    const end = bootId === currentBootId ? 'running' : 'unknown';
    return [{ bootId, firstNs, lastNs, end, index: typeof index === 'number' ? index : 0 }];
  });
  return boots.sort((a, b) => a.index - b.index).map(({ index: _, ...boot }) => boot);
}

/** "Journal stopped" of systemd-journald and "Shutting down." of systemd (sd-messages.h). */
const shutdownMessages: ReadonlySet<string> = new Set([
  'd93fb3c9c24d451a97cea615ce59c00b',
  '98268866d1d54a499c4e98921d93bc40',
]);

/**
 * Whether the last lines of a boot tell of a shutdown: journald's or systemd's own record, or the targets that
 * end a boot (systemd.special(7)). Without any of them the power went, the kernel froze or was reset.
 */
export function endOfBoot(lastLines: readonly LogLine[]): 'clean' | 'unclean' | 'unknown' {
  if (lastLines.length === 0) return 'unknown';
  return lastLines.some(isEndOfBoot) ? 'clean' : 'unclean';
}

/** Whether one line is written where a boot is ended in order, and nowhere else. */
export function isEndOfBoot(line: LogLine): boolean {
  return (
    (line.messageId !== undefined && shutdownMessages.has(line.messageId)) ||
    ((line.comm === 'systemd' || line.comm === 'systemd-shutdow' || line.pid === 1) &&
      /^Reached target .{0,60}(?:Shutdown|Power[- ]?Off|Reboot|Halt|Kexec)|^(?:Shutting down|Powering off|Rebooting)\b|^Syncing filesystems/i.test(
        line.text.slice(0, 200),
      ))
  );
}

function micros(from: unknown): bigint | undefined {
  return typeof from === 'number' && Number.isSafeInteger(from) && from >= 0 ? BigInt(from) * 1_000n : undefined;
}

// A shutdown writes some dozens of lines after its target is reached.
const LAST_LINES = 60;
const PREVIOUS_BOOTS = limits.rebootLoopBoots;

/** The boots the journal knows; how the last few before this one ended is read from their last lines. */
export function observeBoots(currentBootId: string | undefined, runner: Run = run): Promise<Observed<readonly Boot[]>> {
  return observed(async () => {
    const { stdout } = await runner(['journalctl', '-q', '--no-pager', '--list-boots', '-o', 'json']);
    const boots = parseBootList(stdout, currentBootId);
    if (boots.length === 0) {
      throw new SandwardenError('ERR_NOT_SUPPORTED', 'the journal tells of no boots', {
        hint: 'Keep the journal on disk (Storage=persistent in journald.conf) and run it as root.',
      });
    }
    const previous = boots.filter((boot) => boot.end !== 'running').slice(-PREVIOUS_BOOTS);
    const ends = await Promise.all(
      previous.map(async ({ bootId }) => {
        const lines = await observed(() => lastLinesOfBoot(bootId, LAST_LINES, runner));
        return [bootId, endOfBoot(valueOr(lines, []))] as const;
      }),
    );
    const endOf = new Map(ends);
    return boots.map((boot) => ({ ...boot, end: endOf.get(boot.bootId) ?? boot.end }));
  });
}
