import { lastPart } from '../diagnose/cgroup-facts.ts';
import type { Facts } from '../diagnose/facts.ts';
import { emptyPods } from '../diagnose/rules/sw508.ts';
import type { Action, Plan, Refusal } from '../model/plan.ts';
import { describePod } from '../model/sandbox.ts';
import { isWanted } from './chosen.ts';
import type { Material } from './material.ts';
import type { PlanOptions } from './plan.ts';

/**
 * The cure of SW508 and SW509 that needs no process: AllowedCPUs on the slice of each pod that holds nothing. systemd
 * gives a slice the controllers that the units below it ask for (systemd src/core/cgroup.c unit_get_own_mask,
 * unit_get_members_mask), so it must be the pod's own slice: on a QoS slice it would hold the slices above that only.
 */
export function planHold(facts: Facts, options: PlanOptions, material: Material): Plan {
  const actions: Action[] = [];
  const refusals: Refusal[] = [];
  for (const { view, cgroup } of emptyPods(facts)) {
    const pod = describePod(view);
    const isChosen = ['SW508', 'SW509'].some((code) => isWanted(options, code, pod, pod, view.uid));
    if (cgroup === undefined || !isChosen) continue;
    const slice = lastPart(cgroup.path);
    const refuse = (reason: string, lift?: string) =>
      refusals.push({ object: pod, target: slice, code: 'SW508', reason, ...(lift === undefined ? {} : { lift }) });
    const before = material.allowedCpus.get(slice);
    const { cpus } = material;
    if (before === undefined || cpus === undefined) refuse(`systemd did not tell the CPUs of ${slice}`);
    else if (before !== '') refuse(`${slice} has AllowedCPUs=${before} already, and is empty all the same`);
    else if (!options.allow.includes('disruptive')) {
      refuse(`would set AllowedCPUs=${cpus} of ${slice} until the next boot`, '--allow=disruptive');
    } else actions.push(holding(pod, slice, cpus));
  }
  return { actions, refusals, pods: actions.map((each) => each.object) };
}

function holding(pod: string, slice: string, cpus: string): Action {
  return {
    kind: 'set-allowed-cpus',
    target: slice,
    object: pod,
    code: 'SW508',
    tier: 'disruptive',
    reason: `nothing in ${slice} asks for cpuset, so systemd takes it away; all CPUs of the node limit nothing`,
    precondition: 'AllowedCPUs of the slice is still not set',
    expects: 'cpuset stays in it and in the slices above it, until the pod goes or the node is booted',
    guard: { kind: 'set-allowed-cpus', unit: slice, before: '', after: cpus },
  };
}
