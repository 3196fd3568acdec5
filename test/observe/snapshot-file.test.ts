// Goal: a snapshot file is exactly the snapshot, and a file that is not is refused with the field that is wrong.
// Method: recorded and random snapshots there and back; mutated and cut files.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isSandwardenError, SandwardenError } from '../../src/model/errors.ts';
import { known, type Observed, unknown } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { decodeSnapshot, encodeSnapshot, readSnapshotFile } from '../../src/observe/snapshot-file.ts';
import { runs } from '../helpers/fuzz.ts';
import { readRecording, recordings } from '../helpers/recording.ts';
import { tempDir } from '../helpers/temp.ts';

const base = readRecording('clock-step/stuck');

describe('a snapshot file', () => {
  it('of each recorded node reads back the same, byte for byte', () => {
    for (const name of recordings) {
      const snapshot = readRecording(name);
      const text = encodeSnapshot(snapshot);
      assert.deepEqual(decodeSnapshot(text), snapshot);
      assert.equal(encodeSnapshot(decodeSnapshot(text)), text);
      assert.ok(text.endsWith('}\n') && !text.endsWith('\n\n'));
    }
  });

  it('of random nodes reads back the same', () => {
    fc.assert(
      fc.property(snapshots(), (snapshot) => assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot)),
      runs(200),
    );
  });

  it('does not hang on the order in which an object was made', () => {
    const turned = Object.fromEntries(Object.entries(base).reverse()) as unknown as Snapshot;
    assert.equal(encodeSnapshot(turned), encodeSnapshot(base));
  });

  it('that is wrong says where', () => {
    const text = encodeSnapshot(base);
    const cases: [string, RegExp][] = [
      [
        text.replace('"createdAtNs": "1795291143086196772"', '"createdAtNs": 1795291143086196772'),
        /sandboxes\.value\.0\.createdAtNs/,
      ],
      [text.replace('"state": "notready"', '"state": "sleepy"'), /sandboxes\.value\.0\.state/],
      [text.replace('"sandwarden.snapshot/1"', '"sandwarden.snapshot/9"'), /sandwarden\.snapshot\/9/],
      [text.replace('"sandwarden.snapshot/1"', '7'), /no snapshot/],
      [text.slice(0, text.length / 2), /no whole JSON/],
      ['', /empty/],
      ['[]', /no snapshot/],
      ['['.repeat(200_000), /./],
    ];
    for (const [bad, says] of cases) {
      assert.notEqual(bad, text);
      assert.throws(
        () => decodeSnapshot(bad),
        (error) => isSandwardenError(error, 'ERR_SNAPSHOT') && says.test(error.message),
      );
    }
  });

  it('that is mutated is read or refused, never anything else', () => {
    const text = encodeSnapshot(base);
    const change = fc.tuple(fc.nat(text.length), fc.nat(30), fc.string({ maxLength: 10 }));
    fc.assert(
      fc.property(change, ([at, cut, insert]) => {
        try {
          decodeSnapshot(text.slice(0, at) + insert + text.slice(at + cut));
        } catch (error) {
          assert.ok(error instanceof SandwardenError && error.code === 'ERR_SNAPSHOT', String(error));
        }
      }),
      runs(500),
    );
  });

  it('is read from a path, and a path that is none is told', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('node.json'), encodeSnapshot(base));
    assert.deepEqual(await readSnapshotFile(dir.join('node.json')), base);
    await assert.rejects(readSnapshotFile(dir.join('none')), (error) => isSandwardenError(error, 'ERR_FILE'));
    await assert.rejects(readSnapshotFile(dir.path), (error) => isSandwardenError(error, 'ERR_FILE'));
  });
});

function snapshots(): fc.Arbitrary<Snapshot> {
  const text = fc.string({ unit: 'binary', maxLength: 12 });
  const ns = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
  const count = fc.nat();
  const sandbox = fc.record({
    id: text,
    name: text,
    namespace: text,
    uid: text,
    attempt: count,
    createdAtNs: ns,
    runtimeHandler: text,
    configSource: text,
    state: fc.constantFrom('ready' as const, 'notready' as const),
  });
  const exit = fc.record({ exitCode: fc.integer(), reason: text, startedAtNs: ns, finishedAtNs: ns });
  const container = fc
    .record({
      id: text,
      sandboxId: text,
      podUid: text,
      name: text,
      attempt: count,
      createdAtNs: ns,
      exit: fc.option(exit),
      state: fc.constantFrom('created' as const, 'running' as const, 'exited' as const, 'unknown' as const),
    })
    .map(({ exit, ...rest }) => (exit ? { ...rest, exit } : rest));
  const detail = fc.record({ pid: count, hostNetwork: fc.boolean(), ip: text }, { requiredKeys: [] });
  const id = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 1, maxLength: 64 });
  return fc
    .record({
      sandboxes: observed(fc.array(sandbox, { maxLength: 5 })),
      containers: observed(fc.array(container, { maxLength: 5 })),
      details: fc.dictionary(id, observed(detail), { maxKeys: 3, noNullPrototype: true }),
      kubelet: observed(fc.record({ running: fc.boolean() })),
      takenBy: text,
    })
    .map((parts) => structuredClone({ ...base, ...parts }) as Snapshot);
}

function observed<T>(value: fc.Arbitrary<T>): fc.Arbitrary<Observed<T>> {
  const why = fc.string({ unit: 'binary', maxLength: 12 });
  return fc.oneof(
    value.map((each) => known(each)),
    why.map((each) => unknown('ERR_CRI_FAILED', each, each)),
  );
}
