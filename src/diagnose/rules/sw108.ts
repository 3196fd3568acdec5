import { describeSandbox } from '../../model/sandbox.ts';
import type { Rule } from '../rule.ts';

/** SW108: NotReady is not broken. */
export const sw108: Rule = {
  code: 'SW108',
  name: 'notready-is-normal',
  title: 'NotReady sandboxes that block nothing',
  severity: 'info',
  says: 'NotReady sandboxes that block nothing, and why each is kept',
  explanation: `After any reboot, clean or not, each sandbox of the last boot is NotReady: its processes are gone.
kubelet makes the next attempt beside it and removes the old one once it holds no containers. A finished pod (a Job)
keeps its sandbox for as long as the pod exists: the container records in it are what \`kubectl logs\` reads.

Removing all NotReady sandboxes, as scripts on the web do, destroys those logs and can make a Job run twice.`,
  evidence: 'the count by reason, the sandboxes',
  remedy: { tier: 'none', text: 'Nothing to do.' },
  sources: [
    'kubelet pkg/kubelet/kuberuntime/kuberuntime_gc.go evictSandboxes (keeps the newest of each pod)',
    'k3s issue 11139, containerd issue 10865',
  ],
  needs: ['sandboxes', 'containers', 'kubelet'],
  examine: (facts) => {
    if (facts.kept.length === 0) return [];
    const byReason = Map.groupBy(facts.kept, (each) => each.reason);
    return [
      {
        code: 'SW108',
        severity: 'info',
        object: { kind: 'node', name: 'sandboxes' },
        why:
          `${facts.kept.length} NotReady ${facts.kept.length === 1 ? 'sandbox blocks' : 'sandboxes block'} nothing ` +
          'and must stay.',
        evidence: [...byReason].map(([reason, kept]) => ({
          source: 'sandboxes' as const,
          text: `${listed(kept.map((each) => describeSandbox(each.sandbox)))}: ${reason}`,
        })),
        remedy: { tier: 'none', text: 'nothing to do', noCommand: 'nothing is wrong' },
        pods: [],
      },
    ];
  },
};

/** The first few names and how many more. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(', ');
  return names.length > 5 ? `${shown} and ${names.length - 5} more` : shown;
}
