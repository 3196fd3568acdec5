import type { Evidence, Finding } from '../../model/finding.ts';
import { limits } from '../../model/limits.ts';
import { valueOr } from '../../model/observed.ts';
import type { ChangeBranch, SandboxChange } from '../../model/records.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import { cgroupOf, describeStops, isLoop, stopsOf, treeOf } from '../cgroup-facts.ts';
import type { Facts } from '../facts.ts';
import { refusalsOf } from '../refusals.ts';
import type { Rule } from '../rule.ts';
import { isCurrent } from '../time.ts';
import type { PodView } from '../views.ts';
import { times } from '../words.ts';

/** SW601: which branch of its own rule kubelet goes. */
export const sw601: Rule = {
  code: 'SW601',
  name: 'sandbox-changed',
  title: 'kubelet makes the sandbox of a pod anew, again and again',
  severity: 'error',
  says: "which branch of kubelet's rule makes the sandbox of a pod anew: no event and, for one, no log line says it",
  explanation: `\`Pod sandbox changed, it will be killed and re-created\` is the end of one of six branches:

- no sandbox at all (a new pod: no such event);
- several sandboxes are ready;
- the newest is not ready: **once after any reboot this is normal**; otherwise the pause process died or was stopped;
- the network mode of the pod is another than its sandbox's;
- the sandbox has no address;
- the pod's cgroup is missing or lacks a controller. Only this one is not logged: kubelet stops the healthy containers
  and the sandbox, and finds in its next sync that the newest sandbox is not ready.

So a stop that no probe, deletion, eviction or changed sandbox explains, and that \`No ready sandbox for pod can be
found\` follows, is the last branch. kubelet's log tells this at its usual verbosity, 2.

\`sandwarden explain pod NAMESPACE/NAME\` replays the rule over what is there now.`,
  evidence: "kubelet's lines, how often and since when, what of the cgroup is missing now",
  remedy: { tier: 'none', text: 'By branch; for the cgroup see SW501.' },
  sources: [
    'kubelet pkg/kubelet/kuberuntime/util/util.go PodSandboxChanged (1.20 to 1.36), pkg/kubelet/kubelet.go SyncPod',
    'recorded: kubelet 1.36.2, containerd 1.7.24 with SystemdCgroup=false',
  ],
  needs: ['node', 'sandboxes', 'kubeletLog'],
  examine: (facts) => [...facts.pods.values()].flatMap((view) => silentStops(facts, view) ?? loudChanges(facts, view)),
};

/** The branch that kubelet does not log. */
function silentStops(facts: Facts, view: PodView): Finding[] | undefined {
  const stops = stopsOf(facts, view);
  if (stops === undefined || view.wanted.wants !== 'yes') return undefined;
  const name = describePod(view);
  return [
    {
      code: 'SW601',
      severity: isLoop(stops) ? 'error' : 'info',
      object: { kind: 'pod', name, id: view.uid },
      why: isLoop(stops)
        ? 'kubelet stops its healthy containers and makes its sandbox anew, again and again, and does not say why: ' +
          'so it does for a missing cgroup alone.'
        : 'kubelet stopped its containers once and made its sandbox anew without saying why, as it does where the ' +
          'cgroup lacks something.',
      evidence: [{ source: 'kubeletLog', text: describeStops(stops), at: stops.last }, ...cgroupNow(facts, view)],
      remedy: {
        tier: 'none',
        text: 'keep the controllers of its cgroup; this tells what takes them away',
        command: shellLine('sandwarden', 'explain', 'pod', name),
      },
      pods: [name],
    },
  ];
}

function cgroupNow(facts: Facts, view: PodView): Evidence[] {
  const tree = treeOf(facts);
  if (tree === undefined) return [];
  const missing = cgroupOf(tree, view.uid)?.missing ?? ['its directory'];
  const text = missing.length > 0 ? `now it lacks ${missing.join(' and ')}` : 'at this moment nothing is missing';
  return [{ source: 'cgroups', text }];
}

/** What kubelet says itself, where it says it again and again of a pod that runs otherwise. */
function loudChanges(facts: Facts, view: PodView): Finding[] {
  const { node } = facts;
  const log = valueOr(facts.snapshot.kubeletLog, undefined);
  // A name that is refused (SW1xx) has its own explanation, and many of these lines.
  const isRefused = refusalsOf(facts.snapshot).some((each) => each.asked.uid === view.uid) || view.errors.length > 0;
  if (node === undefined || view.wanted.wants !== 'yes' || isRefused) return [];
  const changes = (log?.sandboxChanges ?? []).filter(
    ({ pod, branch, count, last }) =>
      pod.namespace === view.namespace &&
      pod.name === view.name &&
      branch !== 'none' &&
      count >= 3 &&
      isCurrent(last, node, limits.errorCurrentForMs),
  );
  return changes.slice(0, 1).map((change) => loud(change, view));
}

function loud(change: SandboxChange, view: PodView): Finding {
  return {
    code: 'SW601',
    severity: 'warning',
    object: { kind: 'pod', name: describePod(view), id: view.uid },
    why: `kubelet makes its sandbox anew, again and again: ${branchWords[change.branch]}.`,
    evidence: [{ source: 'kubeletLog', text: `said ${times(change.count)}`, at: change.last }],
    remedy: {
      tier: 'none',
      text: branchRemedies[change.branch],
      command: shellLine('sandwarden', 'explain', 'pod', describePod(view)),
    },
    pods: [describePod(view)],
  };
}

/** What each branch says, in plain words. */
export const branchWords: Readonly<Record<ChangeBranch, string>> = {
  none: 'it has no sandbox',
  'several-ready': 'several of its sandboxes are ready at once',
  'newest-not-ready': 'the newest of its sandboxes is not ready',
  'network-mode': "the network mode of its sandbox is another than the pod's",
  'no-address': 'its sandbox has no address',
};

const branchRemedies: Readonly<Record<ChangeBranch, string>> = {
  none: 'nothing to do',
  'several-ready': 'kubelet stops all and makes one; if it goes on, two kubelets share this runtime',
  'newest-not-ready': "find what stops its pause process: the runtime's log, the kernel's out-of-memory killer",
  'network-mode': 'delete the pod; its controller makes it anew',
  'no-address': 'look at the CNI plugin: the sandbox was made without a result of it',
};
