import { describeKubelet, ghostFindings } from '../ghost-finding.ts';
import { ofBlocked } from '../needs.ts';
import type { Rule } from '../rule.ts';

/** SW104: a sandbox that was never finished holds a name. */
export const sw104: Rule = {
  code: 'SW104',
  name: 'half-created',
  title: 'A half-created sandbox holds a name',
  severity: 'error',
  says: 'creating the sandbox failed and so did cleaning it up: it has no valid date and holds its name',
  explanation: `When CNI ADD fails, the runtime cleans up with CNI DEL. When that fails too it keeps the sandbox in
state unknown: it is listed NotReady with a creation time of zero or less (CRI demands more than 0) and holds its name
until it is removed.

Sorted by date it comes last, so kubelet up to 1.34 may ask for its attempt again and be refused. containerd 1.7 lists
it with its real date: then it is the newest, kubelet asks for the next attempt, and nothing is blocked.`,
  evidence: 'the creation time, the error that asks for the name, the CNI errors',
  remedy: { tier: 'safe', text: 'Mend CNI, then remove the sandbox (removing it calls CNI DEL again).' },
  sources: [
    'containerd internal/cri/server/sandbox_run.go (cleanupErr)',
    'seen on 1.6.20 (createdAt -6795364578871345152), 1.7.24 (real date), 2.1.9 (nothing is left of a failed one)',
  ],
  needs: (facts) => ['node', 'sandboxes', 'containers', 'kubelet', 'kubeletLog', ...ofBlocked(facts)],
  examine: (facts) =>
    ghostFindings(
      facts,
      'SW104',
      () =>
        'Creating this sandbox failed and so did cleaning it up: it has no valid date, ' +
        `and ${describeKubelet(facts)} asks for the name that it holds.`,
    ),
};
