/** What the scenarios about controllers share: a node whose kubelet makes cgroups, and looks at it from outside. */
import assert from 'node:assert/strict';
import type { GuestContent } from '../../lab/vm/files.ts';
import { guestPaths } from '../../lab/vm/guest.ts';
import { type ListedSandbox, listSandboxes } from '../../lab/vm/node.ts';
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

const slowMs = 300_000;

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
export async function wantPods(vm: Vm, pods: readonly PodSpec[]): Promise<ListedSandbox[]> {
  await vm.put(guestPaths.pods, JSON.stringify(pods));
  await vm.out('systemctl reload kubelet');
  return podsAre(vm, pods);
}

/** The ready sandboxes, once each of the pods has exactly one with a running container and no other pod has any. */
export function podsAre(vm: Vm, pods: readonly PodSpec[], timeoutMs = slowMs): Promise<ListedSandbox[]> {
  const names = pods.map((each) => each.uid).sort();
  return vm.waitFor(
    `exactly the pods ${pods.map((each) => each.name).join(', ')} run`,
    async () => {
      if (Number(await vm.out(countTasks)) !== 2 * pods.length) return undefined;
      const ready = (await listSandboxes(vm))?.filter((each) => each.state === 'ready') ?? [];
      const found = ready.map((each) => each.uid).sort();
      return found.join() === names.join() ? ready : undefined;
    },
    { timeoutMs, everyMs: 1_000 },
  );
}

/** A sandbox and a container each. Folders are counted by a shell: Node's start costs an emulated machine seconds. */
const countTasks = 'ls /run/containerd/io.containerd.runtime.v2.task/k8s.io 2>/dev/null | wc -l';

/** `web <id>`, sorted: what changes when kubelet makes a sandbox anew. */
export async function identities(vm: Vm): Promise<string[]> {
  const sandboxes = (await listSandboxes(vm)) ?? [];
  return sandboxes
    .filter((each) => each.state === 'ready')
    .map((each) => `${each.name} ${each.attempt} ${each.id}`)
    .sort();
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

/** Runs `watch controllers` in the guest beside `body`; what it said of changes, and its last line. */
export async function watched(vm: Vm, body: () => Promise<void>): Promise<{ changes: Change[]; end: WatchedEnd }> {
  const file = '/root/watch.jsonl';
  const command = `${sandwarden} watch controllers -o json --for 1h`;
  await vm.out(`rm -f ${file}; systemd-run -q --collect --unit=lab-watch -p StandardOutput=file:${file} ${command}`);
  const said = async () => (await vm.run(['cat', file])).stdout.split('\n').filter(Boolean);
  await vm.waitFor('watch begins', async () => (await said())[0]?.includes('"start"'), { timeoutMs: slowMs });
  try {
    await body();
  } finally {
    await vm.run('systemctl kill -s INT lab-watch');
    const isOver = async () => (await vm.run('systemctl is-active -q lab-watch')).code !== 0;
    await vm.waitFor('watch ends', isOver, { timeoutMs: slowMs });
  }
  const lines = (await said()).map((line) => JSON.parse(line) as Change);
  const end = lines.at(-1) as unknown as WatchedEnd;
  assert.equal((end as unknown as Change).type, 'end');
  return { changes: lines.filter((each) => each.type === 'change'), end };
}

export interface WatchedEnd {
  readonly overflows: number;
  readonly summary: readonly string[];
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
