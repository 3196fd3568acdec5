/** Scenarios 1, 2, 4, 5 and 15, which every layout and every containerd has to pass. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ImageName } from '../../lab/vm/image.ts';
import { type ListedSandbox, podsRun } from '../../lab/vm/node.ts';
import { Vm } from '../../lab/vm/vm.ts';
import { whyNoMachine } from './available.ts';
import * as hook from './hook.ts';
import { assertFloored, assertGhostsRemoved, assertRecovered, sandboxesOf, untilRefused } from './recovered.ts';

/** Making an image takes minutes on a machine that has none yet. */
export const timeout = 1_800_000;
export const skip = (await whyNoMachine()) ?? false;

export interface Layout {
  readonly image: ImageName;
  readonly layout?: 'kubelet' | 'k3s';
  /** Scenario 3 too, the node without a hook: the failure that the others are saved from. */
  readonly unguarded?: boolean;
}

/** What the scenarios of one node begin with. */
interface Prepared {
  node?: Vm;
  cutAt: readonly ListedSandbox[];
  etc: readonly string[];
}

type Where = ReturnType<typeof hook.crictlOf>;

/** One node is prepared, shut down in order once and cut off once; the scenarios begin with copies of its disk. */
export function describeHook(title: string, { image, layout = 'kubelet', unguarded = false }: Layout): void {
  const where = hook.crictlOf({ layout });

  describe(title, { skip, timeout }, () => {
    const prepared: Prepared = { cutAt: [], etc: [] };

    before(
      async () => {
        if (skip !== false) return;
        prepared.node = await hook.prepareNode({ image, layout });
        prepared.etc = await hook.etcOf(prepared.node);
        await hook.installSandwarden(prepared.node);
      },
      { timeout },
    );
    after(() => prepared.node?.close());

    test('1: after a clean reboot no hook process ran, and nothing was changed', { timeout }, async () => {
      const node = nodeOf(prepared);
      await blaming(node, async () => {
        const was = await sandboxesOf(node, where.command);
        await node.reboot();
        prepared.cutAt = await podsRun(node, hook.services, where);
        await hook.assertNoStepRan(node);
        assert.deepEqual(await hook.removedByUs(node), []);
        assert.deepEqual(hook.gone(hook.newest(was), prepared.cutAt), []);
        const clean = await node.out(['cat', '/var/lib/sandwarden/clean']);
        assert.equal(clean, '', 'a boot that lives has an empty marker');
        assert.equal((await node.run(['cat', '/var/lib/sandwarden/boots'])).stdout, '', 'no boot was unclean');
        await node.cutPower({ syncFirst: true });
      });
    });

    test('2: a power cut with the right clock: it recovers, and no sandbox is removed', { timeout }, async () => {
      await using vm = await Vm.create({ image: nodeOf(prepared) });
      await blaming(vm, async () => {
        await vm.boot();
        await assertRecovered(vm, prepared.cutAt, where);
      });
    });

    if (unguarded) testUnguarded(prepared, where, layout === 'k3s' ? 'k3s.service' : 'kubelet.service');
    describeBehind(prepared, where);
  });
}

function testUnguarded(prepared: Prepared, where: Where, kubeletUnit: string): void {
  test('3: the clock two hours behind and no hook: kubelet is refused for ever', { timeout }, async () => {
    await using vm = await Vm.create({ image: nodeOf(prepared) });
    for (const name of ['clock', 'boot', 'boot-after']) {
      await vm.put(`/etc/systemd/system/sandwarden-${name}.service`, { link: '/dev/null' });
    }
    await blaming(vm, async () => {
      await vm.boot({ clock: '-2h' });
      await untilRefused(vm, kubeletUnit, 4);
      assert.deepEqual(hook.gone(hook.newest(prepared.cutAt), await sandboxesOf(vm, where.command)), []);
    });
  });
}

/** Scenarios 4, 5 and 15, one after the other on one machine. */
function describeBehind(prepared: Prepared, where: Where): void {
  describe('with the clock two hours behind', () => {
    let vm: Vm;
    before(async () => {
      if (skip === false) vm = await Vm.create({ image: nodeOf(prepared) });
    });
    after(() => vm?.close());

    test('4: the clock is floored, no sandbox is removed, all pods run', { timeout }, async () => {
      await blaming(vm, async () => {
        await vm.boot({ clock: '-2h' });
        await assertFloored(vm, prepared.cutAt, where);
      });
    });

    test('5: the floor forbidden: exactly the blocking ghosts are removed', { timeout }, async () => {
      await blaming(vm, async () => {
        await hook.installSandwarden(vm, '--no-clock-floor');
        const ghosts = await sandboxesOf(vm, where.command);
        await vm.cutPower({ syncFirst: true });
        await vm.boot({ clock: '-2h' });
        await assertGhostsRemoved(vm, ghosts, where);
      });
    });

    test('15: uninstall leaves /etc as it was, byte for byte', { timeout }, async () => {
      await blaming(vm, async () => {
        await failed(vm, 'sandwarden-boot-after.service');
        await vm.out([hook.sandwarden, 'uninstall', '--yes'], { timeoutMs: 240_000 });
        assert.deepEqual(await hook.etcOf(vm), prepared.etc);
        const { stdout } = await vm.run(['systemctl', 'list-units', '--all', '--no-legend', 'sandwarden*']);
        assert.equal(stdout, '');
      });
    });
  });
}

/** Makes the step after kubelet fail: systemd goes on listing a unit that failed, also without its file. */
async function failed(vm: Vm, unit: string): Promise<void> {
  await vm.out(
    `cd /run/sandwarden && rm -f after-started && touch after-kubelet
systemctl start ${unit} && systemctl kill -s KILL ${unit}
until systemctl is-failed -q ${unit}; do sleep 0.2; done`,
    { timeoutMs: 120_000 },
  );
}

function nodeOf({ node }: Prepared): Vm {
  if (node === undefined) throw new Error('the node was not prepared');
  return node;
}

/** Keeps the console and the journal of a machine in which something failed. */
export async function blaming(vm: Vm, body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } catch (error) {
    await vm.blame();
    throw error;
  }
}
