import type { NodeFacts } from '../model/node.ts';
import type { Moment } from '../model/records.ts';

/**
 * How long ago a line was written, nanoseconds: by the kernel's own count within this boot, by the wall clock
 * where the line does not say its boot. null for a line of another boot: no clock reaches across.
 */
export function agoNs(moment: Moment, node: NodeFacts): bigint | null {
  if (moment.bootId !== undefined && moment.bootId !== node.bootId) return null;
  if (moment.bootId !== undefined && moment.monotonicUs !== undefined) {
    return node.uptimeNs - moment.monotonicUs * 1_000n;
  }
  return node.wallNs - moment.wallNs;
}

/** Whether something last seen at `moment` is still going on, by `withinMs`. */
export function isCurrent(moment: Moment, node: NodeFacts, withinMs: number): boolean {
  const ago = agoNs(moment, node);
  return ago !== null && ago <= BigInt(withinMs) * 1_000_000n;
}

/** `2 h 3 min`, `41 s`, `350 ms`: the two largest units of a duration in nanoseconds. */
export function describeDuration(ns: bigint): string {
  const ms = Number((ns < 0n ? -ns : ns) / 1_000_000n);
  if (ms < 1_000) return `${ms} ms`;
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return twoUnits(minutes, 'min', seconds % 60, 's');
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return twoUnits(hours, 'h', minutes % 60, 'min');
  return twoUnits(Math.floor(hours / 24), 'd', hours % 24, 'h');
}

/** `2026-11-21 19:59:03Z`: a date of the wall clock, to the second; a date no calendar holds says so. */
export function describeDate(wallNs: bigint): string {
  const ms = wallNs / 1_000_000n;
  if (wallNs <= 0n || ms > 8_640_000_000_000_000n) return 'no date';
  return new Date(Number(ms))
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

function twoUnits(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`;
}
