import type { Evidence, Finding } from '../../model/finding.ts';
import { limits } from '../../model/limits.ts';
import { valueOr } from '../../model/observed.ts';
import type { StopFailed } from '../../model/records.ts';
import { describePod, describeSandbox } from '../../model/sandbox.ts';
import type { Facts } from '../facts.ts';
import { ofBlocked } from '../needs.ts';
import type { Rule } from '../rule.ts';
import { agoNs, describeDuration, isCurrent } from '../time.ts';
import type { ListedSandbox, PodView } from '../views.ts';
import { times } from '../words.ts';

/** SW107: kubelet should have removed it, twice over. */
export const sw107: Rule = {
  code: 'SW107',
  name: 'garbage-not-collected',
  title: "kubelet's garbage collection does not remove a dead sandbox",
  severity: 'warning',
  says: 'kubelet should have removed this sandbox for at least two of its cycles and has not',
  explanation: `Each minute kubelet removes the NotReady sandboxes that hold no containers, except the newest of each
pod. It stops them first; when that fails it gives up until the next minute, makes no event, and counts the cycle as
good. So a sandbox that cannot be stopped stays for ever, quietly, with its network address.

This finding names sandboxes that have been removable for more than two cycles, and why they stay where the log tells.`,
  evidence: 'how long, the failed stops in the log',
  remedy: {
    tier: 'none',
    text: 'By cause: mend CNI where the stop fails; make the API reachable where pods are unknown.',
  },
  sources: ['kubelet pkg/kubelet/kuberuntime/kuberuntime_gc.go evictSandboxes, removeSandbox; kubernetes issue 115252'],
  needs: (facts) => ['node', 'sandboxes', 'containers', 'kubelet', ...ofBlocked(facts)],
  examine: (facts) => {
    const kubelet = valueOr(facts.snapshot.kubelet, undefined);
    if (facts.node === undefined || kubelet?.running !== true) return [];
    return [...facts.pods.values()].flatMap((view) =>
      view.sandboxes
        .filter((each) => isGarbage(each, view, facts))
        .map((each) => ({ sandbox: each, forNs: overdueNs(each, view, facts), failure: failureOf(each, facts) }))
        .filter((each) => each.forNs > BigInt(limits.garbageOverdueMs) * 1_000_000n)
        .map((each) => findingOf(each.sandbox, view, each.forNs, each.failure)),
    );
  },
};

/** evictSandboxes' own rule: NotReady, no container in any state, and not the newest by date of its pod. */
function isGarbage(sandbox: ListedSandbox, view: PodView, facts: Facts): boolean {
  if (sandbox.ready || !facts.snapshot.containers.known) return false;
  if (view.containers.some((each) => each.sandboxId === sandbox.id)) return false;
  if (facts.cures.some((cure) => cure.ghosts.some((ghost) => ghost.sandbox.id === sandbox.id))) return false;
  return view.sandboxes.some((each) => each.createdAtNs > sandbox.createdAtNs);
}

/**
 * For how long it has been removable, as far as one look can tell: since kubelet runs and since its successor was made.
 */
function overdueNs(sandbox: ListedSandbox, view: PodView, facts: Facts): bigint {
  const node = facts.node;
  const started = valueOr(facts.snapshot.kubelet, undefined)?.startedUptimeNs;
  if (node === undefined || started === undefined) return 0n;
  const successor = view.sandboxes.filter((each) => each.createdAtNs > sandbox.createdAtNs)[0];
  const sinceSuccessor = successor === undefined ? 0n : node.wallNs - successor.createdAtNs;
  const sinceStart = node.uptimeNs - started;
  return sinceSuccessor < sinceStart ? sinceSuccessor : sinceStart;
}

function failureOf(sandbox: ListedSandbox, facts: Facts): StopFailed | undefined {
  const node = facts.node;
  if (node === undefined) return undefined;
  return valueOr(facts.snapshot.kubeletLog, undefined)?.stopFailed.find(
    (each) =>
      each.during === 'gc' &&
      each.sandboxId === sandbox.id &&
      isCurrent(each.last, node, limits.errorCurrentForMs) &&
      (agoNs(each.first, node) ?? 0n) >= 0n,
  );
}

function findingOf(sandbox: ListedSandbox, view: PodView, forNs: bigint, failure: StopFailed | undefined): Finding {
  const evidence: Evidence[] = [
    { source: 'sandboxes', text: `NotReady, no containers, not the newest of its pod, for ${describeDuration(forNs)}` },
  ];
  if (failure !== undefined) {
    evidence.push({ source: 'kubeletLog', text: `${failure.error} (${times(failure.count)})`, at: failure.last });
  }
  return {
    code: 'SW107',
    severity: 'warning',
    object: { kind: 'sandbox', name: describeSandbox(sandbox), id: sandbox.id },
    why:
      failure === undefined
        ? 'kubelet should have removed this sandbox by now; its log does not say why it has not.'
        : 'kubelet tries to remove this sandbox each minute, and stopping it fails each time.',
    evidence,
    remedy: {
      tier: 'none',
      text: failure === undefined ? 'look at the log of kubelet for this id' : 'mend what makes the stop fail',
      command: `journalctl -b -u kubelet | grep ${sandbox.id.slice(0, 13)}`,
    },
    pods: failure === undefined ? [] : [describePod(view)],
  };
}
