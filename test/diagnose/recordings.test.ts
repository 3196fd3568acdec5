import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { makePlan } from '../../src/heal/plan.ts';
import type { Tier } from '../../src/model/finding.ts';
import type { RecordingName } from '../helpers/recording.ts';
import { readRecording } from '../helpers/recording.ts';

/** What the rules say of real nodes, recorded while they were sick and well (test/recordings/README.md). */

const all: readonly Tier[] = ['safe', 'disruptive', 'destructive'];

function look(name: RecordingName, api: boolean, allow: readonly Tier[] = ['safe']) {
  const snapshot = readRecording(name, { pods: api });
  return { snapshot, diagnosis: diagnose(snapshot), plan: makePlan(snapshot, { allow, only: [] }) };
}

describe('clock-step/stuck: 70 s after a power cut, with the clock two hours behind', () => {
  test('the API knows the pods: exactly the two ghosts that block go', () => {
    const { diagnosis, plan } = look('clock-step/stuck', true);
    assert.deepEqual(
      plan.actions.map((each) => `${each.code} ${each.object} ${each.tier}`),
      ['SW102 default/be/0 safe', 'SW102 default/web/0 safe'],
    );
    assert.deepEqual(plan.pods, ['default/be', 'default/web']);
    const errors = diagnosis.findings.filter((each) => each.severity === 'error');
    assert.deepEqual(
      errors.map((each) => each.code),
      ['SW102', 'SW102'],
    );
    assert.match(
      diagnosis.verdict,
      /^2 pods do not run: the node booted with its clock 1 h 59 min behind, so kubelet v1\.34\.9/,
    );
  });

  test("the finished Job's sandbox and the attempt-1 sandboxes stay, at every tier", () => {
    const { plan } = look('clock-step/stuck', true, all);
    assert.equal(plan.actions.length, 2);
    assert.match(
      plan.refusals.find((each) => each.object === 'default/job/0')?.reason ?? '',
      /finished pod .*logs live here/,
    );
  });

  test('without the API nothing is guessed: what the runtime did not tell is left to a person', () => {
    const { plan } = look('clock-step/stuck', false);
    assert.deepEqual(
      plan.actions.map((each) => each.object),
      ['default/web/0'],
    );
    const refusals = plan.refusals.map((each) => `${each.object} ${each.lift ?? ''}`);
    assert.deepEqual(refusals, ['default/be/0 --allow=disruptive', 'default/job/0 ']);
    const allowed = look('clock-step/stuck', false, all).plan.actions.map((each) => each.object);
    assert.deepEqual(allowed, ['default/be/0', 'default/web/0']);
  });

  test('the chain goes from the clock to the pods, in order of time', () => {
    const { chain } = look('clock-step/stuck', true).diagnosis;
    const text = chain.map((each) => each.text).join('\n');
    assert.match(
      text,
      /clock at least 1 h 59 min behind[\s\S]*dead sandboxes[\s\S]*kubelet v1\.34\.9 started[\s\S]*refused kubelet[\s\S]*2 pods do not run/,
    );
    const agos = chain.flatMap((each) => (each.agoNs === null ? [] : [each.agoNs]));
    assert.deepEqual(
      agos,
      agos.toSorted((a, b) => (a > b ? -1 : 1)),
    );
  });
});

for (const name of ['clock-step/healed', 'normal-reboot'] as const) {
  describe(name, () => {
    for (const api of [true, false]) {
      test(`no action at any tier (${api ? 'with' : 'without'} the API)`, () => {
        const { plan, diagnosis } = look(name, api, all);
        assert.deepEqual(plan.actions, []);
        assert.deepEqual(
          diagnosis.findings.filter((each) => each.severity !== 'info'),
          [],
        );
        assert.match(diagnosis.verdict, /^Healthy: 2 pods have their sandboxes/);
      });
    }
  });
}

test('cgroup-flapping: no sandbox is in the way of anything, so none is removed at any tier', () => {
  for (const api of [true, false]) {
    const { plan, diagnosis } = look('cgroup-flapping', api, all);
    assert.deepEqual(plan.actions, []);
    assert.equal(diagnosis.state, 'errors');
  }
});
