import type { Boot } from '../model/node.ts';
import { type LogLine, plainBootId } from './log-line.ts';

/**
 * The boots of `journalctl --list-boots -o json` (systemd 251 and newer), oldest first; entries that are none are
 * left out. How each ended is not in it: `running` for the current boot, else `unknown`.
 */
export function parseBootList(json: string, currentBootId: string | undefined): Boot[] {
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
  const isEnd = (line: LogLine) =>
    (line.messageId !== undefined && shutdownMessages.has(line.messageId)) ||
    ((line.comm === 'systemd' || line.comm === 'systemd-shutdow' || line.pid === 1) &&
      /^Reached target .{0,60}(?:Shutdown|Power[- ]?Off|Reboot|Halt|Kexec)|^(?:Shutting down|Powering off|Rebooting)\b|^Syncing filesystems/i.test(
        line.text.slice(0, 200),
      ));
  return lastLines.some(isEnd) ? 'clean' : 'unclean';
}

function micros(from: unknown): bigint | undefined {
  return typeof from === 'number' && Number.isSafeInteger(from) && from >= 0 ? BigInt(from) * 1_000n : undefined;
}
