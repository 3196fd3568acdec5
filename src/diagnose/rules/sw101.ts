import { describeKubelet, ghostFindings } from '../ghost-finding.ts';
import { ofBlocked } from '../needs.ts';
import type { Rule } from '../rule.ts';

/** SW101: a dead sandbox holds the very name kubelet asks for. */
export const sw101: Rule = {
  code: 'SW101',
  name: 'ghost-holds-name',
  title: 'A dead sandbox holds the name that kubelet asks for',
  severity: 'error',
  says: 'a NotReady leftover of an earlier boot holds the name kubelet asks for',
  explanation: `The runtime keeps a name for each pod sandbox: pod, namespace, uid and attempt. The name is given back
only when the sandbox is *removed*; a sandbox that lost its processes in a power cut comes back NotReady and still holds
it.

Normally that is harmless, because kubelet asks for the next attempt. Here it asks for the very attempt that the dead
sandbox holds, is refused, and will be refused for as long as the sandbox is listed.

NotReady alone is no fault: SW108 counts those that block nothing.`,
  evidence: 'the error with both ids, the sandbox, its date and its siblings',
  remedy: { tier: 'safe', text: 'Remove exactly this sandbox; kubelet tries again within 15 s.' },
  sources: [
    'containerd internal/cri/server/sandbox_run.go RunPodSandbox, internal/registrar/registrar.go Reserve',
    'kubelet pkg/kubelet/kuberuntime/util/util.go PodSandboxChanged',
  ],
  needs: (facts) => ['node', 'sandboxes', 'containers', 'kubelet', 'kubeletLog', ...ofBlocked(facts)],
  examine: (facts) =>
    ghostFindings(
      facts,
      'SW101',
      () =>
        `${describeKubelet(facts)} asks for a sandbox whose name this dead one still holds; ` +
        'the runtime refuses it until this one is removed.',
    ),
};
