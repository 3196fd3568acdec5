// Goal: what heal promises holds on a real containerd: a healthy node is left alone, what loops is healed with the
// fewest removals, and whatever is not as it was planned stops it. Method: a node of real parts (lab/real-node.ts),
// one for each version; its power is cut, and its disk dated two hours ahead where the clock should be behind.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { labAvailable } from '../../lab/available.ts';
import { allFlavours } from '../../lab/flavours.ts';
import { type RealNode, realNode } from '../../lab/real-node.ts';
import { ExitCode } from '../../src/model/errors.ts';
import { errorsOf, heal, listed, nameOf, pods, safely, until, untilPodsRun, untilRefused } from './node.ts';

const lab = await labAvailable();
const skip = lab.ok ? false : lab.why;
const twoHours = 7_200;

describe('heal on a real node', { skip, concurrency: 3 }, () => {
  for (const flavour of allFlavours) {
    describe(`containerd ${flavour}, with a kubelet that runs`, { concurrency: 1 }, () => {
      let node: RealNode;
      before(async () => {
        node = await realNode({ flavour, pods });
        assert.equal(await node.boot(), undefined);
        await untilPodsRun(node);
      });
      after(() => node?.close());

      test('a clean node: healthy, and nothing is done', async () => {
        // The Job's sandbox is stopped when its container has ended.
        await until('its Job is over', async () => (await listed(node)).includes('job/0 notready'));
        const before = await listed(node);
        const { exitCode, stdout, look } = await heal(node);
        assert.deepEqual([exitCode, look.diagnosis.state, look.plan.actions], [ExitCode.healthy, 'healthy', []]);
        assert.match(stdout, /The plan: nothing to do/);
        assert.deepEqual(await listed(node), before);
      });

      test('the clock is two hours behind: the loop is real, the ghosts go, the Job stays', async () => {
        await node.powerCut();
        const containersBefore = await bootAndListContainers(node);
        await untilRefused(node, 'web', 'be');
        const { exitCode, stdout, look } = await heal(node);
        assert.deepEqual(errorsOf(look), ['SW102 default/be/0', 'SW102 default/web/0']);
        assert.match(look.diagnosis.verdict, /2 pods do not run: the node booted with its clock .* behind/);
        assert.deepEqual(look.plan.actions.map((each) => `${each.kind} ${each.object} ${each.tier}`).sort(), [
          'remove-sandbox default/be/0 safe',
          'remove-sandbox default/web/0 safe',
        ]);
        assert.match(stdout, /not touching default\/job\/0: finished pod \(Succeeded\), its logs live here/);
        assert.match(stdout, /Recovered in .*: 2 pods came back \(default\/be, default\/web\)/);
        assert.equal(exitCode, ExitCode.healthy, stdout);
        await untilPodsRun(node);
        const job = (await node.cri.listSandboxes()).filter((each) => each.name === 'job');
        assert.deepEqual(job.map(nameOf), ['job/0']);
        const records = (await node.cri.listContainers()).filter((each) => each.sandboxId === job[0]?.id);
        assert.deepEqual(
          records.map((each) => [each.id, each.state]),
          containersBefore,
        );
      });

      test('healed: a second heal does nothing', async () => {
        const { exitCode, stdout, look } = await heal(node);
        assert.deepEqual([exitCode, errorsOf(look)], [ExitCode.healthy, []], stdout);
        assert.match(stdout, /The plan: nothing to do/);
      });

      test('a power cut with a right clock: kubelet recovers by itself, and nothing is done', async () => {
        await node.powerCut();
        await node.boot();
        await untilPodsRun(node);
        const before = (await node.cri.listSandboxes()).map((each) => each.id).sort();
        const { exitCode, look } = await heal(node);
        assert.deepEqual([exitCode, errorsOf(look), look.plan.actions], [ExitCode.healthy, [], []]);
        const after = (await node.cri.listSandboxes()).map((each) => each.id).sort();
        assert.deepEqual(after, before);
      });
    });

    describe(`containerd ${flavour}, what changes between plan and act`, { concurrency: 1 }, () => {
      let node: RealNode;
      before(async () => {
        node = await realNode({ flavour, pods: pods.slice(0, 2), writeTimeoutMs: 4_000 });
        await node.boot();
        await untilPodsRun(node);
        await node.powerCut();
        await node.boot({ datesAheadS: twoHours, kubelet: 'off' });
      });
      after(() => node?.close());
      const ghosts = ['be/0 notready', 'web/0 notready'];

      test('the runtime restarts: it stops, and nothing was touched', async () => {
        const { exitCode, stdout } = await heal(node, {
          beforeAct: async () => {
            await node.rig.killRuntime();
            assert.equal(await node.startRuntime(), undefined);
          },
        });
        assert.equal(exitCode, ExitCode.healingIncomplete, stdout);
        assert.match(stdout, /the runtime was restarted meanwhile/);
        assert.deepEqual([await listed(node), await node.rig.cniCalls()], [ghosts, await onlyAdds(node)]);
      });

      test('a CNI DEL that fails: it stops and names the plugin, and the sandbox stays', async () => {
        await node.rig.cni({ del: 'fail' });
        const { exitCode, stdout, look } = await heal(node);
        assert.equal(look.plan.actions.length, 2);
        assert.equal(exitCode, ExitCode.healingIncomplete, stdout);
        assert.match(stdout, /the CNI plugin scripted cannot tear its network down/);
        assert.match(stdout, /scripted failure/);
        assert.deepEqual(await listed(node), ghosts);
      });

      test('a CNI DEL that hangs: it stops at the deadline, and the sandbox stays', async () => {
        await node.rig.cni({ del: 'hang' });
        const { exitCode, stdout } = await heal(node);
        await node.rig.cni({ del: 'ok' });
        assert.equal(exitCode, ExitCode.healingIncomplete, stdout);
        // The runtime knows the deadline too: which of both ends first is chance.
        const words = stdout.replaceAll(/\s+/g, ' ');
        assert.match(words, /did not answer RemovePodSandbox|scripted was killed before it had torn its network down/);
        assert.deepEqual(await listed(node), ghosts);
      });

      test('kubelet comes up: it stops, and the ghosts are as they were', async () => {
        const { exitCode, stdout } = await heal(node, { beforeAct: () => node.startKubelet('namesake') });
        assert.equal(exitCode, ExitCode.healingIncomplete, stdout);
        assert.match(stdout, /kubelet came up meanwhile/);
        assert.deepEqual(await listed(node), ghosts);
        await node.killKubelet();
      });

      test('with nothing in between: the ghosts go before kubelet runs, and its pods start', async () => {
        const { exitCode, stdout } = await heal(node);
        assert.equal(exitCode, ExitCode.healthy, stdout);
        assert.deepEqual(await listed(node), []);
        await node.startKubelet();
        await untilPodsRun(node);
        assert.deepEqual(errorsOf(await node.look(safely)), []);
      });
    });
  }
});

/** Boots two hours behind; gives the records of the Job's containers. */
async function bootAndListContainers(node: RealNode): Promise<[id: string, state: string][]> {
  await node.boot({ datesAheadS: twoHours });
  const records = (await node.cri.listContainers()).filter((each) => each.podUid === pods[2]?.uid);
  assert.equal(records.length, 1);
  return records.map((each) => [each.id, each.state]);
}

/** The calls of the plugin so far, which must hold no DEL. */
async function onlyAdds(node: RealNode) {
  return (await node.rig.cniCalls()).filter((each) => each.command !== 'DEL');
}
