/**
 * `make bench-boot`: what the boot hook costs, in the virtual machine. `boot.ts [--assert] [--boots N]`.
 *
 * An emulated processor is tens of times slower than this one, and not by one factor for all it does: milliseconds
 * mean nothing there. So the limit in milliseconds is held by a systemd that is not emulated (boot-unit.ts), and in the
 * machine, where all the units of a boot are, our unit is held against one with /bin/true in the same boots. A boot as
 * a whole differs by more than the hook takes from one time to the next; both are shown.
 */
import { parseArgs } from 'node:util';
import { podsRun } from '../lab/vm/node.ts';
import { whyNoLaboratory } from '../lab/vm/toolbox.ts';
import { Vm, withVm } from '../lab/vm/vm.ts';
import * as hook from '../test/vm/hook.ts';
import { layTrap } from '../test/vm/traps.ts';
import { benchBootUnit } from './boot-unit.ts';
import { median } from './measure.ts';
import { type Figure, isOver, machineLine, show, table } from './report.ts';

const clockUnit = 'sandwarden-clock.service';
/** Of the units that are not emulated. */
const rounds = 101;
/** What any unit at this place costs: it does nothing, and comes after ours: neither takes the other's processor. */
const referenceUnit = 'lab-reference.service';
const reference = {
  [`/etc/systemd/system/${referenceUnit}`]: `[Unit]
After=local-fs.target time-set.target ${clockUnit}
Before=containerd.service kubelet.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/bin/true
`,
  [`/etc/systemd/system/multi-user.target.wants/${referenceUnit}`]: { link: `/etc/systemd/system/${referenceUnit}` },
};

const { values } = parseArgs({
  options: { assert: { type: 'boolean' }, boots: { type: 'string', default: '3' } },
});
const why = await whyNoLaboratory();
if (why !== undefined) {
  process.stdout.write(`no virtual machine: ${why}\n`);
  process.exitCode = 77;
} else {
  await main(Number(values.boots));
}

async function main(boots: number): Promise<void> {
  process.stdout.write(`${machineLine()}\n\n`);
  await using node = await hook.prepareNode({ image: 'containerd-1.7', install: [], files: reference });
  await node.shutDown();
  const figures = [...(await benchBootUnit(rounds)), await normalBoot(node, boots), await afterCut(node, boots)];
  for (const line of table(figures)) process.stdout.write(`${line}\n`);
  process.exitCode = values.assert && figures.some(isOver) ? 1 : 0;
}

/** The most that our units can add: the time that the only one with work to do needs, on the critical path or not. */
async function normalBoot(node: Vm, boots: number): Promise<Figure> {
  const [took, nothing, withHook, without]: [number[], number[], number[], number[]] = [[], [], [], []];
  for (let boot = 0; boot < boots; boot++) {
    await withVm({ image: node }, async (vm) => {
      await vm.boot();
      withHook.push(await kubeletStartMs(vm));
      await hook.assertNoStepRan(vm);
      took.push(await startMs(vm, clockUnit));
      nothing.push(await startMs(vm, referenceUnit));
    });
    await withVm({ image: node }, async (vm) => {
      for (const name of ['clock', 'boot', 'boot-after']) {
        await vm.put(`/etc/systemd/system/sandwarden-${name}.service`, { link: '/dev/null' });
      }
      await vm.boot();
      without.push(await kubeletStartMs(vm));
    });
  }
  const [mine, trueMs, hooked, bare] = [median(took), median(nothing), median(withHook), median(without)];
  return {
    name: 'normal boot: our unit',
    value: mine / trueMs,
    unit: '×',
    limit: 3,
    from:
      `${show(mine)} ms (${node.accelerator}), a unit with /bin/true ${show(trueMs)} ms; kubelet started at ` +
      `${show(hooked)} ms with them, ${show(bare)} ms without (medians of ${boots}); no Node process`,
  };
}

/** From containerd's start to the last of the pods: the clock behind and put right, against nothing wrong. */
async function afterCut(node: Vm, boots: number): Promise<Figure> {
  await using cut = await Vm.create({ image: node });
  await cut.boot();
  await podsRun(cut, hook.services);
  await cut.cutPower({ syncFirst: true });
  const [right, behind]: [number[], number[]] = [[], []];
  for (let boot = 0; boot < boots; boot++) {
    right.push(await recoveryMs(cut, 'now'));
    behind.push(await recoveryMs(cut, '-2h'));
  }
  return {
    name: 'clock behind: containerd to pods',
    value: median(behind) / median(right),
    unit: '×',
    limit: 1.2,
    from: `${show(median(behind))} ms against ${show(median(right))} ms of a cut with the right clock (${boots} boots)`,
  };
}

async function recoveryMs(cut: Vm, clock: 'now' | '-2h'): Promise<number> {
  return withVm({ image: cut }, async (vm) => {
    await layTrap(
      vm,
      `cd /run && until [ "$(ls containerd/io.containerd.runtime.v2.task/k8s.io 2>/dev/null | wc -l)" -ge 4 ]
do sleep 0.1; done
cut -d' ' -f1 /proc/uptime >/run/pods-run`,
    );
    await vm.boot({ clock });
    await podsRun(vm, hook.services);
    const { ActiveEnterTimestampMonotonic: ready } = await hook.unit(vm, 'containerd.service');
    return Number(await vm.out(['cat', '/run/pods-run'])) * 1_000 - Number(ready) / 1_000;
  });
}

/** How long systemd took to start a oneshot unit: its fork, its process, its end. */
async function startMs(vm: Vm, name: string): Promise<number> {
  const { InactiveExitTimestampMonotonic: from, ActiveEnterTimestampMonotonic: to } = await hook.unit(vm, name);
  return (Number(to) - Number(from)) / 1_000;
}

async function kubeletStartMs(vm: Vm): Promise<number> {
  return vm.waitFor(
    'kubelet is started',
    async () => Number((await hook.unit(vm, 'kubelet.service')).InactiveExitTimestampMonotonic) / 1_000 || undefined,
    { timeoutMs: 240_000 },
  );
}
