import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, test } from 'node:test';
import { listSandboxes, podsRun } from '../../lab/vm/node.ts';
import { emulator, whyNoLaboratory } from '../../lab/vm/toolbox.ts';
import { Vm, withVm } from '../../lab/vm/vm.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';

/** Making an image takes minutes on a machine that has none yet. */
const timeout = 1_800_000;
const why = (await whyNoLaboratory()) ?? (await whyNoEmulator());
if (why !== undefined) process.stdout.write(`# skipped: ${why}\n`);
const skip = why ?? false;

const twoHoursMs = 7_200_000;
const pods: readonly PodSpec[] = [
  pod('web', '11111111-1111-4111-8111-111111111111', 'forever'),
  pod('be', '22222222-2222-4222-8222-222222222222', 'forever'),
  { ...pod('job', '33333333-3333-4333-8333-333333333333', { exitsAfterMs: 1_000, code: 0 }), restartPolicy: 'Never' },
];

test('a machine: its clock, its files, a power cut', { skip, timeout }, async () => {
  const bytes = randomBytes(300_000);
  await withVm(
    { image: 'containerd-1.7', files: { '/etc/sandwarden-lab': 'laid in before the boot\n' } },
    async (vm) => {
      const first = await vm.boot({ clock: '-2h' });
      process.stdout.write(`# a shell after ${first.shellMs} ms (${first.accelerator})\n`);
      const firstBoot = await vm.bootId();
      const behindMs = Date.now() - Number(await vm.out('date +%s%3N'));
      assert.ok(Math.abs(behindMs - twoHoursMs) < 120_000, `the guest's clock is ${behindMs} ms behind`);
      assert.equal(await vm.out(['cat', '/etc/sandwarden-lab']), 'laid in before the boot\n');

      await vm.put('/root/deep/down/bytes', bytes);
      assert.deepEqual(await vm.get('/root/deep/down/bytes'), bytes);
      assert.deepEqual(await vm.run('echo out; echo err >&2; exit 3'), { code: 3, stdout: 'out\n', stderr: 'err\n' });
      assert.equal(await vm.out(['printf', '%s', "it's $HOME"]), "it's $HOME");
      await assert.rejects(vm.run('sleep 60', { timeoutMs: 1_000 }), /did not end within 1000 ms/);
      await assert.rejects(
        vm.waitFor('what never comes', async () => false, { timeoutMs: 100 }),
        /waited 100 ms in vain: what never comes/,
      );

      await vm.out('journalctl --sync; echo kept >/root/synced; sync; echo lost >/root/unsynced');
      await vm.cutPower();
      assert.equal(vm.isOn, false);
      await assert.rejects(vm.run('true'), /the machine is off/);

      await vm.put('/etc/while-it-was-off', { data: '#!/bin/sh\n', mode: 0o755 });
      await vm.boot();
      const aheadMs = Number(await vm.out('date +%s%3N')) - Date.now();
      assert.ok(Math.abs(aheadMs) < 120_000, `the guest's clock is ${aheadMs} ms ahead`);
      assert.equal(await vm.out('stat -c %a /etc/while-it-was-off'), '755\n');
      assert.equal(await vm.out(['cat', '/root/synced']), 'kept\n');
      assert.equal((await vm.run(['cat', '/root/unsynced'])).stdout, '');
      assert.deepEqual(await vm.get('/root/deep/down/bytes'), bytes);
      const cut = await vm.journal(undefined, { bootId: firstBoot });
      assert.ok(cut.some((line) => line.includes('Linux version')));
      assert.deepEqual(cut.filter(ofShutdown), []);

      const secondBoot = await vm.bootId();
      await vm.reboot();
      assert.notEqual((await vm.journal(undefined, { bootId: secondBoot })).filter(ofShutdown).length, 0);
    },
  );
});

describe('a node whose power is cut', { skip, timeout }, () => {
  let node: Vm;
  let before0: readonly string[] = [];

  before(
    async () => {
      if (why !== undefined) return;
      node = await Vm.create({ image: 'containerd-1.7', pods });
      const started = performance.now();
      await node.boot();
      const ended = async () =>
        (await node.run(['grep', '-q', 'Succeeded', '/var/lib/standin/phases.json'])).code === 0;
      await node.waitFor('the job ended', ended, { timeoutMs: 240_000 });
      const sandboxes = await podsRun(node, ['web', 'be']);
      process.stdout.write(`# from power-on to pods: ${Math.round(performance.now() - started)} ms
`);
      assert.match(await node.out('containerd --version'), / v?1\.7\.24/);
      assert.equal(await node.out('kubelet --version'), 'Kubernetes v1.34.9\n');
      assert.deepEqual(sandboxes.map((each) => `${each.name} ${each.attempt} ${each.state}`).sort(), [
        'be 0 ready',
        'job 0 notready',
        'web 0 ready',
      ]);
      before0 = sandboxes.map((each) => each.id);
      await node.cutPower({ syncFirst: true });
    },
    { timeout },
  );
  after(() => node?.close());

  test('2: with the right clock it recovers, and no sandbox is removed', { timeout }, async () => {
    await withVm({ image: node }, async (vm) => {
      await vm.boot();
      const started = performance.now();
      const sandboxes = await podsRun(vm, ['web', 'be']);
      process.stdout.write(`# pods ran again ${Math.round(performance.now() - started)} ms after the shell\n`);
      const ids = sandboxes.map((each) => each.id);
      assert.deepEqual(
        before0.filter((id) => !ids.includes(id)),
        [],
      );
      const ready = sandboxes.filter((each) => each.state === 'ready').map((each) => `${each.name} ${each.attempt}`);
      assert.deepEqual(ready.sort(), ['be 1', 'web 1']);
    });
  });

  test('3: with the clock two hours behind and no cure, kubelet 1.34 asks for a reserved name for ever', {
    timeout,
  }, async () => {
    await withVm({ image: node }, async (vm) => {
      await vm.boot({ clock: '-2h' });
      const refused = async () => {
        const lines = await vm.journal('kubelet.service');
        const all = lines.filter((line) => line.includes('"RunPodSandbox from runtime service failed"'));
        return {
          web: all.filter((line) => /name \\+"web_default_1{8}-[^"]*_1\\+" is reserved for/.test(line)).length,
          all,
        };
      };
      const first = await vm.waitFor(
        'a refused name',
        async () => ((await refused()).web > 0 ? refused() : undefined),
        {
          timeoutMs: 180_000,
          everyMs: 2_000,
        },
      );
      await vm.waitFor('the loop goes on', async () => (await refused()).web >= first.web + 3, {
        timeoutMs: 180_000,
        everyMs: 2_000,
      });
      const sandboxes = (await listSandboxes(vm)) ?? [];
      const nowNs = BigInt(await vm.out('date +%s%N'));
      const ghost = sandboxes.find((each) => each.name === 'web' && each.attempt === 0);
      assert.equal(ghost?.state, 'notready');
      assert.ok(ghost && ghost.createdAtNs > nowNs, 'the ghost is dated in the future');
    });
  });
});

function ofShutdown(line: string): boolean {
  return /Reached target .*Shutdown|Journal stopped/.test(line);
}

function pod(name: string, uid: string, runs: PodSpec['containers'][number]['runs']): PodSpec {
  return { name, namespace: 'default', uid, restartPolicy: 'Always', containers: [{ name: 'c', runs }] };
}

async function whyNoEmulator(): Promise<string | undefined> {
  if ((await whyNoLaboratory()) !== undefined) return undefined;
  try {
    await emulator();
    return undefined;
  } catch (error) {
    return `QEMU of Debian cannot be had: ${error instanceof Error ? error.message : error}`;
  }
}
