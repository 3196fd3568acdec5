import { open, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from './run.ts';

/**
 * Moves the creation dates that a stopped containerd has on disk, so that its records are "from the future" or the
 * past without touching the machine's clock.
 *
 * - meta.db: the values of the keys `createdat` and `updatedat` are Go's time.MarshalBinary: version byte 1, seconds
 *   since year 1 (int64, big endian), nanoseconds (int32), zone (int16). bbolt keeps a key's value right behind it
 *   and its data pages have no checksum (only the two meta pages do), so they are patched in place.
 * - the containers' status files: JSON, `CreatedAt`, `StartedAt`, `FinishedAt` in nanoseconds since 1970.
 *
 * Sources: containerd core/metadata/boltutil/helpers.go (WriteTimestamps), internal/cri/store/container/status.go;
 * bbolt page.go (leafPageElement: key and value are adjacent).
 */
export async function shiftDates(root: string, seconds: number): Promise<void> {
  await shiftDatabase(join(root, 'io.containerd.metadata.v1.bolt', 'meta.db'), seconds);
  const containers = join(root, 'io.containerd.grpc.v1.cri', 'containers');
  for (const id of await readdir(containers).catch(none)) await shiftStatus(join(containers, id, 'status'), seconds);
}

async function shiftDatabase(path: string, seconds: number): Promise<void> {
  const bytes = await readFile(path);
  const file = await open(path, 'r+');
  try {
    for (const at of datePositions(bytes)) {
      const moved = Buffer.alloc(8);
      moved.writeBigInt64BE(bytes.readBigInt64BE(at) + BigInt(Math.round(seconds)));
      await file.write(moved, 0, moved.length, at);
    }
    await file.sync();
  } finally {
    await file.close();
  }
}

/** Where the seconds of each date stand in a meta.db. */
export function datePositions(bytes: Buffer): number[] {
  const found: number[] = [];
  for (const key of ['createdat', 'updatedat']) {
    const needle = Buffer.concat([Buffer.from(key), Buffer.of(1)]);
    for (let at = bytes.indexOf(needle); at !== -1; at = bytes.indexOf(needle, at + needle.length)) {
      const seconds = at + needle.length;
      if (seconds + 8 <= bytes.length && isPlausible(bytes.readBigInt64BE(seconds))) found.push(seconds);
    }
  }
  return found;
}

/** Between 1970 and 2200, counted from year 1: the zero date of a half-created record is not moved. */
function isPlausible(secondsSinceYearOne: bigint): boolean {
  const year1970 = 62_135_596_800n;
  return secondsSinceYearOne > year1970 && secondsSinceYearOne < year1970 + 7_258_118_400n;
}

async function shiftStatus(path: string, seconds: number): Promise<void> {
  const text = await readFile(path, 'utf8').catch(none);
  if (typeof text !== 'string') return;
  const byNs = BigInt(Math.round(seconds)) * 1_000_000_000n;
  // Not JSON.parse: the numbers are larger than a double holds exactly.
  const moved = text.replace(/"(CreatedAt|StartedAt|FinishedAt)":(\d+)/g, (whole, key: string, ns: string) =>
    ns === '0' ? whole : `"${key}":${BigInt(ns) + byNs}`,
  );
  await writeFile(path, moved);
}

function none(error: unknown): string[] {
  if (hasCode(error, 'ENOENT')) return [];
  throw error;
}
