import { stat } from 'node:fs/promises';
import { limits } from '../../model/limits.ts';
import { isErrno } from '../read-file.ts';

/** When a unit ran, by the wall clock of then and by the monotonic clock, microseconds. */
export interface UnitRun {
  readonly id: string;
  readonly startedUs: bigint;
  readonly startedWallUs: bigint;
  /** When it was up or over, whichever says that what it does at its start was done; absent while it is at it. */
  readonly doneWallUs?: bigint;
}

/** A file and when it was last written (mtime) and last changed in any way (ctime), by the wall clock, nanoseconds. */
export interface WrittenFile {
  readonly path: string;
  readonly modifiedNs: bigint;
  readonly changedNs: bigint;
}

/** The two clocks at one moment, microseconds. */
export interface Clocks {
  readonly wallUs: bigint;
  readonly monotonicUs: bigint;
}

/**
 * For each unit the first of `files` that was last written while it, and no other unit, was at what it does at its
 * start, and when, microseconds since boot. A file copied with its date (`cp -p`, tar) has an old mtime: where no
 * unit ran then, its ctime counts. None where the wall clock was stepped since the unit ran, which a file's date does
 * not tell from another boot's. Source: systemd dual_timestamp_now (src/basic/time-util.c) takes both clocks at once;
 * file times are the kernel's coarse clock, which lags by up to a tick (ktime_get_coarse_real_ts64).
 */
export function lastWriters(
  files: readonly WrittenFile[],
  runs: readonly UnitRun[],
  now: Clocks,
): ReadonlyMap<string, { readonly path: string; readonly atUs: bigint }> {
  const steady = runs.filter((each) => {
    const moved = now.wallUs - now.monotonicUs - (each.startedWallUs - each.startedUs);
    return moved < limits.clockSlewUs && moved > -limits.clockSlewUs;
  });
  const found = new Map<string, { path: string; atUs: bigint }>();
  for (const { path, modifiedNs, changedNs } of files) {
    const [modifiedUs, changedUs] = [modifiedNs / 1_000n, changedNs / 1_000n];
    const byContent = ranAt(modifiedUs, steady, now);
    const isCopy = byContent.length === 0;
    const unit = only(isCopy ? ranAt(changedUs, steady, now) : byContent);
    if (unit === undefined || found.has(unit.id)) continue;
    found.set(unit.id, { path, atUs: unit.startedUs + (isCopy ? changedUs : modifiedUs) - unit.startedWallUs });
  }
  return found;
}

function ranAt(wallUs: bigint, runs: readonly UnitRun[], now: Clocks): UnitRun[] {
  return runs.filter(
    ({ startedWallUs, doneWallUs = now.wallUs }) =>
      startedWallUs - limits.fileClockLagUs <= wallUs && wallUs <= doneWallUs,
  );
}

function only<T>(list: readonly T[]): T | undefined {
  return list.length === 1 ? list[0] : undefined;
}

/** The dates of `paths` below `root`; what is not there, or may not be looked at, is left out. */
export async function writtenFiles(paths: readonly string[], root: string): Promise<WrittenFile[]> {
  const found = paths.map(async (path): Promise<WrittenFile[]> => {
    try {
      const { mtimeNs, ctimeNs } = await stat(`${root}${path}`, { bigint: true });
      return [{ path, modifiedNs: mtimeNs, changedNs: ctimeNs }];
    } catch (error) {
      if (isErrno(error)) return [];
      throw error;
    }
  });
  return (await Promise.all(found)).flat();
}

/**
 * `Sun 2026-11-22 09:49:54.123456 UTC`, as `systemctl show --timestamp=us+utc` prints it, in microseconds since 1970.
 */
export function wallUs(text: string | undefined): bigint | undefined {
  const parts = /^(?:\w{3} )?(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2})\.(\d{6}) UTC$/.exec(text ?? '');
  const ms = Date.parse(`${parts?.[1]}T${parts?.[2]}Z`);
  return parts === null || Number.isNaN(ms) ? undefined : BigInt(ms) * 1_000n + BigInt(parts[3] ?? '0');
}
