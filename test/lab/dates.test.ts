/** Goal: dates on disk are moved exactly and nothing else is. Method: a made-up meta.db and a status file. */
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { datePositions, shiftDates } from '../../lab/dates.ts';

/** Seconds from year 1 to 2026-11-21 and Go's zero time, as time.MarshalBinary writes them. */
const someday = 63_930_000_000n;
const zero = 0n;

test('the seconds of createdat and updatedat move, the zero time and everything else stay', async () => {
  const root = await mkdtemp(join(tmpdir(), 'sandwarden-dates-'));
  try {
    const before = Buffer.concat([
      Buffer.from('page createdat'),
      goTime(someday),
      Buffer.from('image updatedat'),
      goTime(someday + 5n),
      Buffer.from('createdat'),
      goTime(zero),
      Buffer.from('a text with createdat in it'),
    ]);
    const database = join(root, 'io.containerd.metadata.v1.bolt');
    const container = join(root, 'io.containerd.grpc.v1.cri', 'containers', 'c1');
    for (const folder of [database, container]) await mkdir(folder, { recursive: true });
    await writeFile(join(database, 'meta.db'), before);
    const status = '{"Version":"v1","CreatedAt":1795294747733090601,"StartedAt":0,"ExitCode":0}';
    await writeFile(join(container, 'status'), status);

    await shiftDates(root, 7_200);

    const after = await readFile(join(database, 'meta.db'));
    const [first = 0, second = 0, ...more] = datePositions(after);
    assert.deepEqual(more, []);
    assert.equal(after.readBigInt64BE(first), someday + 7_200n);
    assert.equal(after.readBigInt64BE(second), someday + 7_205n);
    const moved = [first, second].flatMap((at) => Array.from({ length: 8 }, (_, index) => at + index));
    for (const [at, byte] of after.entries()) if (!moved.includes(at)) assert.equal(byte, before[at]);
    assert.equal(
      await readFile(join(container, 'status'), 'utf8'),
      status.replace('1795294747733090601', '1795301947733090601'),
    );
  } finally {
    await rm(root, { recursive: true, force: true });
  }
});

function goTime(seconds: bigint): Buffer {
  const bytes = Buffer.alloc(15);
  bytes[0] = 1;
  bytes.writeBigInt64BE(seconds, 1);
  return bytes;
}
