// Goal: a pod that a dead sandbox held up and that has volumes of the driver which comes back with the same plan is
// waited for with the stages of storage, and told as what it is then.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withLate } from '../../src/heal/await-storage.ts';
import { makePlan } from '../../src/heal/plan.ts';
import type { Recovery, Stage } from '../../src/model/plan.ts';
import { nameHeld, sandbox } from '../diagnose/build.ts';
import { nodeWith, refusing } from '../diagnose/csi-nodes.ts';
import { longhorn, waitingPod } from '../helpers/csi/drivers.ts';

test('the plan knows who waits for volumes once its name is free; the driver itself does not', () => {
  const blocked = [longhorn.plugin, waitingPod('db-0'), { ...waitingPod('web'), claims: [] }];
  const ghosts = blocked.map(({ name, namespace }) => ({ ...sandbox(name, 0, 'notready', -900), namespace }));
  const errors = ghosts.map((ghost) => {
    const { name, namespace, uid, attempt } = ghost;
    return nameHeld(name, 0, ghost.id, { asked: { name, namespace, uid, attempt } } as never);
  });
  const snapshot = nodeWith({ drivers: [refusing(longhorn)], pods: blocked, sandboxes: ghosts, errors });
  const plan = makePlan(snapshot, { allow: ['safe'], only: [], storage: true });
  assert.deepEqual(plan.pods, blocked.map((each) => `${each.namespace}/${each.name}`).sort());
  assert.deepEqual(plan.storage?.waiting, ['apps/db-0']);
  // Who serves the volumes comes first: the budget may leave the last ones for another run.
  const { namespace, name } = longhorn.plugin;
  assert.deepEqual(
    plan.actions.map((each) => each.object),
    [`${namespace}/${name}/0`, 'apps/db-0/0', 'apps/web/0'],
  );
});

describe('what the stages tell of them', () => {
  const verified: Recovery = { state: 'recovered', tookMs: 9, recovered: ['a/plugin'], waiting: [] };
  const pods = (over: Partial<Stage>): Stage[] => [{ name: 'pods', state: 'green', green: 1, of: 1, red: [], ...over }];

  test('they are back with their stage', () => {
    const { state, recovered } = withLate(verified, ['apps/db-0'], pods({}));
    assert.deepEqual([state, recovered], ['recovered', ['a/plugin', 'apps/db-0']]);
    assert.equal(withLate(verified, [], []), verified);
  });

  test('one of them still waits, or nobody can say', () => {
    const red = pods({ state: 'red', of: 2, red: [{ object: 'apps/db-0', why: 'c ContainerCreating' }] });
    const partly = withLate(verified, ['apps/db-0', 'apps/db-1'], red);
    assert.deepEqual([partly.state, partly.recovered], ['partly', ['a/plugin', 'apps/db-1']]);
    assert.deepEqual(partly.waiting, [{ pod: 'apps/db-0', why: 'c ContainerCreating' }]);
    const unknown = pods({ state: 'unknown', of: 0, red: [{ object: 'waiting pods run', why: 'no answer' }] });
    for (const [stages, why] of [
      [unknown, 'no answer'],
      [[], 'the API was not asked'],
    ] as const) {
      const none = withLate({ ...verified, recovered: [] }, ['apps/db-0'], stages);
      assert.deepEqual([none.state, none.waiting], ['not-yet', [{ pod: 'apps/db-0', why }]]);
    }
  });
});
