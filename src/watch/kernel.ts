import { type Clock, pause } from '../model/clock.ts';
import type { KernelLog, KernelSign } from '../model/kernel.ts';
import { limits } from '../model/limits.ts';
import { KernelLogReader } from '../observe/kernel/kernel-log.ts';
import { type KmsgDevice, openKmsg, parseKmsg } from '../observe/kernel/kmsg.ts';

/** What the kernel said just now. */
export interface KernelEvent {
  readonly sign: KernelSign;
  /** The line itself; it comes from others. */
  readonly text: string;
  readonly monotonicUs: number;
  /** false: a process wrote it into /dev/kmsg. */
  readonly byKernel: boolean;
}

export interface KernelFollowOptions {
  readonly clock: Clock;
  readonly bootId: string;
  /** Called in order, for each message that says something; it must not throw. */
  onSign(event: KernelEvent): void;
  /** So many records were overwritten before they could be read. */
  onLost?(records: number): void;
  /** Where the follower ends. */
  readonly signal: AbortSignal;
  /** Also tell of what is in the ring already; else only of what comes after the start. */
  readonly fromStart?: boolean;
  readonly open?: () => KmsgDevice;
}

/**
 * Follows the kernel's log until `signal` is aborted, then gives what it counted. Node cannot wait for /dev/kmsg, so
 * the ring is read each `limits.kmsgPollMs`: at 1,000 lines a second 250 wait in it, and it holds thousands. What is
 * kept does not grow with the lines: each is looked at and forgotten. Throws what `openKmsg` throws.
 */
export async function followKernel(options: KernelFollowOptions): Promise<KernelLog> {
  const { clock, signal, bootId } = options;
  const device = (options.open ?? openKmsg)();
  const reader = new KernelLogReader();
  const bootedNs = clock.wallNs() - clock.uptimeNs();
  let [lost, expected, isOld] = [0, -1, options.fromStart !== true];
  const take = (bytes: Buffer) => {
    const record = parseKmsg(bytes.toString('utf8'));
    if (!record) return;
    const gap = expected === -1 ? 0 : Math.max(record.sequence - expected, 0);
    expected = record.sequence + 1;
    if (gap > 0) {
      lost += gap;
      options.onLost?.(gap);
    }
    const { text, monotonicUs, byKernel } = record;
    if (isOld) return;
    const sign = reader.add({ text, monotonicUs, bootId, wallNs: bootedNs + BigInt(monotonicUs) * 1_000n });
    if (sign) options.onSign({ sign, text, monotonicUs, byKernel });
  };
  try {
    while (!signal.aborted) {
      const emptied = readSome(device, take);
      // By its place in the ring, not by its date: the clock of the kernel's log drifts by seconds in days.
      if (emptied) isOld = false;
      await (emptied ? pause(clock, limits.kmsgPollMs, signal) : new Promise<void>((resolve) => setImmediate(resolve)));
    }
  } finally {
    device.close();
  }
  return reader.result('kmsg', lost);
}

/** Reads until nothing is there or others must run; whether nothing is there. */
function readSome(device: KmsgDevice, take: (bytes: Buffer) => void): boolean {
  for (let count = 0; count < limits.kmsgRecordsAtOnce; count++) {
    const read = device.read();
    if (read === 'empty') return true;
    if (read !== 'overwritten') take(read);
  }
  return false;
}
