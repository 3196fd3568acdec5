import { limits } from '../../model/limits.ts';
import { valueOr } from '../../model/observed.ts';
import type { Rule } from '../rule.ts';

/** SW702: the runtime answers, slowly. */
export const sw702: Rule = {
  code: 'SW702',
  name: 'runtime-slow',
  title: 'The container runtime is slow',
  severity: 'error',
  says: "calls take seconds; near kubelet's deadlines requests are given up and names stay held",
  explanation: `kubelet gives most calls two minutes and RunPodSandbox four. A runtime that needs seconds for a listing
is short of disk or CPU, or waits for something that hangs. When calls pass their deadline kubelet asks again while the
first request still runs, and the name is held (SW103).`,
  evidence: 'the time each call took, processes in state D',
  remedy: { tier: 'none', text: 'By cause: the disk, the CPU, a mount that hangs.' },
  sources: ['kubelet cri-client remote_runtime.go; containerd issues 4604, 9947'],
  needs: ['runtime'],
  examine: (facts) => {
    const runtime = valueOr(facts.snapshot.runtime, undefined);
    if (runtime === undefined) return [];
    const slow = Object.entries(runtime.latencyMs)
      .filter(([, ms]) => ms >= limits.criSlowMs)
      .sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
    const worst = slow[0];
    if (worst === undefined) return [];
    const stuck = (valueOr(facts.snapshot.processes, undefined)?.holders ?? []).filter((each) => each.state === 'D');
    return [
      {
        code: 'SW702',
        severity: worst[1] >= limits.criVerySlowMs ? 'error' : 'warning',
        object: { kind: 'runtime', name: runtime.name },
        why: `${worst[0]} took ${seconds(worst[1])}; requests that pass kubelet's deadline leave names held.`,
        evidence: [
          { source: 'runtime', text: slow.map(([call, ms]) => `${call} ${seconds(ms)}`).join(', ') },
          ...stuck.map((each) => ({
            source: 'processes' as const,
            text: `${each.comm} (pid ${each.pid}) is in state D: it waits for a disk or a mount`,
          })),
        ],
        remedy: { tier: 'none', text: 'look at the disk and the load first', command: 'cat /proc/pressure/io' },
        pods: [],
      },
    ];
  },
};

function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(1)} s`;
}
