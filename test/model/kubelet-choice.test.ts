import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Candidate } from '../../src/model/kubelet-choice.ts';
import { chooseSandbox, foresee, newestFirst, orderOfVersion } from '../../src/model/kubelet-choice.ts';

const of = (attempt: number, ready: boolean, createdAt: number): Candidate => ({
  id: `id${attempt}`,
  attempt,
  ready,
  createdAtNs: BigInt(createdAt),
});

describe("kubelet's choice of sandbox", () => {
  test('the order follows the version', () => {
    assert.equal(orderOfVersion('v1.34.9'), 'by-date');
    assert.equal(orderOfVersion('1.20.0+k3s1'), 'by-date');
    assert.equal(orderOfVersion('v1.35.0-alpha.1'), 'by-attempt');
    assert.equal(orderOfVersion('v1.36.2'), 'by-attempt');
    assert.equal(orderOfVersion('v2.0.0'), 'by-attempt');
    for (const text of [undefined, '', 'v1', 'unknown', 'v1.x.3', '1..34'])
      assert.equal(orderOfVersion(text), undefined);
  });

  test('no sandbox: attempt 0', () => {
    assert.deepEqual(chooseSandbox([], 'by-date'), { branch: 'none', attempt: 0, head: undefined });
  });

  test('the newest by date decides, not the highest attempt', () => {
    const ghost = of(0, false, 200);
    const living = of(1, true, 100);
    assert.deepEqual(chooseSandbox([living, ghost], 'by-date'), {
      branch: 'newest-not-ready',
      attempt: 1,
      head: ghost,
    });
    assert.deepEqual(chooseSandbox([living, ghost], 'by-attempt'), { branch: 'keep', attempt: 1, head: living });
  });

  test('two READY ones are reconciled into a third', () => {
    assert.equal(chooseSandbox([of(0, true, 1), of(1, true, 2)], 'by-date').branch, 'several-ready');
    assert.equal(chooseSandbox([of(0, true, 1), of(1, true, 2)], 'by-date').attempt, 2);
  });

  test('a power cut with a right clock settles', () => {
    assert.equal(foresee([of(0, false, 100)], 'by-date', 200n).kind, 'settles');
  });

  test('a ghost from the future: first the new sandbox is outsorted, then its name is held', () => {
    const ghost = of(0, false, 500);
    assert.deepEqual(foresee([ghost], 'by-date', 200n), { kind: 'outsorted', attempt: 1, head: ghost });
    const living = of(1, true, 210);
    assert.deepEqual(foresee([ghost, living], 'by-date', 220n), {
      kind: 'name-held',
      attempt: 1,
      holder: living,
      head: ghost,
    });
    assert.equal(foresee([living], 'by-date', 220n).kind, 'settles');
  });

  test('a half-created sandbox sorts last by date and holds the name that is asked for', () => {
    const old = of(0, false, 100);
    const half = { ...of(1, false, 0), createdAtNs: -6_795_364_578_871_345_152n };
    assert.equal(foresee([old, half], 'by-date', 200n).kind, 'name-held');
    assert.equal(foresee([old], 'by-date', 200n).kind, 'settles');
  });

  test('by attempt nothing that is listed ever blocks', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.record({ attempt: fc.nat({ max: 9 }), ready: fc.boolean(), createdAt: fc.integer() }), {
          selector: (each) => each.attempt,
        }),
        fc.integer(),
        (list, now) => {
          const sandboxes = list.map((each) => of(each.attempt, each.ready, each.createdAt));
          assert.equal(foresee(sandboxes, 'by-attempt', BigInt(now)).kind, 'settles');
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test('sorting is total: any order of the input gives one answer', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 3 })), { maxLength: 6 }), (list) => {
        const sandboxes = list.map(([attempt, at], index) => ({ ...of(attempt, false, at), id: `id${index}` }));
        for (const order of ['by-date', 'by-attempt'] as const) {
          assert.deepEqual(newestFirst([...sandboxes].reverse(), order), newestFirst(sandboxes, order));
        }
      }),
    );
  });
});
