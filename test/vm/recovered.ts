/** The ends that several scenarios share, asserted on CRI, our journal and the units. */
import assert from 'node:assert/strict';
import { type ListedSandbox, listSandboxes, podsRun } from '../../lab/vm/node.ts';
import type { Vm } from '../../lab/vm/vm.ts';
import * as hook from './hook.ts';

interface Where {
  /** `k3s crictl` on that layout. */
  readonly command?: string;
}

/** Scenario 2: the boot was looked at; nothing was wrong but the cut itself. Gives what is there now. */
export async function assertRecovered(
  vm: Vm,
  cutAt: readonly ListedSandbox[],
  where: Where = {},
): Promise<ListedSandbox[]> {
  const now = await podsRun(vm, hook.services, where);
  const flags = await hook.flagsOf(vm);
  assert.ok(flags.includes('unclean'), `flags: ${flags}`);
  assert.ok(!flags.includes('clock-behind'), `flags: ${flags}`);
  await assertNothingRemoved(vm, cutAt, now);
  const { clock, heal } = await hook.told(vm);
  assert.equal(clock, undefined, 'the clock step was not started');
  assert.equal(heal[0]?.step, 'before-kubelet');
  // On k3s that was the temporary one: its own does not run yet.
  assert.ok(heal[0]?.runtimeReadyUptimeNs, `the runtime served before kubelet: ${heal[0]?.why}`);
  assertAttempts(cutAt, now);
  // It also tells the cluster of the unclean end; this node has no credentials for one, and it ends.
  const after = await hook.untilEnded(vm, 'sandwarden-boot-after.service');
  assert.deepEqual([after.ConditionResult, after.Result, after.ExecMainStatus], ['yes', 'success', '0']);
  return now;
}

/** Scenario 4: the clock was moved before the runtime started, so nothing had to be removed. */
export async function assertFloored(
  vm: Vm,
  cutAt: readonly ListedSandbox[],
  where: Where = {},
): Promise<ListedSandbox[]> {
  const now = await podsRun(vm, hook.services, where);
  assert.ok((await hook.flagsOf(vm)).includes('clock-behind'));
  const { clock } = await hook.told(vm);
  assert.equal(clock?.result, 'moved', clock?.why ?? 'the clock step did not run');
  for (const { createdAtNs } of cutAt) {
    assert.ok(BigInt(clock?.toNs ?? 0) > createdAtNs, 'it stands after every sandbox of the last boot');
  }
  assert.ok(BigInt(await vm.out('date +%s%N')) > BigInt(clock?.toNs ?? 0));
  // Not further than the last boot went: minutes, since the cut took place just now.
  assert.ok(BigInt(clock?.toNs ?? 0) < BigInt(Date.now() + 60_000) * 1_000_000n, 'it was not moved into the future');
  await assertNothingRemoved(vm, cutAt, now);
  assertAttempts(cutAt, now);
  return now;
}

/** Scenarios 5 and 6: of each service the sandboxes dated after now went, one by one; the Job's stayed. */
export async function assertGhostsRemoved(
  vm: Vm,
  ghosts: readonly ListedSandbox[],
  where: Where = {},
): Promise<ListedSandbox[]> {
  const nowNs = BigInt(await vm.out('date +%s%N'));
  const blocking = ghosts.filter((each) => each.createdAtNs > nowNs && !isOfJob(each));
  assert.notEqual(blocking.length, 0, 'a scenario without ghosts proves nothing');
  // The names are free when these are gone; which others block shows when kubelet goes on to them.
  const expected = hook.services.flatMap((pod) => hook.newest(blocking).find((each) => each.name === pod)?.id ?? []);
  assert.equal(expected.length, hook.services.length);
  // A shell looks, since Node's start would take the processor from what is waited for.
  const outcomes = `grep -c '"result":"done"' /var/lib/sandwarden/journal.ndjson`;
  await vm.waitFor(
    'as many sandboxes are removed by us as there are services',
    async () => Number((await vm.run(outcomes)).stdout) >= expected.length,
    { timeoutMs: 420_000, everyMs: 2_000 },
  );
  await untilNoneBlocks(vm, where);
  const now = await podsRun(vm, hook.services, where);
  const allowed = hook.idsOf(blocking);
  const ours = await hook.removedByUs(vm);
  assert.deepEqual(
    ours.filter((id) => !allowed.includes(id)),
    [],
    'only what blocked was removed',
  );
  for (const id of expected) assert.ok(ours.includes(id), `${id} blocked its pod, and we removed it`);
  const jobs = ghosts.filter(isOfJob);
  assert.deepEqual(hook.gone(hook.newest(jobs), now), [], "the finished Job's sandbox stays");
  return now;
}

/** Each service's newest sandbox is READY: kubelet of that age has what it looks for. */
async function untilNoneBlocks(vm: Vm, { command }: Where): Promise<void> {
  const free = async () => {
    const newest = hook.newest((await listSandboxes(vm, command)) ?? []);
    return hook.services.every((name) => newest.some((each) => each.name === name && each.state === 'ready'));
  };
  await vm.waitFor('no ghost is newer than a READY sandbox', free, { timeoutMs: 360_000, everyMs: 5_000 });
}

/** No clock was touched at this boot. */
export async function assertClockKept(vm: Vm): Promise<void> {
  const { clock, heal } = await hook.told(vm);
  for (const each of [clock, ...heal.map((step) => step.clock)]) {
    assert.ok(each === undefined || each.result === 'kept' || each.result === 'forbidden', each?.why);
  }
}

async function assertNothingRemoved(
  vm: Vm,
  cutAt: readonly ListedSandbox[],
  now: readonly ListedSandbox[],
): Promise<void> {
  assert.deepEqual(await hook.removedByUs(vm), []);
  for (const step of (await hook.told(vm)).heal) assert.deepEqual(step.removed, []);
  assert.deepEqual(hook.gone(hook.newest(cutAt), now), []);
}

/** Each service has exactly one READY sandbox, whose attempt follows the last; the Job has no new one. */
function assertAttempts(cutAt: readonly ListedSandbox[], now: readonly ListedSandbox[]): void {
  const lastOf = (name: string) =>
    Math.max(...cutAt.filter((each) => each.name === name).map((each) => each.attempt), -1);
  const ready = now.filter((each) => each.state === 'ready');
  assert.deepEqual(hook.shown(ready), hook.services.map((name) => `${name} ${lastOf(name) + 1} ready`).sort());
}

/** Waits until kubelet has been refused a name this many times, which is what a ghost does to it. */
export async function untilRefused(vm: Vm, unit = 'kubelet.service', times = 1): Promise<void> {
  const refused = async () => {
    const lines = await vm.journal(unit);
    return lines.filter((line) => /RunPodSandbox .*failed.* is reserved for/.test(line)).length >= times;
  };
  await vm.waitFor(`kubelet is refused a name ${times} times`, refused, { timeoutMs: 300_000, everyMs: 2_000 });
}

/** What the runtime lists, which must answer. */
export async function sandboxesOf(vm: Vm, command?: string): Promise<ListedSandbox[]> {
  const listed = await listSandboxes(vm, command);
  assert.ok(listed, 'the runtime answers');
  return listed;
}

function isOfJob({ name }: ListedSandbox): boolean {
  return name === 'job';
}
