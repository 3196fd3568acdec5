// Goal: what could not be seen is never taken for health, and is looked for elsewhere. Method: small nodes.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { makePlan } from '../../src/heal/plan.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { nameHeld, sandbox, snapshotOf } from './build.ts';

const codesOf = (snapshot: Snapshot) => diagnose(snapshot).findings.map((each) => `${each.code} ${each.severity}`);
const planned = (snapshot: Snapshot) =>
  makePlan(snapshot, { allow: ['safe'], only: [] }).actions.map((each) => `${each.kind} ${each.object}`);

test("a held name is found also where kubelet's log cannot be read and its events tell; a log that can be read goes before them", () => {
  const old = sandbox('web', 0, 'notready', -4_000);
  const errors = [nameHeld('web', 0, old.id)];
  const kubeletLog = unknown('ERR_FORBIDDEN', 'no permission', 'be root');
  const told = { refusals: known(errors) };
  const byEvents = snapshotOf({ sandboxes: [old], more: { kubeletLog, ...told } });
  assert.deepEqual(codesOf(byEvents), ['SW101 error']);
  assert.deepEqual(planned(byEvents), ['remove-sandbox default/web/0']);
  const [finding] = diagnose(byEvents).findings;
  assert.deepEqual(
    finding?.evidence.map((each) => each.source),
    ['sandboxes', 'refusals'],
  );
  assert.deepEqual(planned(snapshotOf({ sandboxes: [old], more: { kubeletLog } })), []);
  assert.deepEqual(planned(snapshotOf({ sandboxes: [old], more: told })), []);
});

test('a node whose kubelet does not run is not healthy, whatever else is in order; a machine without pods may be', () => {
  for (const state of ['notready', 'ready'] as const) {
    const down = diagnose(snapshotOf({ sandboxes: [sandbox('web', 0, state, -30)], kubeletRunning: false }));
    assert.equal(down.state, 'warnings');
    assert.match(down.verdict, /^No fault found, but not all could be seen: kubelet does not run, so nothing tells/);
  }
  const sandboxes = [sandbox('web', 0, 'notready', -30)];
  const { runtime } = snapshotOf({});
  assert.ok(runtime.known);
  const more = { runtime: known({ ...runtime.value, latencyMs: { ListPodSandbox: 3_000 } }) };
  const warned = diagnose(snapshotOf({ sandboxes, kubeletRunning: false, more }));
  assert.match(warned.verdict, /^Not all could be seen, and: /);
  assert.equal(diagnose(snapshotOf({ sandboxes: [], kubeletRunning: false })).state, 'healthy');
});
