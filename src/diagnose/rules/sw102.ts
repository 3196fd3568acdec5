import type { Finding } from '../../model/finding.ts';
import { describeSandbox } from '../../model/sandbox.ts';
import type { Cure, Ghost } from '../cure.ts';
import type { Facts } from '../facts.ts';
import { describeCreation, describeKubelet, ghostFindings } from '../ghost-finding.ts';
import { ofBlocked } from '../needs.ts';
import type { Rule } from '../rule.ts';
import { describeDuration } from '../time.ts';
import { outOfOrder } from '../views.ts';

/** SW102: by its date a dead sandbox is "newer" than the one that runs. */
export const sw102: Rule = {
  code: 'SW102',
  name: 'ghost-from-the-future',
  title: 'A dead sandbox is dated after the living one',
  severity: 'error',
  says: 'by its date a dead sandbox is the newest of its pod; kubelet up to 1.34 kills the living one and loops',
  explanation: `The runtime dates a sandbox with the wall clock of the moment. When a node boots with its clock behind
(a board without an RTC battery, an empty CMOS battery), the sandboxes of the last boot are dated in the future.

kubelet up to 1.34 sorts the sandboxes of a pod by that date. It takes the dead one for the newest, kills the sandbox
that it has just made, asks for the same attempt again and is refused: \`name … is reserved for …\`. **The id in that
error is not the ghost**: it is the new sandbox. Removing it changes nothing; removing the old one ends the loop.

kubelet from 1.35 on sorts by attempt; for it the order is harmless, though garbage collection still sorts by date.`,
  evidence: "the node's clock, both dates and attempts, kubelet's version, the error",
  remedy: {
    tier: 'safe',
    text: 'Put the clock right; remove exactly the sandboxes that sort before a living one.',
  },
  sources: [
    'kubelet ≤ 1.34 pkg/kubelet/kuberuntime/helpers.go podSandboxByCreated; kubernetes PR 130551 (1.35)',
    'kubernetes issues 127948, 126514, 93064; containerd issues 9459, 10842',
    'reproduced: kubelet 1.34.9 with containerd 1.7.24, clock two hours behind',
  ],
  needs: (facts) => ['node', 'sandboxes', 'containers', 'kubelet', 'kubeletLog', ...ofBlocked(facts)],
  examine: (facts) => [
    ...ghostFindings(facts, 'SW102', (ghost, cure) => whyOf(ghost, cure, facts)),
    ...harmless(facts),
  ],
};

function whyOf(ghost: Ghost, cure: Cure, facts: Facts): string {
  const kubelet = describeKubelet(facts);
  const ahead = facts.node === undefined ? 0n : ghost.sandbox.createdAtNs - facts.node.wallNs;
  const dated = ahead > 0n ? `it is dated ${describeDuration(ahead)} after now` : 'it is dated after a newer attempt';
  if (cure.onlyPerhaps) {
    return `${dated.replace(/^it/, 'This dead sandbox')}; a kubelet up to 1.34 would take it for the newest and loop.`;
  }
  return (
    `${kubelet} goes by creation date and takes this dead sandbox for the newest, because ${dated}; ` +
    'each new sandbox of the pod is killed and its name asked for again.'
  );
}

/** From 1.35 on: nothing is blocked, but kubelet's garbage collection keeps the wrong one. */
function harmless(facts: Facts): Finding[] {
  if (facts.orders.length !== 1 || facts.orders[0] !== 'by-attempt') return [];
  const odd = [...facts.pods.values()].flatMap((view) => outOfOrder(view, facts.node));
  const first = odd[0];
  if (first === undefined) return [];
  return [
    {
      code: 'SW102',
      severity: 'info',
      object: { kind: 'node', name: 'sandboxes' },
      why:
        `${odd.length} dead ${odd.length === 1 ? 'sandbox is' : 'sandboxes are'} dated after newer ones. ` +
        `${describeKubelet(facts)} goes by attempt, so nothing is blocked; its garbage collection keeps them longer.`,
      evidence: [{ source: 'sandboxes', text: `${describeSandbox(first)} was made ${describeCreation(first, facts)}` }],
      remedy: { tier: 'none', text: "nothing to do; put the node's clock right", noCommand: 'nothing is blocked' },
      pods: [],
    },
  ];
}
