/**
 * What the boot hook's unit adds to a normal boot: a real systemd of this machine, as process 1 of namespaces of its
 * own, starts it and a unit that does nothing in turns. Not emulated, so the milliseconds are this machine's.
 */
import { existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { bootConfPath, metaDbOf, sandboxesOf } from '../src/boot/boot-conf.ts';
import { planUnits, unitFolder, unitNames } from '../src/boot/install/units.ts';
import { type RealSystemd, realSystemd, withoutSystemd } from '../test/helpers/real-systemd.ts';
import { tempDir } from '../test/helpers/temp.ts';
import { median } from './measure.ts';
import { type Figure, show } from './report.ts';

const reference = 'does-nothing.service';
const containerdRoot = '/var/lib/containerd';

/** Empty where no systemd of its own can be started; it says why. */
export async function benchBootUnit(repetitions: number): Promise<Figure[]> {
  if (withoutSystemd !== false) {
    process.stdout.write(`boot: left out, ${withoutSystemd}\n`);
    return [];
  }
  await using node = await tempDir();
  makeNode(node.path);
  await using systemd = await realSystemd();
  writeUnits(systemd.root(), node.path);
  await systemd.run('systemctl', 'daemon-reload');
  const took = { ours: [] as number[], nothing: [] as number[] };
  for (let round = 0; round < repetitions; round++) {
    took.nothing.push(await startedMs(systemd, reference));
    // Another boot, after a shutdown in order.
    rmSync(join(node.path, 'run/sandwarden'), { recursive: true, force: true });
    writeFileSync(join(node.path, 'var/lib/sandwarden/clean'), 'clean\n');
    took.ours.push(await startedMs(systemd, unitNames.clock));
    if (existsSync(join(node.path, 'run/sandwarden/unclean'))) throw new Error('it was no normal boot');
  }
  const [ours, nothing] = [median(took.ours), median(took.nothing)];
  return [
    {
      name: 'boot: the unit at a normal boot',
      value: ours,
      unit: 'ms',
      limit: 5,
      from: `its start to its end by systemd; /bin/true takes ${show(nothing)} ms; median of ${repetitions}`,
    },
  ];
}

/** The files that early.sh looks at. */
function makeNode(root: string): void {
  for (const folder of ['run', 'var/lib/sandwarden', 'etc/sandwarden']) {
    mkdirSync(join(root, folder), { recursive: true });
  }
  mkdirSync(join(root, sandboxesOf(containerdRoot)), { recursive: true });
  mkdirSync(join(root, dirname(metaDbOf(containerdRoot))), { recursive: true });
  writeFileSync(join(root, metaDbOf(containerdRoot)), '');
  symlinkSync('/proc', join(root, 'proc'));
}

function writeUnits(rootOfSystemd: string, node: string): void {
  const layout = {
    title: 'containerd and kubelet',
    boot: 'containerd',
    runtimeUnit: 'containerd.service',
    kubeletUnits: ['kubelet.service'],
    containerdRoot,
    from: [],
  } as const;
  const early = join(import.meta.dirname, '../src/boot/early.sh');
  const program = { node: process.execPath, script: '/nonexistent/sandwarden.js', early };
  const options = { clockFloor: true, bootHeal: true, syncWaitMs: 0, publish: true, limitMs: 60_000 };
  const { files } = planUnits(layout, program, options);
  const unit = files.find(({ path }) => path === `${unitFolder}/${unitNames.clock}`);
  if (unit === undefined) throw new Error('there is no unit for the clock');
  const conf = files.find(({ path }) => path === bootConfPath);
  if (conf === undefined) throw new Error('there is no boot.conf');
  writeFileSync(join(node, bootConfPath), conf.content);
  const folder = join(rootOfSystemd, unitFolder);
  // Mounts and targets are not what is measured; the files are those of a folder.
  const content = unit.content
    .replace('[Unit]', '[Unit]\nDefaultDependencies=no')
    .replace('[Service]', `[Service]\nEnvironment=SANDWARDEN_ROOT=${node}`);
  writeFileSync(join(folder, unitNames.clock), content);
  const idle = '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n';
  writeFileSync(join(folder, reference), idle);
}

/** Milliseconds from a unit's start to its end, by systemd's own clock; the unit is stopped again. */
async function startedMs(systemd: RealSystemd, unit: string): Promise<number> {
  await systemd.run('systemctl', 'start', unit);
  const properties = ['InactiveExitTimestampMonotonic', 'ActiveEnterTimestampMonotonic', 'ExecMainStatus'];
  const shown = await systemd.run('systemctl', 'show', unit, ...properties.map((each) => `--property=${each}`));
  const value = (name: string) => Number(new RegExp(`^${name}=(\\d+)$`, 'm').exec(shown)?.[1] ?? Number.NaN);
  if (value('ExecMainStatus') !== 0) throw new Error(`${unit} failed: ${shown}`);
  await systemd.run('systemctl', 'stop', unit);
  return (value('ActiveEnterTimestampMonotonic') - value('InactiveExitTimestampMonotonic')) / 1_000;
}
