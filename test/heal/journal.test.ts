/** The journal's lines, its reader and its writer: what is written is read back, and nothing else is taken for it. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { decodeEntry, type Entry, type EntryBody, encodeEntry } from '../../src/heal/entries.ts';
import { type JournalStore, openJournal, readJournal, readWhatIsWhole } from '../../src/heal/journal.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { limits } from '../../src/model/limits.ts';
import { SimClock } from './sim-clock.ts';
import { SimDisk } from './sim-state.ts';
import { killOf, removalOf, restartOf, SimWorld } from './sim-world.ts';

const clock = new SimClock();
const run = { runId: 'r', bootId: 'b', clock };
const removal = removalOf(new SimWorld().sandbox('a', 0, 'notready', 0n));
const nanos = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
const count = fc.nat(Number.MAX_SAFE_INTEGER);
const result = fc.constantFrom('done', 'already', 'failed', 'skipped');
/** Objects as JSON.parse makes them. */
const record: typeof fc.record = (model: object, constraints: object = {}) =>
  fc.record(model as Record<string, fc.Arbitrary<unknown>>, { ...constraints, noNullPrototype: true }) as never;
const words = fc.string({ unit: 'binary', maxLength: 200 });

const body: fc.Arbitrary<EntryBody> = fc.oneof(
  record({
    kind: fc.constant('run-start'),
    mode: fc.constantFrom('boot', 'run'),
    planned: count,
    refused: count,
    sandboxesOnNode: count,
  }),
  record(
    {
      kind: fc.constant('intent'),
      action: fc.oneof(
        record({ object: words, reason: words, createdAtNs: nanos }).map(({ object, reason, createdAtNs }) => ({
          ...removal,
          object,
          reason,
          guard: { kind: 'remove-sandbox' as const, sandboxId: object, podUid: 'u', attempt: 1, createdAtNs },
        })),
        fc.constantFrom(killOf(412, 2n ** 62n), restartOf('k3s.service')),
      ),
      read: words,
      runtimePid: count,
      runtimeStartedUptimeNs: nanos,
    },
    { requiredKeys: ['kind', 'action', 'read'] },
  ),
  record({ kind: fc.constant('outcome'), of: count, result, why: words, tookMs: count, found: fc.boolean() }),
  record(
    {
      kind: fc.constant('run-end'),
      done: count,
      already: count,
      failed: count,
      skipped: count,
      stopped: record({ code: words, message: words }),
      recovery: record({
        state: fc.constantFrom('recovered', 'partly', 'not-yet', 'not-checked'),
        tookMs: count,
      }),
    },
    { requiredKeys: ['kind', 'done', 'already', 'failed', 'skipped', 'recovery'] },
  ),
  record({ kind: fc.constant('note'), text: words }),
) as fc.Arbitrary<EntryBody>;

const entry: fc.Arbitrary<Entry> = fc
  .tuple(count, words, record({ wallNs: nanos, uptimeNs: nanos, bootId: words }), body)
  .map(([seq, runId, at, rest]) => ({ v: 1, seq, runId, at, ...rest }));

describe('a line', () => {
  test('is read back as it was, every integer exact', () => {
    fc.assert(
      fc.property(entry, (each) => {
        const line = encodeEntry(each);
        assert.ok(line.endsWith('\n') && line.indexOf('\n') === line.length - 1);
        assert.deepEqual(decodeEntry(line.slice(0, -1)), each);
      }),
      { numRuns: 1_000 },
    );
  });

  test('with one byte changed is never taken for an entry', () => {
    fc.assert(
      fc.property(entry, fc.nat(), fc.integer({ min: 1, max: 255 }), (each, where, by) => {
        const bytes = Buffer.from(encodeEntry(each).slice(0, -1));
        const at = where % bytes.length;
        bytes[at] = ((bytes[at] ?? 0) + by) % 256;
        assert.equal(typeof decodeEntry(bytes.toString('utf8')), 'string');
      }),
      { numRuns: 1_000 },
    );
  });

  test('of anything else is refused with why, and never throws', () => {
    const anything = fc.oneof(fc.string({ unit: 'binary' }), fc.json(), fc.json().map(withChecksum));
    fc.assert(
      fc.property(anything, (text) => assert.equal(typeof decodeEntry(text), 'string')),
      { numRuns: 2_000 },
    );
  });

  test('with a right checksum and a field gone or of another kind is refused with the name of the field', () => {
    const at = { wallNs: 1n, uptimeNs: 1n, bootId: 'b' };
    const intent = { v: 1, seq: 1, runId: 'r', at, kind: 'intent', action: removal, read: '' } as const;
    const bad: [change: object, says: RegExp][] = [
      [{ seq: -1 }, /seq is no count/],
      [{ seq: 1.5 }, /seq is no count/],
      [{ at: [] }, /at is no object/],
      [{ at: { ...at, wallNs: 1 } }, /wallNs is no number/],
      [{ kind: 'gossip' }, /kind is none of/],
      [{ action: { ...removal, tier: 'wild' } }, /tier is none of/],
      [{ action: { ...removal, guard: { kind: 'remove-sandbox' } } }, /sandboxId is no text/],
      [{ read: 7 }, /read is no text/],
    ];
    for (const [change, says] of bad) {
      const line = encodeEntry({ ...intent, ...change } as unknown as Entry).slice(0, -1);
      assert.match(String(decodeEntry(line)), says);
    }
  });

  test('stays within its limit whatever others say', () => {
    const hostile = '\u0000'.repeat(500_000);
    const action = { ...removal, object: hostile, reason: hostile, precondition: hostile, expects: hostile };
    const at = { wallNs: 1n, uptimeNs: 1n, bootId: 'b' };
    const line = encodeEntry({ v: 1, seq: 1, runId: 'r', at, kind: 'intent', action, read: hostile });
    assert.ok(Buffer.byteLength(line) <= limits.journalEntryBytes);
    assert.equal(typeof decodeEntry(line.slice(0, -1)), 'object');
  });
});

describe('the reader', () => {
  test('gives the whole entries and what was cut off, for a journal cut at any byte and read in any pieces', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(body, { minLength: 1, maxLength: 5 }), fc.nat(), async (bodies, where) => {
        const disk = new SimDisk(clock);
        const journal = await openJournal(disk, run);
        for (const each of bodies) await journal.append(each);
        const whole = disk.current;
        disk.current = whole.subarray(0, where % (whole.length + 1));
        const lines = disk.current.toString('latin1').split('\n').length - 1;
        const { entries, torn } = await readJournal(disk);
        assert.equal(entries.length, lines);
        assert.equal(torn?.bytes ?? 0, disk.current.length - 1 - disk.current.lastIndexOf(0x0a));
      }),
      { numRuns: 200 },
    );
  });

  test('throws nothing but ERR_JOURNAL_DAMAGED for any bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 3_000 }), async (bytes) => {
        const disk = new SimDisk(clock);
        disk.current = Buffer.from(bytes);
        await readJournal(disk).catch((error: unknown) => {
          assert.ok(isSandwardenError(error, 'ERR_JOURNAL_DAMAGED'), `${error}`);
        });
      }),
      { numRuns: 500 },
    );
  });
});

describe('the writer', () => {
  test('lets entries that wait together share one sync, in their order', async () => {
    const disk = new SimDisk(clock);
    const journal = await openJournal(disk, run);
    const notes = await Promise.all(['a', 'b', 'c'].map((text) => journal.append({ kind: 'note', text })));
    assert.deepEqual(
      notes.map((each) => each.seq),
      [1, 2, 3],
    );
    assert.equal(disk.operations.filter((each) => each === 'sync').length, 1);
  });

  test('resolves no append before it is durable', async () => {
    const disk = new SimDisk(clock);
    const journal = await openJournal(disk, run);
    for (const text of ['a', 'b']) {
      const noted = await journal.append({ kind: 'note', text });
      assert.ok((await disk.durableEntries()).some((each) => each.seq === noted.seq));
    }
  });

  test('after a failed sync writes nothing more: nobody knows what is on the disk', async () => {
    const disk = new SimDisk(clock);
    const journal = await openJournal(disk, run);
    disk.mishaps = [{ at: 1, kind: 'error', code: 'EIO' }];
    await assert.rejects(journal.append({ kind: 'note', text: 'a' }), /EIO/);
    await assert.rejects(journal.append({ kind: 'note', text: 'b' }), /EIO/);
    assert.deepEqual(disk.operations.length, 2);
  });

  test('after a failed write takes the half line away and goes on when there is room', async () => {
    const disk = new SimDisk(clock);
    const journal = await openJournal(disk, run);
    disk.mishaps = [{ at: 0, kind: 'error', code: 'ENOSPC', afterBytes: 20 }];
    await assert.rejects(journal.append({ kind: 'note', text: 'a' }), /the disk is full/);
    assert.equal(disk.current.length, 0);
    assert.equal((await journal.append({ kind: 'note', text: 'b' })).seq, 1);
    assert.equal((await readJournal(disk)).entries.length, 1);
  });

  test('turns the journal over at its limit, and the generation before still counts', async () => {
    const disk = new SimDisk(clock);
    let journal = await openJournal(disk, run);
    const text = 'x'.repeat(limits.journalTextLength);
    const many = Array.from(
      { length: Math.ceil(limits.journalBytes / text.length) },
      () => ({ kind: 'note', text }) as const,
    );
    await Promise.all(many.map((each) => journal.append(each)));
    journal = await openJournal(disk, run);
    assert.equal(disk.current.length, 0);
    assert.equal(journal.entries.length, many.length);
    assert.equal((await journal.append({ kind: 'note', text: 'new' })).seq, many.length + 1);
    assert.equal((await readJournal(disk)).entries.length, many.length + 1);
  });
});

function withChecksum(json: string): string {
  return `${json.slice(0, -1)},"crc":"00000000"}`;
}

test('what is whole is read around any damage, and nobody who acts reads it so', async () => {
  const at = { wallNs: 1n, uptimeNs: 1n, bootId: 'b' };
  const lines = [1, 2, 3, 4].map((seq) => encodeEntry({ v: 1, seq, runId: 'r', at, kind: 'note', text: `${seq}` }));
  const store = (bytes: Uint8Array): JournalStore => ({
    path: '/j',
    olderPath: '/j.1',
    read: async function* (which) {
      // In pieces: a line may come in several.
      if (which === 'current')
        for (let from = 0; from < bytes.length; from += 4_000) yield bytes.subarray(from, from + 4_000);
    },
    open: () => assert.fail('it is only read'),
    turnOver: () => assert.fail('it is only read'),
  });
  const long = `${'x'.repeat(limits.journalEntryBytes + 9_000)}\n`;
  for (const [bad, why] of [
    ['rubbish\n', 'it has no checksum'],
    [long, 'it is too long'],
    ['', 'entry 3 follows entry 1'],
  ] as const) {
    const bytes = Buffer.from(`${lines[0]}${bad}${lines[2]}${lines[3]}`);
    const { entries, damage } = await readWhatIsWhole(store(bytes));
    assert.deepEqual(
      entries.map((each) => each.seq),
      [1, 3, 4],
    );
    assert.deepEqual(damage, [{ file: '/j', line: 2, why }]);
    await assert.rejects(readJournal(store(bytes)), (error) => isSandwardenError(error, 'ERR_JOURNAL_DAMAGED'));
  }
});
