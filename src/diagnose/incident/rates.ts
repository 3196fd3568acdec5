import type { Timeline, TimelineBoot, TimelineHour } from '../../model/incident.ts';

/** Hours needed before a median says what is normal. */
const ENOUGH_HOURS = 3;

/**
 * What the node creates when nothing crash-loops: the median of the full hours of all boots that no crash loop touches,
 * without the first hour of each boot, in which everything is made. Where there are fewer than three such hours nothing
 * is known, and 0 is given.
 */
export function normalOf({ boots }: Pick<Timeline, 'boots'>): { perMinute: number; from: string } {
  const quiet = boots.flatMap((boot) => {
    const [lastHour, byHour] = [hourOf(boot.last.monotonicUs), new Map(boot.hours.map((each) => [each.hour, each]))];
    const hours = Array.from({ length: Math.max(lastHour - 1, 0) }, (_, index) => index + 1);
    return hours.filter((hour) => !isLooping(boot, hour)).map((hour) => byHour.get(hour)?.creations ?? 0);
  });
  if (quiet.length < ENOUGH_HOURS) return { perMinute: 0, from: 'not known: fewer than three quiet hours' };
  const middle = quiet.toSorted((a, b) => a - b)[Math.floor(quiet.length / 2)] ?? 0;
  return { perMinute: middle / 60, from: `the median of ${quiet.length} hours without crash loops` };
}

/** Creations a minute while containers crash-looped; 0 where none did. */
export function loopRate(boot: TimelineBoot): number {
  const hours = boot.hours.filter((each) => isLooping(boot, each.hour));
  const minutes = hours.reduce((sum, each) => sum + minutesIn(boot, each), 0);
  return minutes === 0 ? 0 : hours.reduce((sum, each) => sum + each.creations, 0) / minutes;
}

/** Creations a minute of one hour, of which the boot may have lived only a part. */
export function perMinute(boot: TimelineBoot, { hour, creations }: TimelineHour): number {
  const lived = Number(boot.last.monotonicUs ?? 0n) / 6e7 - hour * 60;
  return creations / Math.min(Math.max(lived, 1), 60);
}

/** Whether a container crash-looped in this hour of the boot. */
function isLooping(boot: TimelineBoot, hour: number): boolean {
  return boot.loops.some((each) => hourOf(each.first.monotonicUs) <= hour && hourOf(each.last.monotonicUs) >= hour);
}

/** The minutes of an hour in which containers crash-looped. */
function minutesIn(boot: TimelineBoot, { hour }: TimelineHour): number {
  const us = (at: bigint | undefined) => Number(at ?? 0n);
  const from = Math.max(Math.min(...boot.loops.map((each) => us(each.first.monotonicUs))), hour * 3.6e9);
  const to = Math.min(Math.max(...boot.loops.map((each) => us(each.last.monotonicUs))), (hour + 1) * 3.6e9);
  return Math.max((to - from) / 6e7, 1);
}

function hourOf(us: bigint | undefined): number {
  return Math.floor(Number(us ?? 0n) / 3.6e9);
}
