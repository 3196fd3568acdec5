import type { Finding } from '../../model/finding.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import {
  describeStops,
  isAnchored,
  isEmpty,
  isLoop,
  lastPart,
  type PodInTree,
  podsInTree,
  treeOf,
} from '../cgroup-facts.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';

/** SW508: a pod that runs, in a slice that nobody is in. */
export const sw508: Rule = {
  code: 'SW508',
  name: 'empty-pod-slice',
  title: 'A running pod has nothing in its slice',
  severity: 'error',
  says: "nothing of a running pod is in its slice, so systemd has no reason to keep the slice's controllers",
  explanation: `kubelet makes a slice for each pod and expects the runtime to put the containers there. A runtime that
runs pods in virtual machines may leave it empty: nothing on the host is to be limited.

systemd gives each slice the controllers that the units below it ask for. kubelet's slices ask for cpu, memory and pids;
cpuset is only asked for by a **delegated scope**, which is what runc makes. Without one, systemd takes cpuset away
whenever it looks at the slice: when kubelet updates its QoS classes (each minute), when a unit comes or goes, at a
daemon-reload. kubelet puts it back when it makes a pod, and kills the pod when it looks in between (SW501).

A systemd before 244 does not manage cpuset and leaves it where it is: such a slice may stay empty, and what takes a
controller away there is something else.

On a busy node the scopes of other pods in the same QoS class hide it (SW509).`,
  evidence: 'the slice, its `populated 0`, the handler of the sandbox',
  remedy: {
    tier: 'disruptive',
    text: 'Hold the slice, or its whole QoS class, with an anchor: a delegated scope with one living process.',
  },
  sources: [
    'systemd src/core/cgroup.c unit_get_own_mask, unit_get_delegate_mask',
    'kubernetes issue 131567',
    'reproduced: one delegated scope keeps every controller through set-property and daemon-reload',
  ],
  needs: ['sandboxes', 'containers', 'cgroups'],
  examine: (facts) =>
    emptyPods(facts).map((pod) => (treeOf(facts)?.systemdCpuset === false ? leftAlone(pod) : findingOf(pod))),
};

/** The running pods whose slice holds nothing and is held by no anchor, where systemd owns the slices. */
export function emptyPods(facts: Facts): PodInTree[] {
  const tree = treeOf(facts);
  if (tree?.mode !== 'v2') return [];
  // A pod whose name is refused is killed and made anew all the time: its slice is empty in between.
  const refused = new Set(facts.cures.map((cure) => cure.view.uid));
  return podsInTree(facts).filter(
    ({ view, cgroup, runs, settled, outside }) =>
      !refused.has(view.uid) &&
      view.errors.length === 0 &&
      runs &&
      settled &&
      outside.length === 0 &&
      cgroup?.driver === 'systemd' &&
      isEmpty(cgroup) &&
      !isAnchored(tree, cgroup),
  );
}

/** Where systemd has nothing to do with cpuset: told, since a newer systemd would; no reason to act. */
function leftAlone(pod: PodInTree): Finding {
  return {
    ...findingOf(pod),
    severity: 'info',
    why:
      'Nothing of this running pod is in its slice. This systemd does not manage cpuset (244 and newer do) and ' +
      'leaves it where it is.',
    remedy: {
      tier: 'none',
      text: 'nothing to do; where controllers go all the same, see who takes them',
      command: 'sandwarden watch controllers',
    },
  };
}

function findingOf({ view, cgroup, stops }: PodInTree): Finding {
  const name = describePod(view);
  const handler = view.sandboxes.find((each) => each.ready)?.runtimeHandler ?? '';
  return {
    code: 'SW508',
    severity: isLoop(stops) ? 'error' : 'warning',
    object: { kind: 'pod', name, id: view.uid },
    why:
      'Nothing of this running pod is in its slice, so systemd may take cpuset away from it at any time; ' +
      'kubelet then kills the pod.',
    evidence: [
      { source: 'cgroups', text: `${cgroup?.path}: populated 0, no scope in it` },
      { source: 'sandboxes', text: `runtime handler: ${handler || 'the default one'}` },
      ...(stops === undefined ? [] : [{ source: 'kubeletLog' as const, text: describeStops(stops), at: stops.last }]),
    ],
    remedy: {
      tier: 'disruptive',
      text: 'hold its slice with an anchor, a delegated scope with one process; or those of all pods (--node)',
      command: shellLine('sandwarden', 'anchor', '--slice', lastPart(cgroup?.path ?? '')),
    },
    pods: [name],
  };
}
