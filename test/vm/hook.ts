/** What scenarios in the virtual machine share: the program in the guest, and what it left there. */
import assert from 'node:assert/strict';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { GuestContent } from '../../lab/vm/files.ts';
import { type ListedSandbox, podsRun } from '../../lab/vm/node.ts';
import { Vm, type VmOptions } from '../../lab/vm/vm.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { bundle } from '../../tools/build.ts';

export const sandwarden = '/usr/local/bin/sandwarden';
const lib = '/usr/local/lib/sandwarden';

/** Two services and a Job that ends at once. */
export const pods: readonly PodSpec[] = [
  pod('web', '11111111-1111-4111-8111-111111111111', 'forever'),
  pod('be', '22222222-2222-4222-8222-222222222222', 'forever'),
  { ...pod('job', '33333333-3333-4333-8333-333333333333', { exitsAfterMs: 1_000, code: 0 }), restartPolicy: 'Never' },
];
/** Those that are to run after every boot. */
export const services = ['web', 'be'] as const;

export interface PreparedOptions extends Omit<VmOptions, 'pods'> {
  /** Of `sandwarden install`; without any it is not installed. */
  readonly install?: readonly string[];
  readonly pods?: readonly PodSpec[];
}

/** A node that is on, whose services run, whose Job has ended, and on which the program lies (and is installed). */
export async function prepareNode({ install, ...options }: PreparedOptions): Promise<Vm> {
  const files = { ...(await programFiles()), ...patience, ...options.files };
  const vm = await Vm.create({ pods, ...options, files });
  try {
    await vm.boot();
    await podsRun(vm, services, crictlOf(options));
    await untilJobEnded(vm);
    if (install) await installSandwarden(vm, ...install);
    return vm;
  } catch (error) {
    await vm.blame();
    await vm.close();
    throw error;
  }
}

/** A shutdown waits for containers whose first process does not heed SIGTERM: 90 s, were it not for this. */
const patience = { '/etc/systemd/system.conf.d/lab.conf': '[Manager]\nDefaultTimeoutStopSec=10s\n' };

/** Runs `sandwarden install` in the guest; the program is there already. */
export async function installSandwarden(vm: Vm, ...flags: readonly string[]): Promise<string> {
  return vm.out([sandwarden, 'install', '--yes', ...flags], { timeoutMs: 120_000 });
}

export async function untilJobEnded(vm: Vm): Promise<void> {
  const ended = async () => (await vm.run(['grep', '-q', 'Succeeded', '/var/lib/standin/phases.json'])).code === 0;
  await vm.waitFor('the job ended', ended, { timeoutMs: 240_000, everyMs: 1_000 });
}

/** The `command` that podsRun and the lists need on a layout. */
export function crictlOf({ layout }: Pick<VmOptions, 'layout'>): { command?: string } {
  return layout === 'k3s' ? { command: 'k3s crictl' } : {};
}

let program: Promise<Record<string, GuestContent>> | undefined;

/** As `make install` lays the program out, on the guest's own Node. Bundled once a process. */
export function programFiles(): Promise<Record<string, GuestContent>> {
  program ??= bundled();
  return program;
}

async function bundled(): Promise<Record<string, GuestContent>> {
  const folder = await mkdtemp(join(tmpdir(), 'sandwarden-vm-program-'));
  try {
    await bundle(folder);
    const wrapper = `#!/bin/sh\nexec /usr/local/bin/node ${lib}/dist/sandwarden.js "$@"\n`;
    const found: Record<string, GuestContent> = { [sandwarden]: { data: wrapper, mode: 0o755 } };
    for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      found[`${lib}/dist/${relative(folder, path)}`] = await copied(path);
    }
    return found;
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function copied(path: string): Promise<GuestContent> {
  return { data: await readFile(path), mode: (await stat(path)).mode & 0o755 };
}

/** What this boot's hook wrote of itself; dates as texts, as in the file. */
export interface Told {
  readonly clock?: ToldClock;
  readonly heal: readonly {
    readonly step: 'before-kubelet' | 'after-kubelet';
    readonly reportOnly: boolean;
    readonly clock?: ToldClock;
    readonly removed: readonly string[];
    readonly left: readonly { readonly object: string; readonly why: string }[];
    readonly settled: boolean;
    readonly why: string;
    readonly runtimeReadyUptimeNs?: string;
  }[];
}

interface ToldClock {
  readonly result: 'moved' | 'kept' | 'synchronized' | 'forbidden' | 'failed';
  readonly why: string;
  readonly wallNs: string;
  readonly toNs?: string;
}

/** /run/sandwarden/boot.json; empty where no step of the program ran. */
export async function told(vm: Vm): Promise<Told> {
  const { code, stdout } = await vm.run(['cat', '/run/sandwarden/boot.json']);
  return code === 0 ? (JSON.parse(stdout) as Told) : { heal: [] };
}

/** The flags that early.sh and the steps set at this boot. */
export async function flagsOf(vm: Vm): Promise<string[]> {
  return (await vm.out('cd /run/sandwarden && ls')).split('\n').filter((name) => name !== '' && !name.includes('.'));
}

/** The sandboxes that the program removed in this boot, by its journal: ids. */
export async function removedByUs(vm: Vm): Promise<string[]> {
  const text = await vm.out([sandwarden, 'history', '-o', 'json'], { timeoutMs: 120_000 });
  const bootId = plain(await vm.bootId());
  const { entries } = JSON.parse(text) as { entries: readonly JournalEntry[] };
  const here = entries.filter((each) => plain(each.at.bootId) === bootId);
  const done = new Set(here.filter((each) => each.result === 'done' || each.result === 'already').map((e) => e.of));
  return here.flatMap((each) => (each.action !== undefined && done.has(each.seq) ? [each.action.target] : []));
}

interface JournalEntry {
  readonly seq: number;
  readonly kind: string;
  readonly at: { readonly bootId: string };
  readonly of?: number;
  readonly result?: string;
  readonly action?: { readonly target: string };
}

function plain(bootId: string): string {
  return bootId.trim().replaceAll('-', '');
}

export type UnitFacts = Readonly<Record<string, string>>;

/** What systemd says of a unit: ActiveState, Result, ConditionResult and the dates by the clock since boot (µs). */
export async function unit(vm: Vm, name: string): Promise<UnitFacts> {
  const text = await vm.out(['systemctl', 'show', name, '--no-pager', `--property=${asked.join(',')}`]);
  return Object.fromEntries(
    text.split('\n').flatMap((line) => {
      const at = line.indexOf('=');
      return at < 0 ? [] : [[line.slice(0, at), line.slice(at + 1)]];
    }),
  );
}

const asked = [
  ...['LoadState', 'ActiveState', 'SubState', 'Result', 'ConditionResult', 'ConditionTimestampMonotonic'],
  ...['InactiveExitTimestampMonotonic', 'ActiveEnterTimestampMonotonic', 'ExecMainStartTimestampMonotonic'],
  ...['ExecMainStatus', 'NRestarts', 'MainPID'],
];

/** Fails unless this boot's hook looked by shell alone: no step of the program was started. */
export async function assertNoStepRan(vm: Vm): Promise<void> {
  assert.deepEqual(await flagsOf(vm), ['booted', 'now']);
  assert.deepEqual(await told(vm), { heal: [] });
  const [clock, boot, after] = await Promise.all(
    ['sandwarden-clock', 'sandwarden-boot', 'sandwarden-boot-after'].map((name) => unit(vm, `${name}.service`)),
  );
  assert.equal(clock?.ActiveState, 'active');
  assert.equal(clock?.Result, 'success');
  for (const each of [boot, after]) {
    assert.equal(each?.LoadState, 'loaded');
    assert.equal(each?.ConditionResult, 'no');
    assert.equal(each?.ExecMainStartTimestampMonotonic, '0');
  }
}

/** `web 0 ready`, sorted. */
export function shown(sandboxes: readonly ListedSandbox[]): string[] {
  return sandboxes.map((each) => `${each.name} ${each.attempt} ${each.state}`).sort();
}

export function idsOf(sandboxes: readonly ListedSandbox[]): string[] {
  return sandboxes.map((each) => each.id).sort();
}

/** The ids of `before` that are not in `after`. */
export function gone(before: readonly ListedSandbox[], after: readonly ListedSandbox[]): string[] {
  return idsOf(before).filter((id) => !after.some((each) => each.id === id));
}

/** Waits until a unit has run (or is found not to have to). */
export async function untilEnded(vm: Vm, name: string, timeoutMs = 240_000): Promise<UnitFacts> {
  return vm.waitFor(
    `${name} has ended`,
    async () => {
      const facts = await unit(vm, name);
      const asked = Number(facts.ConditionTimestampMonotonic) > 0;
      return asked && /^(inactive|failed)$/.test(facts.ActiveState ?? '') ? facts : undefined;
    },
    { timeoutMs, everyMs: 1_000 },
  );
}

/** Every file, link and folder of /etc: kind, mode, owner, content. */
export async function etcOf(vm: Vm): Promise<string[]> {
  const list = `cd /etc && { find . -printf '%y %m %u:%g %p %l\\n'; find . -type f -exec sha256sum {} +; } | sort`;
  return (await vm.out(list)).split('\n');
}

export function pod(name: string, uid: string, runs: PodSpec['containers'][number]['runs']): PodSpec {
  return { name, namespace: 'default', uid, restartPolicy: 'Always', containers: [{ name: 'c', runs }] };
}

/** The newest sandbox of each pod: kubelet's garbage collection keeps these and what their containers lie in. */
export function newest(sandboxes: readonly ListedSandbox[]): ListedSandbox[] {
  const byDate = sandboxes.toSorted((a, b) => Number(b.createdAtNs - a.createdAtNs));
  return byDate.filter((each, index) => byDate.findIndex((other) => other.uid === each.uid) === index);
}
