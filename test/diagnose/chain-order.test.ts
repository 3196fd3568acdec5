// Goal: the chain is what it says above it, oldest first, and no link stands behind what came of it. Method: all
// recordings with and without each of their parts, a few hundred random nodes, and links made by hand.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { isReasonOf, oldestFirst } from '../../src/diagnose/chain-order.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { Link } from '../../src/model/finding.ts';
import { known } from '../../src/model/observed.ts';
import { readRecording, recordings } from '../helpers/recording.ts';
import { arbitraryNode } from './arbitrary.ts';

const SECOND = 1_000_000_000n;

function assertOldestFirst(chain: readonly Link[]): void {
  const told = chain.map((each) => `${each.agoNs} ${each.at?.wallNs} ${each.code} ${each.text}`).join('\n');
  const timed = chain.filter((each) => each.agoNs !== null || (each.at !== null && each.because === undefined));
  for (const [index, link] of timed.entries()) {
    const before = timed[index - 1];
    if (before === undefined) continue;
    if (link.agoNs === null) assert.equal(before.agoNs, null, `a date of before this boot comes after it:\n${told}`);
    else if (before.agoNs !== null) assert.ok(before.agoNs >= link.agoNs, `${link.text} is older:\n${told}`);
  }
  for (const [index, effect] of chain.entries()) {
    const late = chain.slice(index).find((each) => isReasonOf(each, effect));
    assert.equal(late, undefined, `what came of it stands before it:\n${told}`);
  }
}

describe('oldest first', () => {
  for (const name of recordings) {
    for (const options of [{ pods: true }, { pods: false }, { watched: name === 'cgroup-flapping' }]) {
      test(`${name} ${JSON.stringify(options)}`, () => {
        const snapshot = readRecording(name, options);
        assertOldestFirst(diagnose(snapshot).chain);
        const unseen = { known: false, code: 'ERR_NOT_ASKED', message: 'not asked', hint: '' } as const;
        for (const source of ['kubelet', 'runtimeLog', 'boots', 'cgroups', 'containers'] as const) {
          assertOldestFirst(diagnose({ ...snapshot, [source]: unseen }).chain);
        }
      });
    }
  }

  test('random nodes', () => {
    fc.assert(
      fc.property(arbitraryNode(), (snapshot) => assertOldestFirst(diagnose(snapshot).chain)),
      { numRuns: 300 },
    );
  });

  test('cgroup-flapping: it ends at CrashLoopBackOff', () => {
    for (const watched of [true, false]) {
      const { chain } = diagnose(readRecording('cgroup-flapping', { watched }));
      assert.match(chain.at(-1)?.text ?? '', /CrashLoopBackOff$/);
    }
  });

  test('a watch that began after the pods were killed does not say when the fight began', () => {
    const snapshot = readRecording('cgroup-flapping', { watched: true });
    const { controllerChanges: changes } = snapshot;
    assert.ok(changes?.known);
    const writers = changes.value.writers.map((each) => ({ ...each, first: each.last }));
    const { chain } = diagnose({ ...snapshot, controllerChanges: known({ ...changes.value, writers }) });
    const fight = chain.findIndex((each) => each.code === 'SW502');
    assert.equal(chain[fight]?.agoNs, null);
    assert.ok(fight < chain.findIndex((each) => each.code === 'SW601'));
  });
});

describe('links by hand', () => {
  const link = (text: string, ago: number | null, more: Partial<Link> = {}): Link => ({
    ...{ text, evidence: '', at: null, lastedNs: null },
    agoNs: ago === null ? null : BigInt(ago) * SECOND,
    ...more,
  });
  const told = (links: readonly Link[]) => oldestFirst(links).map((each) => each.text);

  test('by time; what has none stands before all that may have come of it', () => {
    const links = [link('a', null), link('b', 10), link('c', null), link('d', 30), link('e', 20), link('f', null)];
    assert.deepEqual(told(links), ['a', 'c', 'd', 'e', 'b', 'f']);
  });

  test('a date of before this boot goes first, by its date', () => {
    const dated = (text: string, wallNs: bigint, more = {}) => link(text, null, { at: { wallNs }, ...more });
    const links = [dated('end', 5n), link('clock', 90), dated('volume', 3n), link('pods', 1)];
    assert.deepEqual(told(links), ['volume', 'end', 'clock', 'pods']);
    const caused = [link('dead', 90, { code: 'SW301' }), dated('volume', 3n, { because: 'SW301: the socket' })];
    assert.deepEqual(told(caused), ['dead', 'volume'], 'but never before its cause');
  });

  test('a cause that was seen after what came of it has no time, and keeps its place', () => {
    const links = [link('socket', 60, { code: 'SW301' }), link('waits', 90, { because: 'SW301: the socket' })];
    const ordered = oldestFirst(links);
    assert.deepEqual(
      ordered.map((each) => [each.text, each.agoNs]),
      [
        ['socket', null],
        ['waits', 90n * SECOND],
      ],
    );
  });
});
