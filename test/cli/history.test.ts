// Goal: the journal reads as a story: what, when by which clock, why, how it ended, what was left undone.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sinceFilter } from '../../src/cli/history.ts';
import { describeRun, historyText } from '../../src/cli/render/history-text.ts';
import type { Entry, EntryBody } from '../../src/heal/entries.ts';
import { history } from '../../src/heal/history.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { plan } from './fixtures.ts';
import { assertGolden } from './golden.ts';

const SECOND = 1_000_000_000n;
const startNs = 1_795_290_000n * SECOND;

function entries(): Entry[] {
  const [web, be] = plan.actions;
  if (!web || !be) throw new Error('the plan of the fixtures has two actions');
  const bodies: [runId: string, EntryBody][] = [
    ['one', { kind: 'run-start', mode: 'run', planned: 2, refused: 1, sandboxesOnNode: 40 }],
    ['one', { kind: 'intent', action: web, read: 'NotReady' }],
    ['one', { kind: 'outcome', of: 2, result: 'done', why: '', tookMs: 112, found: false }],
    ['one', { kind: 'intent', action: be, read: 'NotReady' }],
    ['two', { kind: 'note', text: 'line 5 was cut off by a crash; 12 bytes taken away' }],
    ['two', { kind: 'run-start', mode: 'boot', planned: 1, refused: 0, sandboxesOnNode: 40 }],
    ['two', { kind: 'outcome', of: 4, result: 'already', why: 'it is not listed any more', tookMs: 0, found: true }],
    ['two', { kind: 'intent', action: web, read: 'NotReady' }],
    ['two', { kind: 'outcome', of: 8, result: 'failed', why: 'CNI DEL: \u001b[2Jhost-local', tookMs: 9, found: false }],
    [
      'two',
      {
        kind: 'run-end',
        ...{ done: 0, already: 0, failed: 1, skipped: 0 },
        stopped: { code: 'ERR_CRI_FAILED', message: 'StopPodSandbox failed' },
        recovery: { state: 'not-yet', tookMs: 120_000 },
      },
    ],
  ];
  return bodies.map(([runId, body], index): Entry => {
    const boot = runId === 'one' ? 'aaaaaaaa-1' : 'bbbbbbbb-2';
    const at = { wallNs: startNs + BigInt(index) * SECOND, uptimeNs: BigInt(60 + index) * SECOND, bootId: boot };
    return { v: 1, seq: index + 1, runId, at, ...body };
  });
}

test('a run in a few words: what it did, and the steps at boot by what they wrote down', () => {
  const [web] = plan.actions;
  assert.ok(web);
  const at = { wallNs: startNs, uptimeNs: SECOND, bootId: 'aaaaaaaa-1' };
  const note = { v: 1, seq: 1, runId: 'boot', at, kind: 'note', text: 'boot heal: nothing removed' } as const;
  const alone = { v: 1, seq: 2, runId: 'cut', at, kind: 'run-start', mode: 'run' } as const;
  const run = { ...alone, planned: 1, refused: 0, sandboxesOnNode: 40 };
  assert.deepEqual(history([note, run, ...entries()]).map(describeRun), [
    'boot heal: nothing removed',
    'changed nothing, and was cut off',
    'removed 1 dead sandbox, and was cut off',
    'at boot: changed nothing',
  ]);
});

describe('history', () => {
  for (const width of [40, 80, 120]) {
    test(`as text, ${width} columns`, () => {
      const style = { colour: false, unicode: true, width };
      assertGolden(
        `history.${width}.txt`,
        historyText(entries(), { style, path: '/j', torn: { line: 11, bytes: 7 }, damage: [] }),
      );
      assertGolden(`history-empty.${width}.txt`, historyText([], { style, path: '/j', torn: undefined, damage: [] }));
      const damage = [{ file: '/j', line: 3, why: 'its checksum does not match' }];
      const left = entries().filter((each) => each.seq !== 3);
      assertGolden(`history-damaged.${width}.txt`, historyText(left, { style, path: '/j', torn: undefined, damage }));
    });
  }
});

describe('--since', () => {
  const [old, recent] = [entries()[0], entries()[9]];
  if (!old || !recent) throw new Error('there are ten entries');
  // The clock of this boot is two hours behind: the dates of its entries look later than now.
  const now = { bootId: 'bbbbbbbb-2', uptimeNs: 600n * SECOND, wallNs: startNs - 7_200n * SECOND };
  test('a duration is counted by the time since boot for this boot, and by dates for another', () => {
    assert.equal(sinceFilter('10m', now)(recent), true);
    assert.equal(sinceFilter('5m', now)(recent), false, 'written 531 s ago, whatever its date says');
    assert.equal(sinceFilter('1h', { ...now, wallNs: startNs + 7_200n * SECOND })(old), false);
  });
  test('a date is compared with dates', () => {
    assert.equal(sinceFilter('2026-11-21', now)(old), true);
    assert.equal(sinceFilter('2026-11-22', now)(old), false);
    assert.equal(sinceFilter('2026-11-21 00:00:00.5Z', now)(old), true);
  });
  test('weeks are understood here as for an incident', () => {
    assert.equal(sinceFilter('1w', now)(old), true);
  });
  test('anything else is refused with what to write', () => {
    for (const typed of ['', 'soon', '5', '-3d', '2026-99-99', '2026-02-30', '2026-11-21Tx', '\u001b[2J']) {
      assert.throws(
        () => sinceFilter(typed, now),
        (error) =>
          isSandwardenError(error, 'ERR_USAGE') && /'30m'/.test(error.hint) && !error.message.includes('\u001b'),
      );
    }
  });
});
