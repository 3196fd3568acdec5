/** Scenarios 7 and 8: the power goes while something is half done, kubelet's work or ours. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { imageNames } from '../../../lab/vm/image.ts';
import { type ListedSandbox, podsRun } from '../../../lab/vm/node.ts';
import { Vm } from '../../../lab/vm/vm.ts';
import * as hook from '../hook.ts';
import { blaming, skip, timeout } from '../hook-scenarios.ts';
import { assertClockKept, sandboxesOf } from '../recovered.ts';
import { cutWhen, disarm, layTrap, slowCni, untilOff } from '../traps.ts';

for (const image of imageNames) {
  describe(`cut in the middle, ${image}`, { skip, timeout: 2 * timeout }, () => {
    let node: Vm;
    let ghosts: readonly ListedSandbox[] = [];

    before(
      async () => {
        if (skip !== false) return;
        node = await hook.prepareNode({ image, install: ['--no-clock-floor'] });
        await blaming(node, async () => {
          await slowCni(node);
          ghosts = await sandboxesOf(node);
          await node.cutPower({ syncFirst: true });
        });
      },
      { timeout },
    );
    after(() => node?.close());

    test('7: during RunPodSandbox: what was half made blocks nothing at the next boot', { timeout }, async () => {
      await using vm = await Vm.create({ image: node });
      await blaming(vm, async () => {
        await vm.boot();
        await podsRun(vm, hook.services);
        const web = (await sandboxesOf(vm)).find((each) => each.name === 'web' && each.state === 'ready');
        await vm.out('touch /run/lab-hang');
        await vm.out(['crictl', 'stopp', '--timeout=60s', web?.id ?? ''], { timeoutMs: 180_000 });
        const hangs = async () => (await vm.run(['test', '-s', '/run/lab-adds'])).code === 0;
        await vm.waitFor('RunPodSandbox waits for CNI', hangs, { timeoutMs: 240_000 });
        const half = (await vm.out(['head', '-n', '1', '/run/lab-adds'])).trim();
        const cutAt = (await sandboxesOf(vm)).filter((each) => each.id !== half);
        await vm.cutPower({ syncFirst: true });

        await vm.boot();
        const now = await podsRun(vm, hook.services);
        const ours = await hook.removedByUs(vm);
        assert.deepEqual(
          ours.filter((id) => id !== half),
          [],
        );
        assert.deepEqual(hook.gone(hook.newest(cutAt), now), []);
        assert.deepEqual(
          now
            .filter((each) => each.state === 'ready')
            .map((each) => each.name)
            .sort(),
          [...hook.services].sort(),
        );
      });
    });

    const points = [
      ['the first removal is intended', '"kind":"intent"', 1],
      ['the first removal is done', '"kind":"outcome"', 1],
      ['the last removal is done, and nothing is settled yet', '"kind":"outcome"', 2],
    ] as const;
    for (const [point, pattern, times] of points) {
      test(`8: during our own healing, when ${point}: the next boot finishes`, { timeout }, async () => {
        await using vm = await Vm.create({ image: node });
        await blaming(vm, async () => {
          await layTrap(vm, cutWhen(pattern, times));
          await vm.boot({ clock: '-2h' });
          await untilOff(vm);
          await disarm(vm);
          await vm.boot({ clock: '-2h' });
          const end = await hook.untilEnded(vm, 'sandwarden-boot-after.service', 420_000);
          assert.equal(end.Result, 'success');
          const { heal } = await hook.told(vm);
          assert.equal(heal.at(-1)?.settled, true, heal.at(-1)?.why);
          const now = await podsRun(vm, hook.services);
          await assertClockKept(vm);
          const jobs = ghosts.filter((each) => each.name === 'job');
          assert.deepEqual(hook.gone(hook.newest(jobs), now), [], "the finished Job's sandbox stays");
          await assertJournalWhole(vm);
        });
      });
    }
  });
}

/** Each intent has its outcome, and no line was lost. */
async function assertJournalWhole(vm: Vm): Promise<void> {
  const text = await vm.out([hook.sandwarden, 'history', '-o', 'json'], { timeoutMs: 240_000 });
  const { entries, torn } = JSON.parse(text) as {
    entries: { kind: string; seq: number; of?: number }[];
    torn?: unknown;
  };
  assert.equal(torn, undefined);
  const answered = new Set(entries.map((each) => each.of));
  const open = entries.filter((each) => each.kind === 'intent' && !answered.has(each.seq));
  assert.deepEqual(open, []);
}
