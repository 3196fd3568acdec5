import { lastPart, type PodInTree, parentOf, treeOf } from '../diagnose/cgroup-facts.ts';
import type { Facts } from '../diagnose/facts.ts';
import { emptyPods } from '../diagnose/rules/sw508.ts';
import type { Action, Plan, Refusal } from '../model/plan.ts';
import { describePod } from '../model/sandbox.ts';
import { isWanted } from './chosen.ts';
import type { Material } from './material.ts';
import type { PlanOptions } from './plan.ts';

/**
 * The cure of SW508 and SW509: one anchor in the slice above the pods that hold nothing, for all of them. Where no
 * anchor can be made, AllowedCPUs on each pod's own slice: systemd gives a slice the controllers that the units below
 * it ask for (src/core/cgroup.c unit_get_own_mask, unit_get_members_mask), so on a QoS slice that would hold the slices
 * above alone.
 */
export function planHold(facts: Facts, options: PlanOptions, material: Material): Plan {
  const tree = treeOf(facts);
  const pods = emptyPods(facts).filter(({ view }) => {
    return ['SW508', 'SW509'].some((code) => isWanted(options, code, describePod(view), describePod(view), view.uid));
  });
  if (tree === undefined || pods.length === 0) return { actions: [], refusals: [], pods: [] };
  if (tree.systemdCpuset === false) return { actions: [], refusals: pods.map(beforeCpuset), pods: [] };
  const bySlice = Map.groupBy(pods, ({ cgroup }) => lastPart((cgroup && parentOf(tree, cgroup)?.path) ?? ''));
  const parts = [...bySlice].flatMap(([slice, inside]): (Action | Refusal)[] => {
    if (material.canAnchor && slice.endsWith('.slice')) return [anchoring(slice, inside.map(nameOf), options)];
    return inside.map((each) => byCpus(each, options, material));
  });
  const actions = parts.filter((each) => 'guard' in each);
  return {
    actions,
    refusals: parts.filter((each) => !('guard' in each)),
    pods: actions.length === 0 ? [] : pods.map(nameOf),
  };
}

/** Before 244 systemd has neither cpuset in a scope nor AllowedCPUs, and leaves cpuset where it is. */
function beforeCpuset({ view, cgroup }: PodInTree): Refusal {
  const reason =
    'this systemd does not manage cpuset (244 does): there is nothing to hold, and nothing to hold it with';
  return { target: lastPart(cgroup?.path ?? ''), object: describePod(view), code: 'SW508', reason };
}

function anchoring(slice: string, pods: readonly string[], options: PlanOptions): Action | Refusal {
  const base = { target: slice, object: slice, code: 'SW508' } as const;
  const which = pods.length === 1 ? pods[0] : `${pods.length} pods`;
  if (!options.allow.includes('disruptive')) {
    return { ...base, reason: `would hold it with an anchor, for ${which}`, lift: '--allow=disruptive' };
  }
  return {
    ...base,
    kind: 'hold-slice',
    tier: 'disruptive',
    reason: `nothing of ${which} is in a slice of its own, so systemd takes cpuset away from it`,
    precondition: 'no anchor of ours is in it yet',
    expects: 'every controller stays in it and in the slices above it, until the next boot (`anchor` makes it lasting)',
    guard: { kind: 'hold-slice', slice },
  };
}

function byCpus({ view, cgroup }: PodInTree, options: PlanOptions, { cpus, allowedCpus }: Material): Action | Refusal {
  const slice = lastPart(cgroup?.path ?? '');
  const base = { target: slice, object: describePod(view), code: 'SW508' } as const;
  const before = allowedCpus.get(slice);
  if (before === undefined || cpus === undefined) {
    return { ...base, reason: `systemd did not tell the CPUs of ${slice}: AllowedCPUs needs systemd 244` };
  }
  if (before !== '')
    return { ...base, reason: `${slice} has AllowedCPUs=${before} already, and is empty all the same` };
  if (!options.allow.includes('disruptive')) {
    const reason = `would set AllowedCPUs=${cpus} of ${slice} until the next boot`;
    return { ...base, reason, lift: '--allow=disruptive' };
  }
  return {
    ...base,
    kind: 'set-allowed-cpus',
    tier: 'disruptive',
    reason: `nothing in ${slice} asks for cpuset, so systemd takes it away; all CPUs of the node limit nothing`,
    precondition: 'AllowedCPUs of the slice is still not set',
    expects: 'cpuset stays in it and in the slices above it, until the pod goes or the node is booted',
    guard: { kind: 'set-allowed-cpus', unit: slice, before: '', after: cpus },
  };
}

function nameOf({ view }: PodInTree): string {
  return describePod(view);
}
