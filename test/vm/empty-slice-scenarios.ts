/** Scenarios 3, 4, 5 and 7 of the controllers: a runtime that leaves the slices of pods empty, or does not. */
import assert from 'node:assert/strict';
import { after, before, describe, type TestContext, test } from 'node:test';
import { containerdConfig } from '../../lab/vm/guest.ts';
import type { ImageName } from '../../lab/vm/image.ts';
import type { Vm } from '../../lab/vm/vm.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import * as node from './controllers.ts';
import { sandwarden } from './hook.ts';
import { blaming, skip, timeout } from './hook-scenarios.ts';
import { measureAnchors, measureWatch } from './watch-costs.ts';

const besteffort = 'kubepods-besteffort.slice';
const [be, burst, guar] = [
  node.podOf('be', 1),
  node.podOf('burst', 2, 'burstable'),
  node.podOf('guar', 3, 'guaranteed'),
];
/** Its processes are elsewhere; the neighbour's are where they belong. */
const alone = node.podOf('vm-a', 10);

/** One node, whose runtime keeps the processes of pods named `vm-…` elsewhere, in the order that costs least. */
export function describeEmptySlices(image: ImageName): void {
  describe(`controllers of empty slices on ${image}`, { skip, timeout: 3 * timeout }, () => {
    let vm: Vm;
    before(
      async () => {
        if (skip === false) vm = await node.controllerNode({ image, files: files(image) });
      },
      { timeout },
    );
    after(() => vm?.close());
    const scenario = (name: string, body: (t: TestContext) => Promise<void>) =>
      test(name, { timeout }, (t) => blaming(vm, () => body(t)));

    scenario('7: a clean node: no finding, and no false alarm while 50 pods come and go', () => cleanNode(vm));
    scenario('4: a busy node hides an empty slice; without its neighbour it flaps', () => hidden(vm));
    scenario('3: an empty slice flaps; anchored it is quiet; released it flaps again', () => anchoredPod(vm));
    scenario('heal holds an empty slice, explain says why, undo lets it go; AllowedCPUs holds it too', () =>
      healedSlice(vm),
    );
    scenario('5: anchors of the node alone hold the pods of all classes', (t) => anchoredNode(vm, t));
    scenario('what watching costs', async (t) => {
      await node.wantPods(vm, [alone]);
      await measureWatch(vm, t);
    });
  });
}

function files(image: ImageName) {
  const plain = containerdConfig(image === 'containerd-1.7' ? 2 : 3);
  const own = 'SystemdCgroup = true\n  BinaryName = "/usr/local/bin/runc-elsewhere"';
  return { ...node.runcElsewhere, '/etc/containerd/config.toml': plain.replace('SystemdCgroup = true', own) };
}

async function cleanNode(vm: Vm): Promise<void> {
  const clean = [be, burst, guar];
  await node.wantPods(vm, clean);
  const was = await node.identities(vm, clean);
  const changes = await node.watched(vm, async () => {
    for (let batch = 0; batch < 5; batch++) {
      await node.wantPods(vm, [...clean, ...ten('pod', 1_000 + 10 * batch)]);
      if (batch === 2) assert.deepEqual(ours(await node.findings(vm)), [], 'in the middle of it');
    }
    await node.wantPods(vm, clean);
  });
  assert.deepEqual(taken(changes), []);
  assert.deepEqual(await node.identities(vm, clean), was);
  assert.deepEqual(ours(await node.findings(vm)), []);
}

async function hidden(vm: Vm): Promise<void> {
  const there = await node.wantPods(vm, [be, burst, guar, alone]);
  const all = await node.untilFound(vm, 'SW508', 'default/vm-a');
  const hiding = node.found(all, 'SW509', besteffort);
  assert.deepEqual(hiding.pods, ['default/vm-a']);
  assert.ok(there.some((each) => each.uid === be.uid));
  const neighbour = be.uid.replaceAll('-', '_');
  assert.match(JSON.stringify(hiding.evidence), new RegExp(`held by [^"]*${neighbour}[^"]*cri-containerd`));
  await node.provoke(vm);
  assert.ok((await node.handedDown(vm, besteffort)).includes('cpuset'), 'the scope of the neighbour holds it');
  await flaps(vm, [burst, guar, alone], async () => void (await node.wantPods(vm, [burst, guar, alone])));
}

async function anchoredPod(vm: Vm): Promise<void> {
  await node.wantPods(vm, [burst, guar, alone]);
  await flaps(vm, [burst, guar, alone]);
  await node.untilFound(vm, 'SW508', 'default/vm-a');
  await vm.out([sandwarden, 'anchor', '--pod', 'default/vm-a'], { timeoutMs: 120_000 });
  await quiet(vm, [burst, guar, alone]);
  assert.deepEqual(withCode(await node.findings(vm), 'SW508'), []);
  await vm.out([sandwarden, 'anchor', 'release', 'default/vm-a'], { timeoutMs: 120_000 });
  await flaps(vm, [burst, guar, alone]);
}

/** What a person does who reads SW508: explain, heal, and take it back. */
async function healedSlice(vm: Vm): Promise<void> {
  const pods = [burst, guar, alone];
  await node.wantPods(vm, pods);
  await flaps(vm, pods);
  await node.untilFound(vm, 'SW508', 'default/vm-a');
  const explained = await vm.run([sandwarden, 'explain', 'pod', 'default/vm-a'], { timeoutMs: 120_000 });
  assert.match(explained.stdout, /cpuset/);
  assert.match(explained.stdout, /anchor/, explained.stdout);
  const command = [sandwarden, 'heal', '--yes', '--allow=disruptive', '--only', 'SW508'] as const;
  const healed = await vm.run(command, { timeoutMs: 300_000 });
  assert.match(healed.stdout, /anchor/, healed.stdout + healed.stderr);
  await quiet(vm, pods);
  assert.deepEqual(withCode(await node.findings(vm), 'SW508'), []);
  const held = await vm.run([sandwarden, 'explain', 'pod', 'default/vm-a'], { timeoutMs: 120_000 });
  assert.match(held.stdout, /held|anchor/, held.stdout);
  const history = await vm.out([sandwarden, 'history'], { timeoutMs: 120_000 });
  const id = /heal --undo (\S+)/.exec(history)?.[1];
  assert.ok(id, history);
  const undone = await vm.run([sandwarden, 'heal', '--yes', '--undo', id], { timeoutMs: 120_000 });
  assert.equal(undone.code, 0, undone.stdout + undone.stderr);
  await flaps(vm, pods);
  // What is offered where no anchor can be made.
  const slice = `kubepods-besteffort-pod${alone.uid.replaceAll('-', '_')}.slice`;
  const cpus = (await vm.out('cat /sys/fs/cgroup/cpuset.cpus.effective')).trim();
  await vm.out(`systemctl set-property --runtime ${slice} AllowedCPUs=${cpus}`, { timeoutMs: 120_000 });
  await node.podsAre(vm, pods);
  await vm.waitFor('cpuset is handed down', async () => (await node.handedDown(vm, besteffort)).includes('cpuset'), {
    timeoutMs: node.flapMs,
  });
  await quiet(vm, pods);
}

/** Nobody but the anchors is left: all three pods are elsewhere. */
async function anchoredNode(vm: Vm, t: TestContext): Promise<void> {
  const pods = [alone, node.podOf('vm-b', 11, 'burstable'), node.podOf('vm-g', 12, 'guaranteed')];
  await vm.out([sandwarden, 'anchor', '--node'], { timeoutMs: 120_000 });
  await node.wantPods(vm, pods);
  await quiet(vm, pods);
  assert.deepEqual(withCode(await node.findings(vm), 'SW5'), []);
  await measureAnchors(vm, t);
  await node.podsAre(vm, pods);
  await vm.out([sandwarden, 'anchor', 'release', '--all'], { timeoutMs: 120_000 });
  await flaps(vm, pods);
}

/** cpuset goes, systemd takes it, kubelet kills the pod and puts cpuset back: seen, with their names. */
async function flaps(vm: Vm, pods: readonly PodSpec[], first?: () => Promise<void>): Promise<void> {
  const mark = await node.watchMark(vm);
  await first?.();
  const takersOf = (changes: readonly node.Change[]) =>
    node.gone(changes, besteffort).filter((each) => each.controller === 'cpuset');
  // A round may be half over already: what kubelet kills for next may have been taken before anybody watched.
  const isTaken = async () => takersOf(await node.changesSince(vm, mark)).length > 0;
  await vm.waitFor('cpuset is taken', isTaken, { timeoutMs: node.flapMs, everyMs: 2_000 });
  const was = await node.identities(vm, [alone]);
  const isKilled = async () => (await node.identities(vm, [alone])).some((each) => !was.includes(each));
  await vm.waitFor('kubelet kills vm-a', isKilled, { timeoutMs: node.flapMs, everyMs: 2_000 });
  await node.podsAre(vm, pods);
  const changes = await node.changesSince(vm, mark);
  const takers = takersOf(changes);
  const names = (each: node.Change) => each.writers.map(({ pid, comm }) => `${comm} ${pid === 1 ? 1 : ''}`);
  assert.ok(
    takers.some((each) => names(each).includes('systemd 1')),
    JSON.stringify(takers),
  );
  const putters = changes.filter((each) => each.went === 'back' && each.slice.endsWith(besteffort));
  assert.ok(
    putters.some((each) => each.writers.some(({ comm }) => comm === 'kubelet')),
    JSON.stringify(putters),
  );
}

/** What usually makes systemd look, over a time in which kubelet looks at each pod; nobody loses anything. */
async function quiet(vm: Vm, pods: readonly PodSpec[]): Promise<void> {
  await node.podsAre(vm, pods);
  const was = await node.identities(vm, pods);
  const changes = await node.watched(vm, async () => {
    const begun = performance.now();
    await node.provoke(vm);
    await vm.out('systemctl daemon-reload', { timeoutMs: 120_000 });
    for (const batch of [0, 1]) await node.wantPods(vm, [...pods, ...ten('vm', 2_000 + 10 * batch)]);
    await node.wantPods(vm, pods);
    await node.provoke(vm);
    await node.pass(Math.max(0, node.quietMs - (performance.now() - begun)));
  });
  assert.deepEqual(taken(changes), []);
  assert.deepEqual(await node.identities(vm, pods), was);
}

/** Without addresses of their own: what the CNI plugins do is not looked at here, and costs seconds. */
function ten(stem: string, from: number): PodSpec[] {
  return Array.from({ length: 10 }, (_, index) =>
    node.podOf(`${stem}-${from + index}`, from + index, 'besteffort', true),
  );
}

/** A slice in which nobody is may lose what it likes. */
function taken(changes: readonly node.Change[]): node.Change[] {
  return changes.filter((each) => each.went === 'gone' && each.pods.length > 0);
}

function withCode(all: readonly node.Found[], code: string): string[] {
  return all
    .filter((each) => each.code.startsWith(code))
    .map((each) => `${each.code} ${each.object.name}: ${each.why}`);
}

/** The codes about cgroups and their configuration; that an emulated runtime is slow (SW7xx) is another matter. */
function ours(all: readonly node.Found[]): string[] {
  return node.codesOf(all).filter((code) => /^SW[56]/.test(code));
}
