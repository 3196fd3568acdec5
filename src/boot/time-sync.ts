import type { Clock } from '../model/clock.ts';
import { isSandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { Run } from '../observe/child.ts';
import { exists } from '../observe/read-file.ts';

export interface SyncOptions {
  readonly clock: Clock;
  readonly run: Run;
  readonly waitMs: number;
  readonly root?: string;
}

/**
 * Waits for the time synchronisation, where one is set up to start at boot: true once it is there. Before the network
 * is up it rarely comes; the wait is bounded and paid only by a boot whose clock is behind.
 */
export async function waitForTimeSync({ clock, run, waitMs, root = '' }: SyncOptions): Promise<boolean> {
  const enabled = await Promise.all(enabledLinks.map((path) => exists(`${root}${path}`)));
  if (waitMs === 0 || !enabled.includes(true)) return false;
  const startedNs = clock.uptimeNs();
  for (;;) {
    if (await isSynchronized(run, root)) return true;
    if (clock.uptimeNs() - startedNs >= BigInt(Math.round(waitMs)) * 1_000_000n) return false;
    await clock.sleep(limits.timeSyncPollMs);
  }
}

const wants = (target: string, unit: string) => `/etc/systemd/system/${target}.wants/${unit}.service`;
const enabledLinks = [
  wants('sysinit.target', 'systemd-timesyncd'),
  ...['chrony', 'chronyd', 'ntp', 'ntpd', 'ntpsec', 'openntpd'].map((unit) => wants('multi-user.target', unit)),
];

/** timesyncd's own stamp, or the kernel's flag, which chronyd and ntpd clear (timedatectl reads it by adjtimex). */
async function isSynchronized(run: Run, root: string): Promise<boolean> {
  if (await exists(`${root}/run/systemd/timesync/synchronized`)) return true;
  try {
    const argv = ['timedatectl', 'show', '--property=NTPSynchronized'] as const;
    const { stdout } = await run(argv, { timeoutMs: limits.timeSyncPollMs * 4 });
    return /^NTPSynchronized=yes$/m.test(stdout);
  } catch (error) {
    // Early in a boot there is no D-Bus yet.
    if (!isSandwardenError(error)) throw error;
    return false;
  }
}
