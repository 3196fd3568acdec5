/** What the scenarios about controllers share: a node whose kubelet makes cgroups, and looks at it from outside. */
import assert from 'node:assert/strict';
import type { GuestContent } from '../../lab/vm/files.ts';
import { guestPaths } from '../../lab/vm/guest.ts';
import { Vm, type VmOptions } from '../../lab/vm/vm.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import type { QosClass } from '../../src/model/cgroups.ts';
import { pod, programFiles, sandwarden } from './hook.ts';

/**
 * kubelet looks at each pod within 90 s (SyncPod: 60 s, times 1 to 1.5) and provokes systemd each minute
 * (UpdateCgroups). So whatever is going to happen to a pod has happened after one of each; the rest is what an emulated
 * machine may lag.
 */
export const quietMs = 100_000;

/** Long enough for an update of the QoS classes, a look, a kill and a new sandbox, one after the other, emulated. */
export const flapMs = 300_000;

const slowMs = 900_000;

/** A node with kubelet's work on cgroups, on and with the program; no pod runs unless `pods` names some. */
export async function controllerNode(options: VmOptions): Promise<Vm> {
  const files = { ...(await programFiles()), ...kubeletFiles, ...options.files };
  const vm = await Vm.create({ pods: [], ...options, files });
  try {
    await vm.boot();
    return vm;
  } catch (error) {
    await vm.blame();
    await vm.close();
    throw error;
  }
}

const flags = `--container-runtime-endpoint=unix://${guestPaths.containerdSocket} --cgroup-driver=systemd --v=2`;

const kubeletFiles: Readonly<Record<string, GuestContent>> = {
  '/etc/systemd/system.conf.d/lab.conf': '[Manager]\nDefaultTimeoutStopSec=10s\n',
  '/etc/systemd/system/kubelet.service.d/10-cgroups.conf': `[Service]
ExecStart=
ExecStart=/usr/bin/kubelet ${flags}
ExecReload=/bin/kill -HUP $MAINPID
`,
};

/** A pod that runs for ever; `uid` is made of a number, another one is another pod. */
export function podOf(name: string, number: number, qos: QosClass = 'besteffort', hostNetwork = false): PodSpec {
  const uid = `${String(number).padStart(8, '0')}-0000-4000-8000-000000000000`;
  return { ...pod(name, uid, 'forever'), qos, hostNetwork };
}

/** Tells kubelet which pods the API wants now, and waits until these, and no others, run. */
export async function wantPods(vm: Vm, pods: readonly PodSpec[]): Promise<Task[]> {
  await vm.put(guestPaths.pods, JSON.stringify(pods));
  await vm.out('systemctl reload kubelet');
  return podsAre(vm, pods);
}

/** The tasks, once each of the pods has exactly a sandbox and a container and no other pod has any. */
export function podsAre(vm: Vm, pods: readonly PodSpec[], timeoutMs = slowMs): Promise<Task[]> {
  const wanted = pods.flatMap(({ uid }) => [`${uid} container`, `${uid} sandbox`]).sort();
  return vm.waitFor(
    `exactly the pods ${pods.map((each) => each.name).join(', ')} run`,
    async () => {
      const there = await tasks(vm);
      const found = there.map(({ uid, type }) => `${uid} ${type}`).sort();
      return found.join() === wanted.join() ? there : undefined;
    },
    { timeoutMs, everyMs: 1_000 },
  );
}

/** A task of the runtime: a sandbox or a container. */
export interface Task {
  readonly id: string;
  readonly type: 'sandbox' | 'container';
  readonly name: string;
  readonly uid: string;
}

/**
 * What the runtime keeps up, by the specs that runc was given: another id is another sandbox or container. A shell
 * looks, since Node's start alone costs an emulated machine many seconds.
 */
export async function tasks(vm: Vm): Promise<Task[]> {
  const text = await vm.out(`cd /run/containerd/io.containerd.runtime.v2.task/k8s.io 2>/dev/null || exit 0
for id in *; do [ -e $id/config.json ] && echo "$id $(grep -o '"io.kubernetes.cri.[a-z-]*":"[^"]*"' $id/config.json |
  tr '\\n' ' ')"; done; true`);
  return text
    .split('\n')
    .filter(Boolean)
    .map((line): Task => {
      const of = (key: string) => new RegExp(`"io\\.kubernetes\\.cri\\.${key}":"([^"]*)"`).exec(line)?.[1] ?? '';
      const type = of('container-type') === 'sandbox' ? 'sandbox' : 'container';
      return { id: line.split(' ')[0] ?? '', type, name: of('sandbox-name'), uid: of('sandbox-uid') };
    });
}

/** `web sandbox <id>`, sorted: what changes when kubelet makes a pod anew. */
export async function identities(vm: Vm, pods: readonly PodSpec[]): Promise<string[]> {
  const mine = (await tasks(vm)).filter(({ uid }) => pods.some((each) => each.uid === uid));
  return mine.map(({ name, type, id }) => `${name} ${type} ${id}`).sort();
}

export interface Found {
  readonly code: string;
  readonly severity: string;
  readonly why: string;
  readonly object: { readonly name: string };
  readonly evidence: readonly { readonly source: string; readonly text: string }[];
  readonly pods: readonly string[];
}

/** What `sandwarden check` finds. */
export async function findings(vm: Vm): Promise<Found[]> {
  const { stdout, stderr } = await vm.run([sandwarden, 'check', '-o', 'json'], { timeoutMs: slowMs });
  assert.ok(stdout.startsWith('{'), `check gave no JSON: ${stdout}${stderr}`);
  return (JSON.parse(stdout) as { findings: Found[] }).findings;
}

/** Looks until there is a finding with this code: of what is younger than ten seconds nothing is said. */
export function untilFound(vm: Vm, code: string, name: string): Promise<Found[]> {
  return vm.waitFor(
    `${code} ${name} is found`,
    async () => {
      const all = await findings(vm);
      return all.some((each) => each.code === code && each.object.name.includes(name)) ? all : undefined;
    },
    { timeoutMs: slowMs, everyMs: 2_000 },
  );
}

/** The finding with this code, on this object where one is named. Fails where there is none. */
export function found(all: readonly Found[], code: string, name?: string): Found {
  const one = all.find((each) => each.code === code && (name === undefined || each.object.name.includes(name)));
  assert.ok(one, `${code} ${name ?? ''} is not among ${shownFindings(all)}`);
  return one;
}

export function shownFindings(all: readonly Found[]): string {
  return JSON.stringify(all.map(({ code, severity, object, why }) => `${code} ${severity} ${object.name}: ${why}`));
}

/** The codes of what is worse than a remark. */
export function codesOf(all: readonly Found[]): string[] {
  return [...new Set(all.filter((each) => each.severity !== 'info').map((each) => each.code))].sort();
}

/** The codes of errors. */
export function errorsOf(all: readonly Found[]): string[] {
  return [...new Set(all.filter((each) => each.severity === 'error').map((each) => each.code))].sort();
}

/** A line of `watch controllers -o json` that tells of a change. */
export interface Change {
  readonly type: string;
  readonly time: string;
  readonly slice: string;
  readonly controller: string;
  readonly went: 'gone' | 'back';
  readonly writers: readonly { readonly pid: number; readonly comm: string; readonly unit?: string }[];
  readonly pods: readonly { readonly uid: string; readonly name?: string }[];
}

const watchFile = '/root/watch.jsonl';

/** Starts `watch controllers` in the guest, once a boot: its start takes an emulated machine as long as a scenario. */
async function startWatch(vm: Vm): Promise<void> {
  if ((await vm.run('systemctl is-active -q lab-watch')).code === 0) return;
  const command = `${sandwarden} watch controllers -o json --for 12h`;
  const start = `systemd-run -q --collect --unit=lab-watch -p StandardOutput=file:${watchFile} ${command}`;
  await vm.out(`rm -f ${watchFile}; ${start}`);
  const begins = async () => (await vm.run(['grep', '-q', '"start"', watchFile])).code === 0;
  await vm.waitFor('watch begins', begins, { timeoutMs: slowMs, everyMs: 1_000 });
}

/** What `watch controllers` says of changes while `body` goes on. Fails where it lost events. */
export async function watched(vm: Vm, body: () => Promise<void>): Promise<Change[]> {
  const from = await watchMark(vm);
  await body();
  return changesSince(vm, from);
}

/** Where in the watch's lines now is; the watch is on afterwards. */
export async function watchMark(vm: Vm): Promise<number> {
  await startWatch(vm);
  return Number(await vm.out(`wc -l <${watchFile}`));
}

/** What it said of changes after a mark. Fails where it lost events. */
export async function changesSince(vm: Vm, mark: number): Promise<Change[]> {
  const lines = (await vm.out(`tail -n +${mark + 1} ${watchFile}`)).split('\n').filter(Boolean);
  const said = lines.map((line) => JSON.parse(line) as Change);
  assert.ok(!said.some((each) => each.type === 'overflow' || each.type === 'end'), lines.at(-1));
  return said.filter((each) => each.type === 'change');
}

/** What makes systemd look at a slice again, as kubelet's update of its QoS classes does. */
export async function provoke(vm: Vm, slices: readonly string[] = qosSlices): Promise<void> {
  for (const slice of slices) await vm.out(`systemctl set-property --runtime ${slice} CPUWeight=2`);
}

export const qosSlices = ['kubepods.slice', 'kubepods-burstable.slice', 'kubepods-besteffort.slice'] as const;

/** What a slice hands down. */
export async function handedDown(vm: Vm, slice: (typeof qosSlices)[number]): Promise<string[]> {
  const folder = slice === 'kubepods.slice' ? slice : `kubepods.slice/${slice}`;
  return (await vm.out(['cat', `/sys/fs/cgroup/${folder}/cgroup.subtree_control`])).trim().split(/\s+/);
}

export function gone(changes: readonly Change[], slice: string): Change[] {
  return changes.filter((each) => each.went === 'gone' && each.slice.endsWith(slice));
}

/** A runc that keeps the processes of pods named `vm-…` elsewhere, as a runtime of virtual machines does. */
export const runcElsewhere: Readonly<Record<string, GuestContent>> = {
  '/usr/local/bin/runc-elsewhere': {
    mode: 0o755,
    data: `#!/bin/sh
bundle= before=
for each; do
  [ "$before" = --bundle ] && bundle=$each
  before=$each
done
if [ -n "$bundle" ] && grep -q '"io.kubernetes.cri.sandbox-name":"vm-' "$bundle/config.json"; then
  sed -i 's|"cgroupsPath":"[^"]*:cri-containerd:|"cgroupsPath":"vms.slice:vm:|' "$bundle/config.json"
fi
exec /usr/sbin/runc "$@"
`,
  },
};

/** Lets time pass in the guest, which is what quiet is about. */
export async function pass(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}
