import { limits } from '../../model/limits.ts';
import type { Rule } from '../rule.ts';
import { countsInWords, type Stalls, stallsOf, thousands } from '../stall-facts.ts';
import { describeDuration } from '../time.ts';

/** SW402: the kernel reports stalls. */
export const sw402: Rule = {
  code: 'SW402',
  name: 'rcu-stalls',
  title: 'The kernel stalls',
  severity: 'warning',
  says: 'the kernel reports RCU (expedited) stalls, lock-ups or hung tasks; rate, trend and tasks',
  explanation: `RCU is how the kernel waits until no processor looks at old data any more. A *stall* means that a
processor or a task kept it waiting for longer than it should: 21 s for a normal grace period, far less for an
*expedited* one, which the making and ending of namespaces and network interfaces asks for. One stall under load is no
illness. Many of them, hour after hour, mean that the kernel does not come around: softirqs wait, the network stops
answering, and a node can look dead while it still runs.

Candidates, in the order in which they are worth a look: container churn (SW401), a disk or an NFS server that does not
answer (hung tasks), too little power on small boards, a driver. The tasks that the kernel names in the dump of a stall
tell them apart: \`runc:[2:INIT]\` and shims for churn, \`kworker\` of a file system for the disk.`,
  evidence: "the kernel's own lines by kind, the rate and its trend, the tasks in the dumps",
  remedy: { tier: 'none', text: 'By cause: SW401 where containers churn, else the disk, the power, the driver.' },
  sources: [
    'Linux kernel/rcu/tree_stall.h, tree_exp.h, tasks.h; kernel/watchdog.c; kernel/hung_task.c',
    'Linux Documentation/RCU/stallwarn.rst',
  ],
  needs: ['node', 'kernelLog'],
  examine: (facts) => {
    const stalls = stallsOf(facts);
    if (stalls === undefined || facts.node === undefined) return [];
    const { troubles, total, last, log } = stalls;
    const grave = stalls.isCurrent && (stalls.hasLockup || total >= limits.stallsWorthWarning);
    const ago = facts.node.uptimeNs - (last.monotonicUs ?? 0n) * 1_000n;
    return [
      {
        code: 'SW402',
        severity: grave ? 'warning' : 'info',
        object: { kind: 'node', name: 'kernel' },
        why:
          `The kernel reported ${countsInWords(troubles)} in this boot, the last one ` +
          `${describeDuration(ago)} ago${rateOf(stalls)}.`,
        evidence: [
          ...troubles.map((each) => ({
            source: 'kernelLog' as const,
            text: `${thousands(each.count)} × ${each.text}`,
            at: each.last,
          })),
          ...(log.tasks.length === 0
            ? []
            : [{ source: 'kernelLog' as const, text: `tasks in the dumps: ${tasksOf(stalls)}` }]),
          ...(log.lost === 0
            ? []
            : [{ source: 'kernelLog' as const, text: 'older lines were overwritten: there may have been more' }]),
        ],
        remedy: {
          tier: 'none',
          text: 'see which tasks the kernel names, and what it did before',
          command: 'journalctl -k -b --grep "stall|lockup|blocked for more"',
        },
        pods: [],
      },
    ];
  },
};

/** `runc:[2:INIT] (31), containerd-shim (4)`. */
export function tasksOf({ log }: Stalls): string {
  return log.tasks.map(({ task, count }) => `${task} (${count})`).join(', ');
}

function rateOf({ total, perHour, trend }: Stalls): string {
  if (total < limits.stallsWorthWarning) return '';
  const words = { rising: ' and rising', falling: ' and falling', steady: ', steady', new: '' } as const;
  return `; ${perHour < 10 ? perHour.toFixed(1) : thousands(perHour)} an hour${words[trend]}`;
}
