/** Ctrl-C at each step, and two Sandwardens at once. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openIntents } from '../../src/heal/leftovers.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { limits } from '../../src/model/limits.ts';
import { heal, simNode } from './sim-run.ts';

const sixPods = () =>
  simNode((world) => {
    for (let index = 0; index < 6; index += 1) world.addPod(`p${index}`);
  });

describe('Ctrl-C', () => {
  test('at each call to the node: nothing new begins, what was begun ends, and the journal says how', async () => {
    const undisturbed = sixPods();
    await heal(undisturbed);
    const calls = undisturbed.world.calls.length;
    assert.ok(calls > 30);
    for (let at = 0; at < calls; at += 1) {
      const node = sixPods();
      const controller = new AbortController();
      let stopsAtAbort = -1;
      const begun = () => node.world.calls.filter((each) => each.startsWith('stop ')).length;
      node.world.before = async () => {
        if (node.world.calls.length !== at + 1) return;
        // A signal comes between turns, never in the middle of one.
        await node.world.clock.sleep(0);
        controller.abort();
        stopsAtAbort = begun();
      };
      const { outcome, results } = await heal(node, { signal: controller.signal });
      assert.equal(outcome.stopped?.code, 'ERR_INTERRUPTED', `call ${at}`);
      assert.equal(begun(), stopsAtAbort, `call ${at}: begun after Ctrl-C`);
      assert.equal(results.filter((each) => each.endsWith('done')).length, node.world.removed.size, `call ${at}`);
      assert.equal(results.length, 6);
      const entries = await node.disk.durableEntries();
      assert.deepEqual(openIntents(entries), [], `call ${at}`);
      assert.equal(entries.at(-1)?.kind, 'run-end');
      assert.deepEqual(node.world.violations, []);
    }
  });

  test('while the intent is being written: it is written, answered as not begun, and nothing is touched', async () => {
    const node = simNode((world) => world.addPod('a'));
    const controller = new AbortController();
    // Operations: run-start (0, 1), intent (2, 3).
    node.disk.mishaps = [{ at: 3, kind: 'slow', ms: 500 }];
    const running = heal(node, { signal: controller.signal });
    while (node.disk.operations.length < 4) await node.world.clock.sleep(50);
    controller.abort();
    const { results } = await running;
    assert.deepEqual(results, ['default/a/0 skipped']);
    assert.ok(!node.world.calls.includes('stop a-0'));
    const outcomes = (await node.disk.durableEntries()).filter((each) => each.kind === 'outcome');
    assert.deepEqual(
      outcomes.map((each) => each.result),
      ['skipped'],
    );
  });

  test('before it begins: nothing is touched', async () => {
    const node = sixPods();
    const { outcome } = await heal(node, { signal: AbortSignal.abort() });
    assert.equal(outcome.stopped?.code, 'ERR_INTERRUPTED');
    assert.equal(node.world.removed.size, 0);
  });

  test('while it waits for the second look: at once', async () => {
    const node = sixPods();
    const controller = new AbortController();
    const since = node.world.clock.uptimeNs();
    const running = heal(node, { signal: controller.signal });
    await node.world.clock.sleep(3_000);
    controller.abort();
    const { outcome } = await running;
    assert.equal(outcome.stopped?.code, 'ERR_INTERRUPTED');
    assert.equal(node.world.clock.uptimeNs() - since, 3_000_000_000n);
  });

  test('a call that does not end is waited for a while and no longer; its intent stays to be looked after', async () => {
    const node = sixPods();
    const controller = new AbortController();
    let at = 0n;
    node.world.before = (call, id) => {
      if (call !== 'remove' || id !== 'p0-0') return;
      at = node.world.clock.uptimeNs();
      controller.abort();
      return new Promise(() => undefined);
    };
    const { outcome, results } = await heal(node, { signal: controller.signal });
    assert.equal(results[0], 'default/p0/0 failed');
    assert.match(outcome.actions[0]?.why ?? '', /interrupted while RemovePodSandbox of default\/p0\/0 was under way/);
    const waited = Number(node.world.clock.uptimeNs() - at) / 1e6;
    assert.ok(waited >= limits.interruptGraceMs && waited < limits.criWriteTimeoutMs, `${waited}`);
  });
});

describe('two at once', () => {
  test('the second is told who holds the lock and since when, and touches nothing', async () => {
    const node = sixPods();
    const first = heal(node);
    await node.world.clock.sleep(1_000);
    const before = node.disk.current.length;
    await assert.rejects(heal(node), (error) => {
      assert.ok(isSandwardenError(error, 'ERR_LOCKED'), `${error}`);
      assert.match(error.message, /process 100, since \d{4}-\d\d-\d\dT/);
      return true;
    });
    assert.equal(node.disk.current.length, before);
    const { results } = await first;
    assert.ok(results.every((each) => each.endsWith('done')));
    assert.ok([...node.world.removed.values()].every((times) => times === 1));
  });

  test('the lock is free after a run, also after one that failed', async () => {
    const node = sixPods();
    node.disk.mishaps = [{ at: 0, kind: 'error', code: 'EIO' }];
    await assert.rejects(heal(node));
    node.disk.mishaps = [];
    await heal(node);
    const { outcome } = await heal(node);
    assert.deepEqual(outcome.actions, []);
  });
});
