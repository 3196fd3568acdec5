import { readFileSync } from 'node:fs';
import type { Clock } from '../model/clock.ts';
import { isSandwardenError } from '../model/errors.ts';
import type { ClockFacts } from '../model/node.ts';
import { known, type Observed } from '../model/observed.ts';
import { type Run, run } from './child.ts';
import { exists, readProc } from './read-file.ts';

/**
 * The clocks of this machine. `uptimeNs` is /proc/uptime (CLOCK_BOOTTIME, 10 ms) at the first call, and from there on
 * counts by process.hrtime (CLOCK_MONOTONIC, 1 ns): they part only while the machine is suspended.
 */
export function systemClock(): Clock {
  let start: { readonly uptimeNs: bigint; readonly hrtimeNs: bigint } | undefined;
  return {
    wallNs: () => BigInt(Date.now()) * 1_000_000n,
    uptimeNs() {
      start ??= {
        uptimeNs: parseUptime(readFileSync('/proc/uptime', 'utf8')) ?? 0n,
        hrtimeNs: process.hrtime.bigint(),
      };
      return start.uptimeNs + process.hrtime.bigint() - start.hrtimeNs;
    },
    sleep,
  };
}

/** Node's own promise of a timer makes an error for each that is let go; healing lets thousands go. */
function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const letGo = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', letGo);
      resolve();
    }, ms);
    signal?.addEventListener('abort', letGo, { once: true });
  });
}

/** The first number of /proc/uptime in nanoseconds. */
export function parseUptime(text: string): bigint | undefined {
  const [, seconds, fraction = ''] = /^(\d{1,12})(?:\.(\d{1,9}))?(?:\s|$)/.exec(text) ?? [];
  return seconds === undefined ? undefined : BigInt(seconds) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'));
}

/**
 * How the wall clock is kept. timedatectl tells the kernel's own flag, whoever sets it; without it (no
 * systemd-timedated) the stamp of systemd-timesyncd does, where it is there.
 */
export async function observeClock(root = '', runner: Run = run): Promise<Observed<ClockFacts>> {
  const [synchronized, rtc, hasRtc] = await Promise.all([
    isSynchronized(root, runner),
    readProc(`${root}/sys/class/rtc/rtc0/since_epoch`),
    exists(`${root}/sys/class/rtc/rtc0`),
  ]);
  const seconds = /^(\d{1,12})\s*$/.exec(rtc ?? '')?.[1];
  return known({
    ...(synchronized === undefined ? {} : { synchronized }),
    hasRtc,
    ...(seconds === undefined ? {} : { rtcNs: BigInt(seconds) * 1_000_000_000n }),
  });
}

async function isSynchronized(root: string, runner: Run): Promise<boolean | undefined> {
  try {
    const { stdout } = await runner(['timedatectl', 'show', '--property=NTPSynchronized']);
    const answer = /^NTPSynchronized=(yes|no)$/m.exec(stdout)?.[1];
    if (answer !== undefined) return answer === 'yes';
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
  }
  return (await exists(`${root}/run/systemd/timesync/synchronized`)) ? true : undefined;
}
