import type { Moment } from '../../model/records.ts';

const SECOND = 1_000_000_000n;

/** How long ago, as `-00:14:02` or `-3d 00:14:02`; `+…` for what is dated after the look. */
export function formatAgo(agoNs: bigint): string {
  const sign = agoNs < 0n ? '+' : '-';
  const seconds = (agoNs < 0n ? -agoNs : agoNs) / SECOND;
  const days = seconds / 86_400n;
  const clock = [(seconds / 3_600n) % 24n, (seconds / 60n) % 60n, seconds % 60n].map((each) =>
    each.toString().padStart(2, '0'),
  );
  return `${sign}${days > 0n ? `${days}d ` : ''}${clock.join(':')}`;
}

/** A duration as systemd-analyze writes it, its two largest units: `2h 5min`, `3.1s`, `120ms`. */
export function formatSpan(spanNs: bigint): string {
  const ns = spanNs < 0n ? -spanNs : spanNs;
  const sign = spanNs < 0n ? '-' : '';
  if (ns < SECOND) return `${sign}${ns / 1_000_000n}ms`;
  if (ns < 60n * SECOND) {
    const tenths = ns / (SECOND / 10n);
    return `${sign}${tenths / 10n}${tenths % 10n === 0n ? '' : `.${tenths % 10n}`}s`;
  }
  const seconds = ns / SECOND;
  const units: [bigint, string][] = [
    [seconds / 86_400n, 'd'],
    [(seconds / 3_600n) % 24n, 'h'],
    [(seconds / 60n) % 60n, 'min'],
    [seconds % 60n, 's'],
  ];
  const from = units.findIndex(([count]) => count > 0n);
  const two = units.slice(from, from + 2).filter(([count]) => count > 0n);
  return sign + two.map(([count, unit]) => `${count}${unit}`).join(' ');
}

/** `formatSpan` for milliseconds. */
export function formatMs(ms: number): string {
  return formatSpan(BigInt(Math.max(Math.round(ms), 0)) * 1_000_000n);
}

/** A date of the wall clock, UTC: `2026-11-21 17:49:00Z`. */
export function formatDate(wallNs: bigint): string {
  const ms = wallNs / 1_000_000n;
  // Date ends at ±8.64e15 ms; a node's clock can be anything.
  if (ms > 8_640_000_000_000_000n || ms < -8_640_000_000_000_000n) return `${wallNs} ns`;
  return new Date(Number(ms))
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, 'Z');
}

/**
 * When something happened: by the kernel's count where it reaches, else the date by the wall clock; empty where no
 * clock knows.
 */
export function formatWhen(agoNs: bigint | null, at: Moment | null): string {
  if (agoNs !== null) return `@${formatAgo(agoNs)}`;
  if (at !== null) return `@${formatDate(at.wallNs)} (wall clock)`;
  return '';
}
