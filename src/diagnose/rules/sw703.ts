import { valueOr } from '../../model/observed.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import type { Rule } from '../rule.ts';

/** SW703: the runtime says that its network is not ready. */
export const sw703: Rule = {
  code: 'SW703',
  name: 'network-not-ready',
  title: "The runtime's pod network is not ready",
  severity: 'error',
  says: 'the runtime reports NetworkReady=false: no pod with a network of its own can start or be removed',
  explanation: `The runtime loads the first CNI configuration of its folder. Without one, no pod network can be set up
or torn down: new pods wait, and dead sandboxes cannot be removed either (\`cni plugin not initialized\`).

containerd notices a file that is written into the folder, but not one that is moved into it.`,
  evidence: 'the condition, the status of the last load, the folder',
  remedy: { tier: 'none', text: 'Bring the CNI plugin up; its DaemonSet writes the configuration.' },
  sources: ['containerd internal/cri/server/status.go, cni_conf_syncer.go'],
  needs: ['runtime'],
  examine: (facts) => {
    const runtime = valueOr(facts.snapshot.runtime, undefined);
    if (runtime === undefined || runtime.networkReady) return [];
    const waiting = [...facts.pods.values()].filter(
      (view) => view.wanted.wants === 'yes' && !view.sandboxes.some((each) => each.ready),
    );
    const load = runtime.lastCniLoadStatus;
    return [
      {
        code: 'SW703',
        severity: 'error',
        object: { kind: 'network', name: runtime.cniConfDir ?? 'CNI' },
        why: 'The runtime has no working CNI configuration: pods with a network of their own neither start nor go.',
        evidence: [
          { source: 'runtime', text: `NetworkReady is false: ${runtime.networkMessage}` },
          ...(load === undefined || load === 'OK'
            ? []
            : [{ source: 'runtime' as const, text: `last load of the CNI configuration: ${load}` }]),
        ],
        remedy: {
          tier: 'none',
          text: 'bring the CNI plugin up',
          command: shellLine('ls', '-l', runtime.cniConfDir ?? '/etc/cni/net.d'),
        },
        pods: waiting.map(describePod),
      },
    ];
  },
};
