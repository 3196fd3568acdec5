import { readFileSync } from 'node:fs';
import { countsInWords } from '../diagnose/stall-facts.ts';
import { plural } from '../diagnose/words.ts';
import { ExitCode } from '../model/errors.ts';
import type { KernelLog } from '../model/kernel.ts';
import { limits } from '../model/limits.ts';
import { systemClock } from '../observe/clock.ts';
import { isStall } from '../observe/kernel/kernel-log.ts';
import { openKmsg } from '../observe/kernel/kmsg.ts';
import { plainBootId } from '../observe/log-line.ts';
import { followKernel, type KernelEvent } from '../watch/kernel.ts';
import type { Args } from './frame/command.ts';
import { readDuration } from './frame/duration.ts';
import type { Io } from './frame/io.ts';
import { hang } from './render/layout.ts';
import { paint, type Style, shown, styleOf } from './render/style.ts';
import { formatDate } from './render/time.ts';

/** `sandwarden watch kernel`: each stall, lock-up, hung task and kill, as the kernel tells of it. */
export async function run(args: Pick<Args, 'flag' | 'value'>, io: Io): Promise<ExitCode> {
  const typed = args.value('for');
  const forMs = typed === undefined ? undefined : readDuration(typed, '--for', limits.watchForMs);
  const clock = systemClock();
  const asJson = args.value('output') === 'json';
  const end = new AbortController();
  const restore = io.onInterrupt(() => end.abort());
  io.stdout.whenGone?.(() => end.abort());
  const bootedNs = clock.wallNs() - clock.uptimeNs();
  const style = styleOf(io, args.flag('no-color'));
  const timer = forMs === undefined ? undefined : setTimeout(() => end.abort(), forMs);
  try {
    const log = await followKernel({
      clock,
      bootId: plainBootId(readFileSync('/proc/sys/kernel/random/boot_id', 'utf8')) ?? '',
      signal: end.signal,
      open: () => {
        const device = openKmsg();
        // It may have nothing to tell for days.
        if (io.stderr.isTerminal) io.stderr.write("Listening to the kernel's log; Ctrl-C ends it.\n");
        return device;
      },
      onSign: (event) => {
        const wallNs = bootedNs + BigInt(event.monotonicUs) * 1_000n;
        io.stdout.write(asJson ? lineOfJson(event, wallNs) : lineOfText(event, wallNs, style));
      },
      onLost: (records) => {
        const text = `${records} records of the kernel were overwritten before they could be read`;
        io.stdout.write(asJson ? `${JSON.stringify({ lost: records })}\n` : `${shown(style, text)}\n`);
      },
    });
    io.stdout.write(asJson ? `${JSON.stringify(summaryOf(log))}\n` : `${summaryText(log)}\n`);
    return log.troubles.some((each) => isStall(each.kind)) ? ExitCode.warnings : ExitCode.healthy;
  } finally {
    clearTimeout(timer);
    restore();
  }
}

function lineOfText({ sign, text, byKernel }: KernelEvent, wallNs: bigint, style: Style): string {
  const written = byKernel ? '' : ' (written to /dev/kmsg by a process)';
  const head = `${paint(style, 'cyan', formatDate(wallNs))} ${paint(style, 'bold', sign.kind)} `;
  return `${hang(`${head}${shown(style, text)}${written}`, style.width, '', '  ').join('\n')}\n`;
}

function lineOfJson({ sign, text, byKernel }: KernelEvent, wallNs: bigint): string {
  return `${JSON.stringify({ at: wallNs.toString(), ...sign, text, byKernel })}\n`;
}

function summaryOf({ lines, lost, troubles }: KernelLog): object {
  return { lines, lost, counts: Object.fromEntries(troubles.map(({ kind, count }) => [kind, count])) };
}

function summaryText({ lines, troubles }: KernelLog): string {
  return troubles.length === 0
    ? `${plural(lines, 'line', 'lines')} of the kernel, none of them of a stall, a lock-up, a hung task or a kill.`
    : `${plural(lines, 'line', 'lines')} of the kernel: ${countsInWords(troubles)}.`;
}
