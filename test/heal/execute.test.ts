/**
 * The executor under a simulated world that changes between plan and act. Each surprise must stop the run before
 * anything is done to what changed, and the outcome must say why.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { limits } from '../../src/model/limits.ts';
import { SECOND } from './sim-clock.ts';
import { heal, simNode } from './sim-run.ts';
import { criError, killOf, restartOf, type SimWorld } from './sim-world.ts';

const threePods = (world: SimWorld) => {
  for (const name of ['a', 'b', 'c']) world.addPod(name);
};

/** A node where `change` happens at the `nth` call named `call` (and, where given, with this id). */
function changing(call: string, change: (world: SimWorld) => void, { id = '', nth = 1, setUp = threePods } = {}) {
  const node = simNode(setUp);
  let left = nth;
  node.world.before = (name, of) => {
    if (name === call && (id === '' || of === id) && --left === 0) change(node.world);
  };
  return node;
}

const writes = (world: SimWorld) => world.calls.filter((each) => /^(stop|remove|kill|restart) /.test(each));

describe('a plan that nothing comes in the way of', () => {
  test('removes exactly what it names, one pod after the other, and says when the pods run', async () => {
    const node = simNode((world) => {
      world.addPod('a', 2);
      world.addPod('b');
    });
    const { outcome, results, events } = await heal(node);
    assert.deepEqual(results, ['default/a/0 done', 'default/a/1 done', 'default/b/0 done']);
    assert.deepEqual(outcome.recovery.recovered, ['default/a', 'default/b']);
    assert.equal(outcome.recovery.state, 'recovered');
    assert.ok(outcome.recovery.tookMs >= 1_000 && outcome.recovery.tookMs <= 3_000, `${outcome.recovery.tookMs}`);
    assert.equal(outcome.stopped, undefined);
    assert.deepEqual(node.world.violations, []);
    assert.ok(node.world.calls.indexOf('remove a-0') < node.world.calls.indexOf('stop a-1'));
    assert.deepEqual([...new Set(events.map((each) => each.kind))], ['confirming', 'act', 'acted', 'verifying']);
  });

  test('stops each sandbox before it removes it, and at most 4 at once', async () => {
    const node = simNode((world) => {
      for (let index = 0; index < 20; index += 1) world.addPod(`p${index}`);
    });
    await heal(node);
    assert.equal(node.world.mostInFlight, limits.removalsInFlight);
    assert.equal(writes(node.world).length, 40);
    for (let index = 0; index < 20; index += 1) {
      const [stop, remove] = [`stop p${index}-0`, `remove p${index}-0`].map((each) => node.world.calls.indexOf(each));
      assert.ok(stop !== undefined && remove !== undefined && stop >= 0 && stop < remove);
    }
  });

  test('does not stop twice what the runtime stops as it removes it', async () => {
    const node = simNode((world) => {
      world.stopsOnRemoval = true;
      world.addPod('a');
    });
    await heal(node);
    assert.deepEqual(writes(node.world), ['remove a-0']);
  });

  test('waits until 10 s have passed since the first listing, and looks a second time', async () => {
    const node = simNode(threePods);
    const look = node.world.look();
    await node.world.clock.sleep(4_000);
    const { events } = await heal(node, { look });
    assert.ok(events.some((each) => each.kind === 'confirming' && each.waitMs === 6_000));
    const [seen] = node.world.calls.filter((each) => each === 'look');
    assert.equal(seen, 'look');
    assert.ok(node.world.calls.indexOf('look') < node.world.calls.indexOf('stop a-0'));
  });

  test('with kubelet down needs no second look, and does not wait for pods nobody starts', async () => {
    const node = simNode(threePods);
    node.world.identity = { runtimePid: 10, runtimeStartedUptimeNs: 7n, kubeletRunning: false };
    const { outcome, results } = await heal(node);
    assert.deepEqual(results, ['default/a/0 done', 'default/b/0 done', 'default/c/0 done']);
    assert.ok(!node.world.calls.includes('look'));
    assert.equal(outcome.recovery.state, 'not-checked');
  });

  test('what the second look leaves out is skipped with its reason', async () => {
    const node = changing('look', (world) => world.vanish('b-0'));
    const { results, outcome } = await heal(node);
    assert.deepEqual(results, ['default/a/0 done', 'default/b/0 skipped', 'default/c/0 done']);
    assert.match(outcome.actions[1]?.why ?? '', /a second look 10 s later left it out/);
  });

  test('what passes by itself is looked at again, and only that', async () => {
    let looks = 0;
    const node = simNode(threePods);
    node.world.before = (call) => {
      if (call !== 'look') return;
      looks += 1;
      if (looks === 1) {
        node.world.refused.set('a-0', { reason: 'just asked for', passes: true });
        node.world.refused.set('b-0', { reason: 'finished' });
      } else node.world.refused.clear();
    };
    const { results, outcome, events } = await heal(node);
    assert.deepEqual(results, ['default/a/0 done', 'default/b/0 skipped', 'default/c/0 done']);
    assert.match(outcome.actions[1]?.why ?? '', /left it out: finished/);
    const waits = events.flatMap((each) => (each.kind === 'confirming' ? [each.waitMs] : []));
    assert.deepEqual(waits, [limits.confirmAfterMs, limits.passingGapMs]);
  });

  test('what does not pass after all is left out, after a few looks', async () => {
    const node = simNode(threePods);
    node.world.before = (call) => {
      if (call === 'look') node.world.refused.set('a-0', { reason: 'just asked for', passes: true });
    };
    const { results, outcome, events } = await heal(node);
    assert.deepEqual(results, ['default/a/0 skipped', 'default/b/0 done', 'default/c/0 done']);
    assert.match(outcome.actions[0]?.why ?? '', /left it out: just asked for/);
    const waits = events.flatMap((each) => (each.kind === 'confirming' ? [each.waitMs] : []));
    assert.deepEqual(waits, [limits.confirmAfterMs, ...Array(limits.passingLooks).fill(limits.passingGapMs)]);
  });

  test('a hung CNI process is killed, the runtime restarted, each alone, and the new runtime is the one to expect', async () => {
    const node = simNode((world) => {
      threePods(world);
      world.processes.set('412@8812', 1);
      world.extra = [killOf(412, 8812n), restartOf('containerd.service')];
    });
    const { results } = await heal(node);
    assert.deepEqual(results.slice(0, 2), ['bridge (412) done', 'containerd.service done']);
    assert.deepEqual(new Set(results.slice(2)), new Set(['default/a/0 done', 'default/b/0 done', 'default/c/0 done']));
    assert.deepEqual(writes(node.world).slice(0, 2), ['kill 412@8812', 'restart containerd.service']);
    assert.deepEqual(node.world.violations, []);
  });
});

describe('a surprise stops the run, and nothing is done to what surprised', () => {
  const cases: [name: string, call: string, change: (world: SimWorld) => void, says: RegExp][] = [
    ['it became READY', 'read', (world) => world.change('a-0', { state: 'ready' }), /READY now/],
    ['its date changed', 'read', (world) => world.change('a-0', { createdAtNs: 5n }), /another creation date/],
    ['its attempt changed', 'read', (world) => world.change('a-0', { attempt: 7 }), /attempt 7 now/],
    ['a container started in it', 'read', (world) => world.startContainer('a-0'), /container app is running now/],
    ['a container was created', 'read', (world) => world.startContainer('a-0', 'created'), /app is created now/],
    ['its pause process lives', 'pause', (world) => world.pauses.set('a-0', true), /pause process is alive/],
    ['the process of a pid lives', 'read', (world) => world.pauses.set('a-0', true), /pause process is alive/],
  ];
  for (const [name, call, change, says] of cases) {
    test(name, async () => {
      const id = call === 'read' ? 'uid-a' : 'a-0';
      const node = changing(call, change, { id });
      node.world.knowsPids = name === 'the process of a pid lives';
      const { outcome, results } = await heal(node);
      if (node.world.knowsPids) assert.ok(!node.world.calls.some((each) => each.startsWith('pause ')));
      assert.equal(outcome.stopped?.code, 'ERR_PRECONDITION');
      assert.match(outcome.stopped?.message ?? '', says);
      assert.equal(results[0], 'default/a/0 skipped');
      assert.ok(!writes(node.world).some((each) => each.endsWith(' a-0')));
      assert.deepEqual(node.world.violations, []);
    });
  }

  test('the plan no longer holds for what was read', async () => {
    const node = simNode(threePods);
    const { outcome } = await heal(node, {
      stillRight: (action) => (action.target === 'a-0' ? 'it blocks nothing any more' : undefined),
    });
    assert.match(outcome.stopped?.message ?? '', /default\/a\/0 is not as it was planned: it blocks nothing/);
    assert.ok(!writes(node.world).some((each) => each.endsWith(' a-0')));
  });

  const identities: [name: string, identity: Partial<SimWorld['identity']>, kubeletDown: boolean, says: RegExp][] = [
    ['the runtime was restarted', { runtimePid: 11 }, false, /runtime was restarted/],
    ['another start under the same pid', { runtimeStartedUptimeNs: 9n }, false, /runtime was restarted/],
    ['kubelet was restarted', { kubeletPid: 21 }, false, /kubelet was restarted/],
    ['kubelet came up', { kubeletRunning: true, kubeletPid: 21 }, true, /kubelet came up/],
  ];
  for (const [name, identity, kubeletDown, says] of identities) {
    for (const nth of [1, 2, 3]) {
      test(`${name}, seen at look ${nth}`, async () => {
        const node = changing('identity', (world) => (world.identity = { ...world.identity, ...identity }), { nth });
        if (kubeletDown) node.world.identity = { runtimePid: 10, runtimeStartedUptimeNs: 7n, kubeletRunning: false };
        const before = nth === 1 && name === 'kubelet was restarted';
        const { outcome } = await heal(node);
        // Nobody knows which kubelet the first look saw, so a change before the first reading is none.
        if (before) return assert.equal(outcome.stopped, undefined);
        assert.match(outcome.stopped?.message ?? '', says);
        assert.ok(writes(node.world).length <= (nth - 2) * 2 + 2);
        if (nth <= 2) assert.deepEqual(writes(node.world), []);
      });
    }
  }

  test('it vanished by itself: nothing is done, and the run goes on', async () => {
    const node = changing('read', (world) => world.vanish('a-0'), { id: 'uid-a' });
    const { outcome, results } = await heal(node);
    assert.deepEqual(results, ['default/a/0 already', 'default/b/0 done', 'default/c/0 done']);
    assert.equal(outcome.stopped, undefined);
  });

  test('it changed while a slow disk took the intent: read again, and left alone', async () => {
    const node = simNode((world) => world.addPod('a'));
    // Operations: run-start (append, sync), intent (append, sync).
    node.disk.mishaps = [{ at: 3, kind: 'slow', ms: 5_000 }];
    let reads = 0;
    node.world.before = (call) => {
      if (call === 'read' && ++reads === 2) node.world.change('a-0', { state: 'ready' });
    };
    const { outcome, results } = await heal(node);
    assert.deepEqual(results, ['default/a/0 skipped']);
    assert.match(outcome.stopped?.message ?? '', /READY now/);
    assert.deepEqual(writes(node.world), []);
    const skipped = (await node.disk.durableEntries()).filter((each) => each.kind === 'outcome');
    assert.deepEqual(
      skipped.map((each) => each.result),
      ['skipped'],
    );
  });
});

describe('an act that fails stops the run', () => {
  const failing = (text: string) => {
    const node = simNode(threePods);
    node.world.before = (call, id) => {
      if (call === 'stop' && id === 'a-0') throw criError(text);
    };
    return node;
  };

  test('CNI DEL fails: the plugin is named, and RemovePodSandbox is not tried past it', async () => {
    const node = failing(
      'failed to destroy network for sandbox "a-0": plugin type="bridge" failed (delete): exit status 1',
    );
    const { outcome, results } = await heal(node);
    assert.equal(results[0], 'default/a/0 failed');
    assert.match(outcome.stopped?.message ?? '', /the CNI plugin bridge cannot tear its network down/);
    assert.match(outcome.stopped?.hint ?? '', /network first/);
    assert.ok(!node.world.calls.includes('remove a-0'));
  });

  test('CNI DEL was ended at the deadline of the call: it is not told as a plugin that fails', async () => {
    const failed = 'plugin type="bridge" failed (delete): netplugin failed with no error message: signal: killed';
    const { outcome } = await heal(failing(`failed to destroy network for sandbox "a-0": ${failed}`));
    assert.match(outcome.stopped?.message ?? '', /CNI plugin bridge was killed before it had torn its network down/);
  });

  test('no CNI configuration: says so', async () => {
    const { outcome } = await heal(failing('failed to destroy network for sandbox "a-0": cni plugin not initialized'));
    assert.match(outcome.stopped?.message ?? '', /no CNI configuration is loaded/);
  });

  test('a call that never answers: its deadline ends it, the rest is not begun', async () => {
    const node = simNode((world) => {
      for (let index = 0; index < 8; index += 1) world.addPod(`p${index}`);
    });
    node.world.before = (call, id) => (call === 'remove' && id === 'p0-0' ? new Promise(() => undefined) : undefined);
    const { outcome, results } = await heal(node, { signal: new AbortController().signal });
    assert.equal(outcome.stopped?.code, 'ERR_SOCKET_HUNG');
    assert.match(outcome.stopped?.message ?? '', /RemovePodSandbox of default\/p0\/0 did not end within 123 s/);
    assert.equal(results[0], 'default/p0/0 failed');
  });

  test('a read that never answers: nothing was done to that pod', async () => {
    const node = simNode(threePods);
    node.world.before = (call, id) => (call === 'read' && id === 'uid-a' ? new Promise(() => undefined) : undefined);
    const { outcome } = await heal(node);
    assert.equal(outcome.stopped?.code, 'ERR_SOCKET_HUNG');
    assert.ok(!writes(node.world).some((each) => each.endsWith('a-0')));
  });

  test('removed without an error and still listed', async () => {
    const node = simNode((world) => world.addPod('a'));
    node.world.vanish = () => undefined;
    const { outcome, results } = await heal(node);
    assert.deepEqual(results, ['default/a/0 failed']);
    assert.match(outcome.stopped?.message ?? '', /still listed/);
  });

  test('a restart that leaves the same process behind', async () => {
    const node = simNode((world) => {
      world.extra = [restartOf('containerd.service')];
    });
    node.world.before = (call) => {
      const { identity } = node.world;
      if (call === 'restart') setImmediate(() => Object.assign(node.world, { identity }));
    };
    node.world.restartUnit = () => Promise.resolve();
    const { outcome } = await heal(node);
    assert.match(outcome.stopped?.message ?? '', /the runtime is the same process as before/);
  });

  test('a bug of ours is not dressed up as an outcome', async () => {
    const node = simNode(threePods);
    node.world.before = (call, id) => {
      if (call === 'stop' && id === 'b-0') throw new TypeError('a bug');
    };
    await assert.rejects(heal(node), new TypeError('a bug'));
  });
});

describe('what stays red is said', () => {
  test('pods that do not come back are waited for until the limit, each with why', async () => {
    const node = simNode(threePods);
    node.world.recoverMs = undefined;
    const { outcome } = await heal(node);
    assert.equal(outcome.recovery.state, 'not-yet');
    assert.ok(outcome.recovery.tookMs >= limits.verifyTimeoutMs);
    assert.match(outcome.recovery.waiting[0]?.why ?? '', /newest sandbox \(attempt 1\) is NotReady/);
  });

  test('a READY sandbox that kubelet would not keep is not recovery', async () => {
    const node = simNode((world) => world.addPod('a'));
    node.world.recoverMs = undefined;
    node.world.before = (call) => {
      const { world } = node;
      if (call !== 'remove') return;
      world.sandboxes.push(world.sandbox('a', 2, 'ready', 0n), world.sandbox('a', 3, 'notready', 9n * SECOND));
    };
    const { outcome } = await heal(node, { verifyTimeoutMs: 5_000 });
    assert.equal(outcome.recovery.state, 'not-yet');
    assert.match(outcome.recovery.waiting[0]?.why ?? '', /takes it for the one that counts/);
  });

  test('at run time half of the node is the most, by whole pods; the rest is for the next run', async () => {
    const node = simNode((world) => {
      for (let index = 0; index < 4; index += 1) world.addPod(`p${index}`, 2);
    });
    // 12 sandboxes: 6 removals, three pods of two.
    const { outcome, results } = await heal(node);
    assert.equal(results.filter((each) => each.endsWith('done')).length, 6);
    assert.match(outcome.actions[7]?.why ?? '', /^6 of 8 now: .* run `sandwarden heal` again/);
    assert.equal(outcome.recovery.state, 'partly');
    assert.deepEqual(outcome.recovery.waiting, [{ pod: 'default/p3', why: 'left for the next run by the budget' }]);
    const second = await heal(node);
    assert.deepEqual(second.results, ['default/p3/0 done', 'default/p3/1 done']);
  });
});
