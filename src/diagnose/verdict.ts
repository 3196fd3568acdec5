import type { Diagnosis, Finding } from '../model/finding.ts';
import { valueOr } from '../model/observed.ts';
import { bootClock } from './boot-clock.ts';
import { isOfCgroups } from './cgroup-chain.ts';
import { isBroken } from './csi-waiting.ts';
import type { Facts } from './facts.ts';
import { describeKubelet } from './ghost-finding.ts';
import { describeDuration } from './time.ts';
import { plural } from './words.ts';

/** The one line a person reads first: how many pods are down and why; or that nothing is wrong. */
export function verdictOf(facts: Facts, findings: readonly Finding[], state: Diagnosis['state']): string {
  if (state === 'unobservable') return `Nothing could be observed: ${whyUnobservable(facts)}.`;
  const errors = findings.filter((each) => each.severity === 'error');
  if (errors.length > 0) return `${subject(errors)}: ${causeOf(facts, errors)}.`;
  const warnings = findings.filter((each) => each.severity === 'warning');
  const first = warnings[0];
  if (first !== undefined) {
    const more = warnings.length === 1 ? '' : ` (and ${plural(warnings.length - 1, 'more warning', 'more warnings')})`;
    const known = blindSpots(facts).length === 0 ? 'Nothing is down, but' : 'Not all could be seen, and';
    return `${known}: ${lowerFirst(first.why.replace(/\.$/, ''))}${more}.`;
  }
  if (state === 'warnings') return `No fault found, but not all could be seen: ${blindSpots(facts).join('; ')}.`;
  return healthy(facts);
}

/** Sources without which "nothing found" means little, and that are missing here, in plain words. */
export function blindSpots(facts: Facts): string[] {
  const { snapshot } = facts;
  const kubeletDown = valueOr(snapshot.kubelet, undefined)?.running === false;
  const spots: string[] = [];
  if (!snapshot.containers.known) spots.push('the containers could not be listed');
  if (!snapshot.kubelet.known) spots.push('whether kubelet runs is not known');
  if (!snapshot.kubeletLog.known && !kubeletDown) spots.push("kubelet's log could not be read");
  // A machine without a single sandbox may be no node at all.
  if (kubeletDown && facts.sandboxById.size > 0)
    spots.push('kubelet does not run, so nothing tells which pods are missing');
  return spots;
}

function healthy(facts: Facts): string {
  const running = [...facts.pods.values()].filter((view) => view.sandboxes.some((each) => each.ready)).length;
  const kept = facts.kept.length;
  const leftovers =
    kept === 0
      ? ''
      : `; ${plural(kept, 'NotReady sandbox is a normal leftover', 'NotReady sandboxes are normal leftovers')}`;
  return `Healthy: ${plural(running, 'pod has its sandbox', 'pods have their sandboxes')}${leftovers}.`;
}

function subject(errors: readonly Finding[]): string {
  const pods = new Set(errors.flatMap((each) => each.pods)).size;
  const how = errors.every(isOfCgroups) ? 'stay up' : 'run';
  // What runs keeps its volumes.
  if (pods === 0 && errors.every((each) => each.code.startsWith('SW30'))) return 'No new volume comes up on this node';
  return pods === 0 ? 'The node cannot run pods' : `${plural(pods, 'pod does', 'pods do')} not ${how}`;
}

/** The deepest cause that the findings reach, in plain words. */
function causeOf(facts: Facts, errors: readonly Finding[]): string {
  const has = (code: string) => errors.some((each) => each.code === code);
  if (has('SW105')) return 'the container runtime cannot start, because two records on its disk have one name';
  if (has('SW701')) return 'the container runtime does not answer';
  if (has('SW102')) return clockCause(facts);
  if (has('SW703')) return 'the pod network is not ready, so sandboxes can be neither made nor removed';
  if (has('SW106')) return 'dead sandboxes cannot be stopped, because their CNI plugin fails';
  if (has('SW103')) return 'creating their sandboxes hangs inside the runtime, which holds the names';
  if (has('SW104')) return 'half-created sandboxes hold their names';
  if (has('SW109')) return 'the names of their containers are held';
  if (has('SW101')) return 'dead sandboxes of an earlier boot hold their names';
  if (has('SW301')) return driverCause(facts);
  if (has('SW303')) return 'the sidecars of their CSI driver wait in back-off, though its socket answers again';
  if (has('SW510')) {
    return 'the runtime puts their processes outside of their slices, so systemd takes controllers of them away';
  }
  if (has('SW508')) return 'nothing of them is in their slices, so systemd takes controllers of them away';
  if (errors.some((each) => each.code === 'SW501' && each.object.kind === 'node')) {
    return 'kubelet ends at each start, because the cgroup above all pods lacks what it requires';
  }
  if (has('SW501') || has('SW601')) return 'their cgroups lose controllers, and kubelet kills them without a word';
  return lowerFirst((errors[0]?.why ?? 'the cause is not known').replace(/\.$/, ''));
}

/** Where SW301 is among the findings, so that some driver is broken. */
function driverCause({ drivers }: Facts): string {
  const broken = drivers.filter(isBroken);
  if (broken.every((each) => each.unregistered !== undefined)) return 'kubelet has not registered their CSI driver';
  if (broken.every((each) => each.unserved !== undefined)) return 'nothing on this node serves their CSI driver';
  return 'the socket of their CSI driver does not answer';
}

function clockCause(facts: Facts): string {
  const clock = bootClock(facts);
  const kubelet = describeKubelet(facts);
  return clock === undefined
    ? `their dead sandboxes are dated after the living ones, and ${kubelet} takes them for the newest`
    : `the node booted with its clock ${describeDuration(clock.behindNs)} behind, ` +
        `so ${kubelet} takes their dead sandboxes for the newest`;
}

function whyUnobservable(facts: Facts): string {
  const { runtime, sandboxes } = facts.snapshot;
  const missing = !runtime.known ? runtime : !sandboxes.known ? sandboxes : undefined;
  return missing === undefined ? 'the runtime was not asked' : lowerFirst(missing.message.replace(/\.$/, ''));
}

/** `The clock` → `the clock`, but `CNI` and `kubelet` stay. */
function lowerFirst(text: string): string {
  return /^[A-Z][a-z]/.test(text) ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}
