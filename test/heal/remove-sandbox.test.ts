/** What no plan may talk the executor into, and whom an error of CNI names. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pluginOf, surpriseBeforeRemoval } from '../../src/heal/actions/remove-sandbox.ts';
import type { Container } from '../../src/model/sandbox.ts';
import { SimWorld } from './sim-world.ts';

const ghost = new SimWorld().sandbox('a', 0, 'notready', 0n);
const guard = {
  kind: 'remove-sandbox',
  sandboxId: 'a-0',
  podUid: 'uid-a',
  attempt: 0,
  createdAtNs: ghost.createdAtNs,
} as const;
const fresh = { sandboxes: [ghost], containers: [], pauseAlive: false, nowWallNs: 0n, kubeletRunning: true };
const container = (state: Container['state'], sandboxId = 'a-0'): Container => ({
  ...{ id: 'c', sandboxId, podUid: 'uid-a', name: 'app\u001b[2J', attempt: 0, createdAtNs: 0n },
  state,
});

describe('immediately before a removal', () => {
  test('nothing speaks against what is as it was planned, with ended containers in it', () => {
    assert.equal(surpriseBeforeRemoval(guard, { ...fresh, containers: [container('exited')] }), undefined);
    assert.equal(surpriseBeforeRemoval(guard, { ...fresh, containers: [container('running', 'other')] }), undefined);
  });

  test('gone is gone, and another pod under the same id is a surprise', () => {
    assert.equal(surpriseBeforeRemoval(guard, { ...fresh, sandboxes: [] }), 'gone');
    assert.match(surpriseBeforeRemoval(guard, { ...fresh, sandboxes: [{ ...ghost, uid: 'x' }] }) ?? '', /another pod/);
  });

  test("a running container's name cannot command the terminal", () => {
    const says = surpriseBeforeRemoval(guard, { ...fresh, containers: [container('running')] });
    assert.equal(says, 'its container app\\x1b[2J is running now');
  });
});

test('the plugin is named where the error names one', () => {
  const text = 'failed to destroy network for sandbox "x": ';
  assert.equal(pluginOf(`${text}plugin type="bridge" failed (delete): exit status 1`), 'bridge');
  assert.equal(pluginOf(`${text}failed to find plugin "calico" in path [/opt/cni/bin]`), 'calico');
  assert.equal(pluginOf(`${text}error getting ClusterInformation: connection is unauthorized`), undefined);
  assert.equal(pluginOf(`plugin type="${'x'.repeat(100_000)}`), undefined);
});
