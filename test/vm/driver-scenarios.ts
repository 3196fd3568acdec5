/** Scenarios 1, 2 and 6 of the controllers: no SystemdCgroup, a race at boot, settings that do not count. */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { containerdConfig } from '../../lab/vm/guest.ts';
import type { ImageName } from '../../lab/vm/image.ts';
import type { Vm } from '../../lab/vm/vm.ts';
import * as node from './controllers.ts';
import { sandwarden } from './hook.ts';
import { blaming, skip, timeout } from './hook-scenarios.ts';

const config = '/etc/containerd/config.toml';
const pods = [node.podOf('be', 1), node.podOf('burst', 2, 'burstable')];
const again = [node.podOf('be', 21), node.podOf('burst', 22, 'burstable')];
const writer = 'lab-node-setup.service';
const dropIns = '/etc/containerd/conf.d';
/** The issue asks for three minutes of quiet after the cure of the whole node. */
const quietAfterHealMs = 180_000;

/** One node that begins with `SystemdCgroup = false`. */
export function describeDrivers(image: ImageName): void {
  // 2.x gets a file of its own in a folder that is imported; in 1.7 such a file would take the whole table away.
  const right =
    image === 'containerd-1.7' ? containerdConfig(2) : `imports = ["${dropIns}/*.toml"]\n${containerdConfig(3)}`;
  const wrong = right.replace('SystemdCgroup = true', 'SystemdCgroup = false');

  describe(`the cgroup driver on ${image}`, { skip, timeout: 2 * timeout }, () => {
    let vm: Vm;
    before(
      async () => {
        // From 1.31 on kubelet takes the driver from containerd 2.x, so that only an older one can differ from it.
        const options = { image, kubelet: image === 'containerd-2.1' ? 'v1.30.14' : 'v1.34.9' };
        if (skip === false) vm = await node.controllerNode({ ...options, files: { [config]: wrong } });
      },
      { timeout },
    );
    after(() => vm?.close());
    const scenario = (name: string, body: (t: TestContext) => Promise<void>) =>
      test(name, { timeout }, (t) => blaming(vm, () => body(t)));

    scenario('1: SystemdCgroup=false: detected, healed, then quiet for three minutes; taken back by undo', (t) =>
      withoutSystemd(vm, t, wrong),
    );
    scenario('2: a unit writes the file after the start: ordered by heal, and the race is gone', (t) =>
      raced(vm, t, { right, wrong, isNamed: image === 'containerd-1.7' }),
    );
    scenario('6: a setting that does not count is shown with its line', () => lost(vm, image, right));
  });
}

async function withoutSystemd(vm: Vm, t: TestContext, wrong: string): Promise<void> {
  const mark = await node.watchMark(vm);
  await node.wantPods(vm, pods);
  const first = await node.identities(vm, pods);
  const isKilled = async () => (await node.identities(vm, pods)).some((each) => !first.includes(each));
  await vm.waitFor('kubelet kills a pod', isKilled, { timeoutMs: node.flapMs, everyMs: 2_000 });
  // What kubelet hands down when it makes the slices, systemd may take so soon that nobody sees it there; the next
  // time it stays until kubelet's update of the QoS classes.
  const isTaken = async () =>
    (await node.changesSince(vm, mark)).some(
      (each) => each.went === 'gone' && each.writers.some(({ pid }) => pid === 1),
    );
  await vm.waitFor('systemd takes a controller', isTaken, { timeoutMs: node.flapMs, everyMs: 2_000 });
  node.found(await node.untilFound(vm, 'SW510', 'default/'), 'SW503');
  await heal(vm, t);
  const [main, own] = [(await vm.get(config)).toString('utf8'), await vm.out(`cat ${dropIns}/* 2>/dev/null || true`)];
  const isDropIn = wrong.startsWith('imports');
  assert.deepEqual([main === wrong, /SystemdCgroup = true/.test(isDropIn ? own : main)], [isDropIn, true], main + own);
  // The pods are outside of their slices until they are made anew: what heal says of its restarts.
  await node.wantPods(vm, again);
  const was = await node.identities(vm, again);
  const later = await node.watched(vm, () => node.pass(quietAfterHealMs));
  assert.deepEqual(
    later.filter((each) => each.went === 'gone' && each.pods.length > 0),
    [],
  );
  assert.deepEqual(await node.identities(vm, again), was);
  // That an emulated runtime is slow (SW7xx) is another matter.
  const left = node.codesOf(await node.findings(vm)).filter((code) => /^SW[56]/.test(code));
  assert.deepEqual(left, []);
  const id = /heal --undo (\S+)/.exec(await vm.out([sandwarden, 'history'], { timeoutMs: 120_000 }))?.[1];
  const undone = await vm.run([sandwarden, 'heal', '--yes', '--undo', id ?? 'none'], { timeoutMs: 600_000 });
  assert.equal(undone.code, 0, undone.stdout + undone.stderr);
  assert.deepEqual(
    [(await vm.get(config)).toString('utf8'), await vm.out(`ls ${dropIns} 2>/dev/null || true`)],
    [wrong, ''],
  );
  node.found(await node.findings(vm), 'SW503');
}

interface Raced {
  readonly right: string;
  readonly wrong: string;
  /** Whether what the unit runs names the file. */
  readonly isNamed: boolean;
}

/** The image of the node has the wrong file, and a unit writes the right one at each boot, in its own time. */
async function raced(vm: Vm, t: TestContext, { right, wrong, isNamed }: Raced): Promise<void> {
  await node.wantPods(vm, again);
  await vm.put('/etc/lab/containerd.toml', right);
  await vm.put('/usr/local/sbin/lab-node-setup', {
    mode: 0o755,
    // With 2.1 no text names the folder: the file's date alone tells.
    data: `#!/bin/sh\nsleep 20\nof=containerd\ncp /etc/lab/containerd.toml ${isNamed ? config : '/etc/$of/config.toml'}\n`,
  });
  await vm.put(`/etc/systemd/system/${writer}`, setupUnit);
  await vm.out(`systemctl daemon-reload && systemctl enable ${writer}`, { timeoutMs: 120_000 });
  await bootFrom(vm, wrong);
  const all = await node.findings(vm);
  node.found(all, 'SW505', 'containerd.service');
  const race = node.found(all, 'SW507', writer);
  assert.equal(race.severity, 'error', race.why);
  const byDate = race.evidence.some(({ text }) => text.startsWith('it alone was at its start when'));
  assert.equal(byDate, !isNamed, JSON.stringify(race.evidence));
  await heal(vm, t);
  assert.match(await vm.out('systemctl show -p After --value containerd'), new RegExp(writer));
  await bootFrom(vm, wrong);
  assert.deepEqual(
    node.codesOf(await node.findings(vm)).filter((each) => ['SW503', 'SW505', 'SW507'].includes(each)),
    [],
  );
}

async function bootFrom(vm: Vm, text: string): Promise<void> {
  await vm.put(config, text);
  await vm.reboot();
  const isDone = async () => (await vm.out(`systemctl show -p ActiveState --value ${writer}`)).trim() === 'inactive';
  const hasRun = async () =>
    (await vm.out(`systemctl show -p ExecMainExitTimestampMonotonic --value ${writer}`)) !== '0\n';
  await vm.waitFor('the unit has written', async () => (await hasRun()) && (await isDone()), { timeoutMs: 240_000 });
  await node.podsAre(vm, again);
}

const setupUnit = `[Unit]
Description=Writes what the node is to have

[Service]
Type=oneshot
ExecStart=/usr/local/sbin/lab-node-setup

[Install]
WantedBy=multi-user.target
`;

async function lost(vm: Vm, image: ImageName, right: string): Promise<void> {
  await vm.out(`systemctl disable ${writer}`, { timeoutMs: 120_000 });
  const at = image === 'containerd-1.7' ? await wipedByImport(vm, right) : await inOldSection(vm, right);
  await vm.out('systemctl restart containerd', { timeoutMs: 120_000 });
  const finding = node.found(await node.findings(vm), 'SW506');
  assert.ok(
    finding.evidence.some((each) => each.text.startsWith(`${at}: `)),
    `${at} is not in ${JSON.stringify(finding)}`,
  );
}

/** 1.7: a file that only names a registry takes the whole table away. */
async function wipedByImport(vm: Vm, right: string): Promise<string> {
  const imported = '/etc/containerd/conf.d/registry.toml';
  await vm.put(config, `imports = ["/etc/containerd/conf.d/*.toml"]\n${right}`);
  const table = '[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/etc/containerd/certs.d"\n';
  await vm.put(imported, `version = 2\n${table}`);
  return `${config}:${1 + lineOf(right, 'SystemdCgroup')}`;
}

/** 2.1: the sections of version 2 under a `version = 3`. */
async function inOldSection(vm: Vm, right: string): Promise<string> {
  const old = containerdConfig(2).replace('version = 2', 'version = 3');
  assert.notEqual(old, right);
  await vm.put(config, old);
  return `${config}:${lineOf(old, 'SystemdCgroup')}`;
}

function lineOf(text: string, word: string): number {
  return text.split('\n').findIndex((line) => line.includes(word)) + 1;
}

async function heal(vm: Vm, t: TestContext): Promise<void> {
  const { code, stdout, stderr } = await vm.run([sandwarden, 'heal', '--allow=disruptive', '--yes'], {
    timeoutMs: 900_000,
  });
  for (const line of stdout.trimEnd().split('\n').slice(-12)) t.diagnostic(line);
  // What is left is of pods that were made before: each is killed once more, and made anew where it belongs.
  const left = code === 30 ? node.errorsOf(await node.findings(vm)) : [];
  assert.ok(
    code === 0 || (code === 30 && left.every((each) => ofOldPods.includes(each))),
    `${code} ${left}\n${stdout}${stderr}`,
  );
}

const ofOldPods: readonly string[] = ['SW501', 'SW510', 'SW601'];
