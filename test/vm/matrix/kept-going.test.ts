/** Scenarios 9, 10 and 14: what goes wrong with the hook or under it, the node boots in time. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { imageNames } from '../../../lab/vm/image.ts';
import { listContainers, podsRun } from '../../../lab/vm/node.ts';
import { Vm } from '../../../lab/vm/vm.ts';
import { duplicateRecord } from '../duplicate.ts';
import * as hook from '../hook.ts';
import { blaming, skip, timeout } from '../hook-scenarios.ts';
import { sandboxesOf } from '../recovered.ts';
import { fillDisk, layTrap, signalWhen, stopAfterSandboxOf } from '../traps.ts';

/** Its only ghost owns nothing, which is what may go before kubelet says that it wants the pod. */
const late = hook.pod('late', '44444444-4444-4444-8444-444444444444', 'forever');
const limitS = 10;
/** The unit's own limit on top of --limit, and what an emulated machine needs beside it. */
const inTimeS = limitS + 30 + 60;

for (const image of imageNames) {
  describe(`the node boots whatever happens to the hook, ${image}`, { skip, timeout: 2 * timeout }, () => {
    let node: Vm;

    before(
      async () => {
        if (skip !== false) return;
        node = await hook.prepareNode({ image, install: ['--no-clock-floor', '--limit', String(limitS)] });
        await blaming(node, () => node.cutPower({ syncFirst: true }));
      },
      { timeout },
    );
    after(() => node?.close());

    test('9: the pod network is not ready: it waits, starts kubelet anyway and says so', { timeout }, async () => {
      await using vm = await Vm.create({ image: node });
      await blaming(vm, async () => {
        await vm.boot();
        await podsRun(vm, hook.services);
        await hook.installSandwarden(vm, '--no-clock-floor', '--limit', '60');
        await stopAfterSandboxOf(vm, [...hook.pods, late]);
        const bare = (await sandboxesOf(vm)).find((each) => each.name === late.name);
        const containers = (await listContainers(vm)) ?? [];
        assert.ok(bare && !containers.some((each) => each.sandboxId === bare.id), 'a sandbox without a container');
        await vm.out('mkdir /root/cni && mv /etc/cni/net.d/* /root/cni/');
        await vm.cutPower({ syncFirst: true });

        await vm.boot({ clock: '-2h' });
        await hook.untilEnded(vm, 'sandwarden-boot.service');
        await assertKubeletStarted(vm, inTimeS);
        const [before] = (await hook.told(vm)).heal;
        assert.match(before?.why ?? '', /the pod network is not ready/);
        assert.deepEqual(before?.removed, []);
        const lines = await vm.journal('sandwarden-boot.service');
        assert.ok(
          lines.some((line) => /the pod network is not ready/.test(line)),
          lines.join('\n'),
        );
        // Written, not renamed into its place: containerd looks again for the former only (go-cni's syncer).
        await vm.out('cp /root/cni/* /etc/cni/net.d/');
        // kubelet may have made a new sandbox before it finds that the ghost is newer; then it is refused the name.
        const isGone = async () => (await vm.run(`ctr -n k8s.io containers ls -q | grep -qx ${bare.id}`)).code === 1;
        await vm.waitFor('the ghost that owns nothing is gone', isGone, { timeoutMs: 420_000, everyMs: 3_000 });
        await podsRun(vm, [...hook.services, late.name], { timeoutMs: 420_000 });
        const ours = await hook.removedByUs(vm);
        assert.ok(ours.includes(bare.id), 'what waited for the network was removed after it came');
      });
    });

    test('10: containerd does not come up: the node boots, and SW105 is told', { timeout }, async () => {
      await using vm = await Vm.create({ image: node });
      await blaming(vm, async () => {
        await vm.boot();
        const [first] = await podsRun(vm, hook.services);
        await duplicateRecord(vm, first?.id ?? '');
        await vm.cutPower({ syncFirst: true });

        await vm.boot();
        await hook.untilEnded(vm, 'sandwarden-boot.service');
        await assertKubeletStarted(vm, inTimeS + 240);
        const check = await vm.run([hook.sandwarden, 'check', '-o', 'json'], { timeoutMs: 240_000 });
        const { findings } = JSON.parse(check.stdout) as { findings: { code: string }[] };
        assert.ok(
          findings.some((each) => each.code === 'SW105'),
          check.stdout,
        );
        const report = await vm.out([hook.sandwarden, 'boot-report'], { timeoutMs: 240_000 });
        assert.match(report, /SW105/);
      });
    });

    test('14: the hook is killed', { timeout }, async () => {
      await using vm = await Vm.create({ image: node });
      await blaming(vm, async () => {
        await layTrap(vm, signalWhen('KILL', 'sandwarden.js boot heal --layout'));
        await vm.boot();
        const ended = await hook.untilEnded(vm, 'sandwarden-boot.service');
        assert.equal(ended.ExecMainStatus, '9');
        await assertKubeletStarted(vm, inTimeS);
        await podsRun(vm, hook.services);
        const { Result, ExecMainStatus } = await hook.untilEnded(vm, 'sandwarden-boot-after.service', 420_000);
        assert.deepEqual([Result, ExecMainStatus], ['success', '0']);
        const { heal } = await hook.told(vm);
        assert.deepEqual(
          heal.map((each) => each.step),
          ['after-kubelet'],
          'the step after kubelet did its work',
        );
      });
    });

    test('14: the hook hangs (SIGSTOP)', { timeout }, async () => {
      await using vm = await Vm.create({ image: node });
      await blaming(vm, async () => {
        await layTrap(vm, signalWhen('STOP', 'sandwarden.js boot heal --layout'));
        await vm.boot();
        const ended = await hook.untilEnded(vm, 'sandwarden-boot.service');
        assert.equal(ended.Result, 'timeout');
        await assertKubeletStarted(vm, inTimeS);
        await podsRun(vm, hook.services);
      });
    });

    test('14: the disk is full', { timeout }, async () => {
      await using vm = await Vm.create({ image: node });
      await blaming(vm, async () => {
        await vm.boot();
        await fillDisk(vm);
        await vm.cutPower();
        await vm.boot();
        await hook.untilEnded(vm, 'sandwarden-boot.service');
        await assertKubeletStarted(vm, inTimeS + 60);
        assert.equal((await hook.unit(vm, 'sandwarden-clock.service')).Result, 'success');
      });
    });

    test('14: the root is read-only', { timeout }, async () => {
      await using vm = await Vm.create({ image: node });
      await blaming(vm, async () => {
        await vm.put('/etc/fstab', '/dev/vda / ext4 ro 0 0\n');
        await vm.boot();
        await hook.untilEnded(vm, 'sandwarden-boot.service');
        assert.match(await vm.out('grep " / ext4 " /proc/mounts'), / ro[, ]/);
        assert.equal((await hook.unit(vm, 'sandwarden-clock.service')).Result, 'success');
        await assertKubeletStarted(vm, inTimeS + 60);
      });
    });
  });
}

/** kubelet was started, and our units kept it waiting for no longer than this. */
async function assertKubeletStarted(vm: Vm, withinS: number): Promise<void> {
  const startedUs = await vm.waitFor('kubelet is started', () => firstStartUs(vm, 'kubelet.service'), {
    timeoutMs: 240_000,
    everyMs: 1_000,
  });
  for (const name of ['sandwarden-clock.service', 'sandwarden-boot.service']) {
    const { InactiveExitTimestampMonotonic: beganUs } = await hook.unit(vm, name);
    const keptS = (startedUs - Number(beganUs)) / 1e6;
    assert.ok(keptS < withinS, `kubelet started ${keptS} s after ${name} did`);
  }
}

/** The first start of this boot: a unit that is restarted forgets it, the journal does not, unless it has no room. */
async function firstStartUs(vm: Vm, name: string): Promise<number | undefined> {
  const started = 'MESSAGE_ID=39f53479d3a045ac8e11786248231fbf';
  const { stdout } = await vm.run(`journalctl -q -b -o export UNIT=${name} ${started} | grep -m 1 -a ^__MONOTONIC`);
  const facts = await hook.unit(vm, name);
  return Number(stdout.trim().split('=')[1] ?? facts.InactiveExitTimestampMonotonic) || undefined;
}
