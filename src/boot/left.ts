import { buildFacts } from '../diagnose/facts.ts';
import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { Plan } from '../model/plan.ts';
import { describeSandbox } from '../model/sandbox.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Witness } from './witnesses.ts';

/**
 * What may still block a pod once kubelet starts, and why it cannot be decided before. Pure.
 *
 * Before kubelet's start nothing tells whether a pod is wanted: a container that ran when the power went comes back as
 * exit 255 (containerd restart.go), but so does one of a Job whose end never reached the disk, and kubelet runs a
 * `Never` pod without records a second time. So a record of unknown policy stays here; what kubelet is refused
 * afterwards, and what the API says, is the proof.
 */
export function leftForKubelet(snapshot: Snapshot): { object: string; why: string }[] {
  const { node, pods, orders } = buildFacts(snapshot);
  if (!snapshot.sandboxes.known) return [{ object: 'sandboxes', why: snapshot.sandboxes.message }];
  if (node === undefined) return [{ object: 'node', why: 'its clock could not be read' }];
  return [...pods.values()].flatMap((view) => {
    const order = orders.find((each) => (view.fates.get(each)?.kind ?? 'settles') !== 'settles');
    const dated = orders.includes('by-date')
      ? view.sandboxes.find((each) => !each.ready && each.createdAtNs > node.wallNs + futureSlackNs)
      : undefined;
    const sandbox = dated ?? (order === undefined ? undefined : view.sandboxes.at(-1));
    if (sandbox === undefined) return [];
    const why = dated === undefined ? 'its name will be held' : 'it is dated after now';
    const held = `${why}, and only kubelet or the API can tell whether its pod is wanted`;
    return [{ object: describeSandbox(sandbox), why: view.wanted.wants === 'unknown' ? held : why }];
  });
}

/** What the plan leaves alone although it blocks: normal leftovers (SW108) are not meant. Pure. */
export function refusedOf(plan: Plan): { object: string; why: string }[] {
  return plan.refusals.filter((each) => each.code !== 'SW108').map(({ object, reason }) => ({ object, why: reason }));
}

/** The creation dates that the runtime tells, exact, as witnesses of containerd. Pure. */
export function criWitnesses(snapshot: Snapshot): Witness[] {
  const dated = [
    ...valueOr(snapshot.sandboxes, []).map((each) => ({ from: `sandbox ${describeSandbox(each)}`, ...each })),
    ...valueOr(snapshot.containers, []).map((each) => ({ from: `container ${each.name}`, ...each })),
  ];
  return dated.map(({ from, createdAtNs }) => ({ family: 'containerd', from, dateNs: createdAtNs, slackNs: 0n }));
}

const futureSlackNs = BigInt(limits.futureSlackMs) * 1_000_000n;
