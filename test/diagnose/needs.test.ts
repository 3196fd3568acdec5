// Goal: "nothing found" is said only where it could have been found. Method: from nodes on which rules fire each source
// is taken away; a rule that goes quiet must say that it could not be judged.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { junitText } from '../../src/cli/render/junit.ts';
import { catalogue } from '../../src/diagnose/catalogue.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { known, unknown } from '../../src/model/observed.ts';
import { laterSources, type Snapshot, snapshotSources } from '../../src/model/snapshot.ts';
import { recordedConfig } from '../helpers/recorded-config.ts';
import { readRecording, recordings } from '../helpers/recording.ts';
import { arbitraryNode } from './arbitrary.ts';
import { snapshotOf } from './build.ts';

const sources = [...snapshotSources, ...laterSources];
/** Further witnesses: a node where nobody watches is judged without them. */
const witnesses = ['controllerChanges', 'containerEvents'];
const gone = unknown('ERR_NOT_ASKED', 'it was not asked', 'Ask it.');

function assertTold(snapshot: Snapshot): void {
  const codes = (of: readonly { readonly code: string }[]) => new Set(of.map((each) => each.code));
  const found = codes(diagnose(snapshot).findings);
  for (const source of sources.filter((each) => !witnesses.includes(each))) {
    const less = diagnose({ ...snapshot, [source]: gone });
    const left = codes(less.findings);
    const told = codes(less.notJudged);
    for (const code of found) {
      // What only the API can tell of a pod narrows many rules a little: it is told as a gap, where it matters.
      if (source === 'pods' && (code === 'SW108' || less.gaps.some((each) => each.source === 'pods'))) continue;
      assert.ok(left.has(code) || told.has(code), `${code} is quiet without ${source}, and seems to have passed`);
    }
  }
}

describe('a rule that goes quiet for want of a source says so', () => {
  for (const name of recordings) {
    test(name, async () => {
      assertTold(readRecording(name, { pods: true }));
      assertTold(readRecording(name, { pods: false }));
      assertTold(readRecording(name, { watched: name === 'cgroup-flapping' }));
      assertTold({ ...readRecording(name), runtimeConfig: known(await recordedConfig(name)) });
    });
  }
  test('random nodes', () => {
    fc.assert(fc.property(arbitraryNode(), assertTold), { numRuns: 100 });
  });
});

test('where nothing was seen no rule has passed', () => {
  const blind = Object.fromEntries(sources.map((each) => [each, gone]));
  const diagnosis = diagnose({ ...snapshotOf({}), ...blind });
  assert.deepEqual(
    diagnosis.notJudged.map((each) => each.code),
    catalogue.map((each) => each.code),
  );
  const xml = junitText(diagnosis, diagnosis.findings, catalogue, () => true);
  assert.doesNotMatch(xml, /<testcase [^>]*\/>/, 'a case without anything in it passes');
  assert.equal(xml.match(/<skipped message="not judged without /g)?.length, catalogue.length);
});

test('a file of an earlier version, which lacks sources, does not pass what needs them', () => {
  const { cgroups: _, ...earlier } = readRecording('normal-reboot');
  const told = diagnose(earlier).notJudged.find((each) => each.code === 'SW510');
  assert.match(told?.message ?? '', /this snapshot does not hold it/);
});

test('what was seen and is in order has passed', () => {
  const codes = new Set(diagnose(readRecording('normal-reboot')).notJudged.map((each) => each.code));
  for (const each of ['SW101', 'SW102', 'SW105', 'SW107', 'SW501', 'SW510', 'SW701', 'SW703']) {
    assert.ok(!codes.has(each), each);
  }
});
