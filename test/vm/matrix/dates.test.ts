/** Scenarios 6 and 13: dates that lie, and boots that follow each other too fast. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { imageNames } from '../../../lab/vm/image.ts';
import { type ListedSandbox, podsRun } from '../../../lab/vm/node.ts';
import { Vm } from '../../../lab/vm/vm.ts';
import * as hook from '../hook.ts';
import { blaming, skip, timeout } from '../hook-scenarios.ts';
import { assertClockKept, assertGhostsRemoved, sandboxesOf, untilRefused } from '../recovered.ts';

for (const image of imageNames) {
  describe(`a node that lives in the wrong year, ${image}`, { skip, timeout }, () => {
    let node: Vm;
    let ghosts: readonly ListedSandbox[] = [];

    before(
      async () => {
        if (skip !== false) return;
        node = await hook.prepareNode({ image, install: [] });
        await blaming(node, async () => {
          // systemd takes a clock of 2099 for broken at power-on and resets it, so the year changes while it runs.
          await node.out('systemctl stop kubelet && date -u -s 2099-01-01 >/dev/null');
          const ready = (await sandboxesOf(node)).filter((each) => each.state === 'ready');
          for (const { id } of ready) await node.out(['crictl', 'stopp', '--timeout=60s', id], { timeoutMs: 180_000 });
          await node.out('systemctl start kubelet');
          ghosts = await podsRun(node, hook.services);
          await node.cutPower({ syncFirst: true });
        });
      },
      { timeout },
    );
    after(() => node?.close());

    test('6: the earlier boot in 2099, the clock right now: it stays, those ghosts go', { timeout }, async () => {
      await using vm = await Vm.create({ image: node });
      await blaming(vm, async () => {
        await vm.boot();
        await assertGhostsRemoved(vm, ghosts);
        await assertClockKept(vm);
        const offMs = Math.abs(Number(await vm.out('date +%s%3N')) - Date.now());
        assert.ok(offMs < 300_000, `the clock of the guest is ${offMs} ms off`);
      });
    });

    test('13: the third cut within an hour: it only reports', { timeout }, async () => {
      await using vm = await Vm.create({ image: node });
      await blaming(vm, async () => {
        for (let boot = 1; boot <= 3; boot++) {
          await vm.boot();
          await hook.untilEnded(vm, 'sandwarden-boot.service');
          const { heal } = await hook.told(vm);
          assert.equal(heal[0]?.reportOnly, boot === 3, `boot ${boot}: ${heal[0]?.why}`);
          // Before the step after kubelet's start has seen enough to act on.
          if (boot < 3) await vm.cutPower({ syncFirst: true });
        }
        const was = await sandboxesOf(vm);
        // The proof that the step after kubelet's start would act on, were it allowed to.
        await untilRefused(vm, 'kubelet.service', 4);
        assert.equal((await hook.unit(vm, 'sandwarden-boot-after.service')).ActiveState, 'active');
        assert.deepEqual(await hook.removedByUs(vm), []);
        assert.deepEqual(hook.gone(hook.newest(was), await sandboxesOf(vm)), []);
        const [before, ...more] = (await hook.told(vm)).heal;
        assert.deepEqual([before?.removed, more], [[], []]);
        const report = await vm.out([hook.sandwarden, 'boot-report'], { timeoutMs: 240_000 });
        assert.match(report, /^only reported/);
      });
    });
  });
}
