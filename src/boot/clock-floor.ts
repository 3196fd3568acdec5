import { describeDate, describeDuration } from '../diagnose/time.ts';
import type { Clock } from '../model/clock.ts';
import { isSandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { programEpochNs } from '../model/version.ts';
import type { Run } from '../observe/child.ts';
import type { BootConf } from './boot-conf.ts';
import type { ClockRecord } from './record.ts';
import {
  type ClockNow,
  type FloorBounds,
  type Judgement,
  judgeClock,
  newestOfFamilies,
  type Witness,
} from './witnesses.ts';

export interface FloorPorts {
  readonly clock: Clock;
  /** Runs `date`. */
  readonly run: Run;
  /** What is known of how the clock is kept, at this moment. */
  readClockNow(wallNs: bigint, uptimeNs: bigint): Promise<ClockNow>;
  /** Waits for the time synchronisation; true once it is there. */
  waitForTimeSync(): Promise<boolean>;
}

export interface FloorOptions {
  readonly conf: Pick<BootConf, 'clockFloor' | 'forwardDays'>;
  readonly witnesses: readonly Witness[];
  /** Only say what would be done. */
  readonly reportOnly?: boolean;
}

/**
 * Moves the wall clock forward to just after the last boot's end, where two families of witnesses agree on it and the
 * time is not synchronised; never backwards. What was seen and done is in the record; a failure is one of its results.
 */
export async function floorClock(ports: FloorPorts, options: FloorOptions): Promise<ClockRecord> {
  const first = await judge(ports, options);
  if (first.judgement.toNs === undefined) return recordOf(first, options, 'kept', first.judgement.why);
  if (!options.conf.clockFloor) return recordOf(first, options, 'forbidden', 'moving the clock is not allowed here');
  if (options.reportOnly) return recordOf(first, options, 'forbidden', 'this boot only reports');
  if (await ports.waitForTimeSync()) {
    return recordOf(first, options, 'synchronized', 'the time is synchronised, and that wins');
  }
  // The wait took its time, and a synchronisation may have moved the clock since.
  const second = await judge(ports, options);
  const { toNs } = second.judgement;
  if (toNs === undefined) return recordOf(second, options, 'kept', 'the clock was moved meanwhile');
  try {
    await setClock(ports, toNs);
    return recordOf(second, options, 'moved', second.judgement.why);
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return recordOf(second, options, 'failed', error.message);
  }
}

/** What the record says, on one line: `clock moved forward 2 h 3 min, to …`. */
export function describeClock(record: ClockRecord): string {
  const was = `it was ${describeDate(record.wallNs)}`;
  if (record.toNs === undefined) return `clock left as it is (${was}): ${record.why}`;
  const distance = `${describeDuration(record.toNs - record.wallNs)}, to ${describeDate(record.toNs)}`;
  switch (record.result) {
    case 'moved':
      return `clock moved forward ${distance} (${was}): ${record.why}`;
    case 'failed':
      return `clock could not be moved forward ${distance} (${was}): ${record.why}`;
    default:
      return `clock left as it is (${was}), though it is behind by ${distance}: ${record.why}`;
  }
}

interface Judged {
  readonly atUptimeNs: bigint;
  readonly now: ClockNow;
  readonly judgement: Judgement;
}

async function judge({ clock, readClockNow }: FloorPorts, { witnesses, conf }: FloorOptions): Promise<Judged> {
  const atUptimeNs = clock.uptimeNs();
  const now = await readClockNow(clock.wallNs(), atUptimeNs);
  return { atUptimeNs, now, judgement: judgeClock(witnesses, now, boundsOf(conf)) };
}

function boundsOf({ forwardDays }: FloorOptions['conf']): FloorBounds {
  return {
    forwardNs: BigInt(forwardDays) * DAY_NS,
    neverSetUntilNs: programEpochNs + BigInt(limits.clockNeverSetYears * 365) * DAY_NS,
    agreeNs: BigInt(limits.clockAgreeMs) * 1_000_000n,
  };
}

const DAY_NS = 86_400_000_000_000n;

/** Whole seconds, rounded up: busybox's date takes no fractions. */
async function setClock({ run, clock }: FloorPorts, toNs: bigint): Promise<void> {
  // Moved by somebody else in the last milliseconds: never backwards.
  if (clock.wallNs() >= toNs) return;
  await run(['date', '-u', '-s', `@${(toNs + 999_999_999n) / 1_000_000_000n}`]);
}

function recordOf(
  { atUptimeNs, now, judgement }: Judged,
  { witnesses }: FloorOptions,
  result: ClockRecord['result'],
  why: string,
): ClockRecord {
  return {
    atUptimeNs,
    wallNs: now.wallNs,
    neverSet: now.neverSet,
    result,
    ...(judgement.toNs === undefined ? {} : { toNs: judgement.toNs }),
    why,
    witnesses: newestOfFamilies(witnesses),
    distrusted: judgement.distrusted.slice(0, KEPT),
  };
}

// One line of a journal holds no more; a boot in 2099 distrusts every sandbox.
const KEPT = 8;
