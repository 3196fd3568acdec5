import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import { formatMs } from '../render/time.ts';

/** `90s`, `5m`, `1h`, `250ms`, `90` (seconds) as milliseconds, at most `mostMs`. Throws ERR_USAGE for what is none. */
export function readDuration(typed: string, option: string, mostMs: number): number {
  const [, digits = '', unit = 's'] = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|min|h|d)?$/.exec(typed) ?? [];
  const ms = Math.round(Number.parseFloat(digits) * (UNIT_MS[unit] ?? Number.NaN));
  if (ms > 0 && ms <= mostMs) return ms;
  const why = ms > mostMs ? `is longer than ${formatMs(mostMs)}` : 'is no duration';
  throw new SandwardenError('ERR_USAGE', `'${safeText(typed, 60)}' ${why} for '${option}'`, {
    hint: `Write it as '${option} 90s', '5m' or '1h'.`,
  });
}

/** Nanoseconds of a whole number of a unit (`s`, `m`, `min`, `h`, `d`, `w`); which of them is taken, a caller says. */
export function spanNs(digits: string, unit: string): bigint {
  return BigInt(digits) * BigInt(UNIT_MS[unit] ?? 0) * 1_000_000n;
}

/**
 * A date (`2026-11-21`, which is UTC) or a date and a time (`2026-11-21T17:49:00Z`; without a zone that of this
 * machine) as nanoseconds since 1970; undefined where it is none, or a day that no calendar has.
 */
export function dateNs(typed: string): bigint | undefined {
  const [, day] = DATE.exec(typed) ?? [];
  if (day === undefined) return undefined;
  const midnight = new Date(`${day}T00:00:00Z`);
  const ms = Date.parse(typed.replace(' ', 'T'));
  // Date takes the 30th of February for a day of March.
  if (Number.isNaN(midnight.getTime()) || Number.isNaN(ms) || !midnight.toISOString().startsWith(day)) return undefined;
  return BigInt(ms) * 1_000_000n;
}

const DATE = /^(\d{4}-\d{2}-\d{2})(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;

const UNIT_MS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1_000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};
