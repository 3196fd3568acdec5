import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EmbeddedNode } from '../../src/embedded/node.ts';
import { describePod, describeSandbox } from '../../src/model/sandbox.ts';
import { job, messages, newNode, service } from './world.ts';

const twoHoursMs = 2 * 3_600_000;
const pods = [service('web'), service('be'), job('job', 'Never', 2_000, 0)];

/** Boots, lets the pods start and the job end, cuts the power and boots with the clock turned. */
async function cutAndBoot(node: EmbeddedNode, clockStepMs: number): Promise<void> {
  await node.run(30_000);
  await node.powerCut();
  await node.boot({ clockStepMs });
}

const running = (node: EmbeddedNode) =>
  node
    .pods()
    .filter((each) => each.running)
    .map(describePod);
const both = ['default/web', 'default/be'];

async function listed(node: EmbeddedNode): Promise<string[]> {
  return (await node.cri.listSandboxes()).map((each) => `${describeSandbox(each)} ${each.state}`).sort();
}

/** The numbers of errors by the source line that logs them, in the newest boot. */
function errors(node: EmbeddedNode): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const message of messages(node.kubeletLogFile, node.boots.at(-1)?.bootId)) {
    const source = /^E\d{4} [\d:.]+ +\d+ ([a-z_]+\.go:\d+)\]/.exec(message)?.[1];
    if (source !== undefined) counts[source] = (counts[source] ?? 0) + 1;
  }
  return counts;
}

describe('the clock two hours behind at the second boot', () => {
  for (const kubeletVersion of ['v1.28.15', 'v1.34.9']) {
    test(`${kubeletVersion}: the pods ask for the name of their own newest sandbox, for ever`, async () => {
      await using node = await newNode({ pods, kubeletVersion });
      await cutAndBoot(node, -twoHoursMs);
      await node.run(9 * 60_000);
      const before = errors(node)['kuberuntime_sandbox.go:71'] ?? 0;
      await node.run(60_000);
      const after = errors(node);
      const lastMinute = (after['kuberuntime_sandbox.go:71'] ?? 0) - before;
      assert.ok(lastMinute >= 4, `${lastMinute} refusals in the tenth minute`);
      assert.equal(after['kuberuntime_manager.go:1353'], after['kuberuntime_sandbox.go:71']);
      assert.equal(after['pod_workers.go:1324'], after['kuberuntime_sandbox.go:71']);
      const last = messages(node.kubeletLogFile).findLast((each) =>
        each.includes('"Failed to create sandbox for pod"'),
      );
      const held = /name \\"((?:web|be)_default_uid-(?:web|be)_1)\\" is reserved for \\"([0-9a-f]{64})\\"/.exec(
        last ?? '',
      );
      const holder = (await node.cri.listSandboxes()).find((each) => each.id === held?.[2]);
      assert.equal(holder?.attempt, 1, 'the id in the error is the new sandbox, not the ghost');
    });
  }

  test('v1.34.9: removing exactly the ghosts ends it at the next retry; the job keeps its sandbox and its container', async () => {
    await using node = await newNode({ pods });
    await cutAndBoot(node, -twoHoursMs);
    await node.run(45_000);
    const sandboxes = await node.cri.listSandboxes();
    const ghosts = sandboxes.filter((each) => each.attempt === 0 && each.name !== 'job');
    assert.deepEqual(ghosts.map(describeSandbox).sort(), ['default/be/0', 'default/web/0']);
    for (const { id } of ghosts) await node.cri.removeSandbox(id);
    // The retry comes 10 to 15 s after the last, at a look of PLEG, and starting takes about two.
    await node.run(18_000);
    assert.deepEqual(running(node), both);
    await node.run(5 * 60_000);
    assert.deepEqual(running(node), both);
    const left = await listed(node);
    assert.ok(left.includes('default/job/0 notready'), left.join());
    assert.equal((await node.cri.listContainers({ podUid: 'uid-job' })).length, 1);
    assert.deepEqual(
      left.filter((each) => each.endsWith(' notready')),
      ['default/job/0 notready'],
    );
  });

  for (const afterMs of [20_000, 60_000, 70_000, 75_000]) {
    test(`removing them ${afterMs / 1_000} s after the boot, whatever kubelet is doing, ends it`, async () => {
      await using node = await newNode({ pods });
      await cutAndBoot(node, -twoHoursMs);
      await node.run(afterMs);
      const sandboxes = await node.cri.listSandboxes();
      const ghosts = sandboxes.filter((each) => each.attempt === 0 && each.name !== 'job');
      for (const { id } of ghosts) await node.cri.removeSandbox(id);
      // A container that kubelet has just killed is not started again before its back-off is over.
      await node.run(60_000);
      assert.deepEqual(running(node), both);
      await node.run(5 * 60_000);
      assert.deepEqual(running(node), both);
    });
  }

  test('removing the sandbox that the error names achieves nothing', async () => {
    await using node = await newNode({ pods });
    await cutAndBoot(node, -twoHoursMs);
    await node.run(70_000);
    const named = (await node.cri.listSandboxes()).filter((each) => each.attempt === 1);
    for (const { id } of named) await node.cri.removeSandbox(id);
    await node.run(120_000);
    const before = errors(node)['kuberuntime_sandbox.go:71'] ?? 0;
    await node.run(60_000);
    assert.ok((errors(node)['kuberuntime_sandbox.go:71'] ?? 0) > before);
  });

  for (const kubeletVersion of ['v1.35.2', 'v1.36.2']) {
    test(`${kubeletVersion}: no sandbox is asked for twice, but containers are (kubernetes#134153)`, async () => {
      await using node = await newNode({ pods, kubeletVersion });
      await cutAndBoot(node, -twoHoursMs);
      await node.run(10 * 60_000);
      assert.deepEqual(running(node), both);
      const seen = errors(node);
      assert.equal(seen['kuberuntime_sandbox.go:71'], undefined);
      assert.ok((seen['kuberuntime_manager.go:1449'] ?? 0) > 0);
      const words = messages(node.kubeletLogFile).findLast((each) => each.includes('CreateContainerError'));
      assert.match(words ?? '', /failed to reserve container name .*c_(?:web|be)_default_uid-(?:web|be)_1/);
      assert.deepEqual(await listed(node), [
        'default/be/0 notready',
        'default/be/1 ready',
        'default/job/0 notready',
        'default/web/0 notready',
        'default/web/1 ready',
      ]);
    });
  }
});

describe('a right clock', () => {
  for (const kubeletVersion of ['v1.34.9', 'v1.36.2']) {
    test(`${kubeletVersion}: each pod gets attempt 1 and keeps one sandbox that is not ready`, async () => {
      await using node = await newNode({ pods, kubeletVersion });
      await cutAndBoot(node, 0);
      await node.run(18_000);
      assert.deepEqual(running(node), both);
      await node.run(5 * 60_000);
      assert.deepEqual(errors(node), {});
      assert.deepEqual(await listed(node), [
        'default/be/0 notready',
        'default/be/1 ready',
        'default/job/0 notready',
        'default/web/0 notready',
        'default/web/1 ready',
      ]);
    });
  }

  test('garbage collection keeps one leftover of a live pod, however often the power goes', async () => {
    await using node = await newNode({ pods: [service('web')] });
    for (let cut = 0; cut < 4; cut++) await cutAndBoot(node, 0);
    await node.run(3 * 60_000);
    assert.deepEqual(await listed(node), ['default/web/3 notready', 'default/web/4 ready']);
  });

  test('it removes whatever is idle of a pod that nobody knows', async () => {
    await using node = await newNode({ pods: [service('web')] });
    await node.cri.runSandbox({ name: 'stray', namespace: 'default', uid: 'uid-stray', attempt: 0 });
    await cutAndBoot(node, 0);
    await node.run(70_000);
    assert.equal((await node.cri.listSandboxes({ podUid: 'uid-stray' })).length, 0);
  });
});

test('a run-once pod that was cut off is over: it is not run again', async () => {
  await using node = await newNode({ pods: [job('long', 'Never', 10 * 60_000, 0)] });
  await cutAndBoot(node, 0);
  await node.run(60_000);
  assert.equal(node.pods()[0]?.phase, 'Failed');
  assert.deepEqual(await listed(node), ['default/long/0 notready']);
});

test('a ghost whose CNI DEL fails keeps the pod down: kubelet stops every sandbox before it makes one', async () => {
  await using node = await newNode({ pods: [service('web')], flavour: '1.6' });
  await node.run(30_000);
  await node.powerCut();
  node.machine.cni.del = 'fail';
  await node.boot();
  await node.run(120_000);
  assert.deepEqual(running(node), []);
  const log = messages(node.kubeletLogFile, node.boots.at(-1)?.bootId).join('\n');
  assert.match(log, /log\.go:32\] "StopPodSandbox from runtime service failed" err="rpc error: code = Unknown desc = /);
  assert.match(
    log,
    /kuberuntime_manager\.go:1665\] "Failed to stop sandbox" podSandboxID=\{"Type":"containerd","ID":"/,
  );
  assert.match(log, /err="failed to \\"KillPodSandbox\\" for \\"uid-web\\" with KillPodSandboxError: /);
  node.machine.cni.del = 'ok';
  await node.run(20_000);
  assert.deepEqual(running(node), ['default/web']);
});

test('a CNI ADD that is held past kubelet’s deadline keeps the name: DeadlineExceeded, then reserved', async () => {
  await using node = await newNode({ pods: [service('web')] });
  await node.run(10_000);
  await node.powerCut();
  node.machine.cni.add = 'hold';
  await node.boot();
  await node.run(300_000);
  const log = messages(node.kubeletLogFile, node.boots.at(-1)?.bootId).join('\n');
  assert.match(log, /"RunPodSandbox from runtime service failed" err="rpc error: code = DeadlineExceeded/);
  const held = /name \\"web_default_uid-web_1\\" is reserved for \\"([0-9a-f]{64})\\"/.exec(log)?.[1];
  assert.ok(held !== undefined && !(await node.cri.listSandboxes()).some((each) => each.id === held));
  node.machine.cni.add = 'ok';
  node.machine.cni.releaseHeld();
  await node.run(20_000);
  assert.deepEqual(running(node), ['default/web']);
});

test('a container that ends is started again after 0, 10, 20, 40 s', async () => {
  await using node = await newNode({ pods: [job('crash', 'Always', 1_000, 1)] });
  await node.run(130_000);
  const starts = messages(node.runtimeLogFile)
    .filter((each) => /StartContainer for .* returns successfully/.test(each))
    .map((each) => Date.parse(/time="([^"]+)"/.exec(each)?.[1] ?? '') / 1_000);
  const gaps = starts.slice(1).map((each, index) => each - (starts[index] ?? 0));
  assert.equal(gaps.length, 4, `${gaps}`);
  for (const [index, leastS] of [1, 11, 21, 41].entries()) {
    const gap = gaps[index] ?? 0;
    // A retry comes up to 15 s and a look after the back-off is over.
    assert.ok(gap >= leastS && gap < leastS + 18, `gap ${index} is ${gap} s`);
  }
  assert.equal((await node.cri.listContainers()).filter((each) => each.state === 'exited').length, 1);
});

test('a node without CNI configuration starts pods of the host’s network alone', async () => {
  await using node = await newNode({ pods: [service('web'), { ...service('host'), hostNetwork: true }] });
  await node.run(20_000);
  await node.powerCut();
  node.machine.disk.conflist = false;
  await node.boot();
  await node.run(30_000);
  assert.deepEqual(running(node), ['default/host']);
  node.machine.disk.conflist = true;
  await node.run(30_000);
  assert.deepEqual(running(node), ['default/host', 'default/web'].reverse());
});
