import type { CgroupFacts } from '../../model/cgroups.ts';
import type { Evidence, Finding } from '../../model/finding.ts';
import { limits } from '../../model/limits.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import { describeStops, isLoop, lastPart, type PodInTree, podsInTree, treeOf } from '../cgroup-facts.ts';
import { rootCgroupFinding } from '../root-cgroup.ts';
import type { Rule } from '../rule.ts';

/** SW501: what kubelet checks in each sync of a pod, and logs nothing about. */
export const sw501: Rule = {
  code: 'SW501',
  name: 'controllers-missing',
  title: 'The cgroup of a pod lacks a controller',
  severity: 'error',
  says: "a pod's cgroup lacks a controller that kubelet requires: in its next sync kubelet kills the pod, silently",
  explanation: `In each sync of a running pod (every 60 to 90 s, and whenever something of it changes) kubelet reads
\`cgroup.controllers\` of the pod's cgroup. Of cpu, cpuset, memory, hugetlb and pids, as far as the root has them, none
may be missing; where one is, the pod "does not exist" for it: it stops the containers and every sandbox of the pod and
makes them anew. **Nothing is logged**, at no verbosity; the events say \`Killing\` and, a moment later,
\`SandboxChanged\`.

A directory's \`cgroup.controllers\` is its parent's \`cgroup.subtree_control\`, so what is lost is lost at a slice
above the pod, and for all pods of that slice at once. It is mostly cpuset, and systemd that takes it: systemd gives a
slice only what a unit below it asks for, and of a pod's units only a delegated scope asks for cpuset (SW508, SW510).

At its start kubelet looks at the cgroup above all pods in the same way, and ends where it lacks one: \`error validating
root container [kubepods] : cgroup ["kubepods"] has some missing controllers: cpuset\`, in versions up to 1.30
\`root container [kubepods] doesn't exist\`, which names none. That is the one place where its log tells. Once is
harmless: systemd stripped the new slice, and the next start works. Again and again means that the root of the tree does
not hand the controller down.`,
  evidence:
    'the controllers that are missing, the directory that does not hand them down, how often kubelet killed it, ' +
    "and kubelet's words where it ended at its start",
  remedy: { tier: 'none', text: 'By cause: SW510 (the runtime works outside the slice), SW508 (nothing is in it).' },
  sources: [
    'kubelet pkg/kubelet/cm/cgroup_v2_manager_linux.go Validate, pkg/kubelet/kubelet.go SyncPod',
    'systemd src/core/cgroup.c unit_get_enable_mask, src/basic/cgroup-util.c cg_enable_everywhere',
    'kubelet pkg/kubelet/cm/qos_container_manager_linux.go Start, container_manager_linux.go NewContainerManager',
    'kubernetes issues 128397, 131567, 122955; systemd issue 38547',
    'reproduced: kubelet 1.36.2, containerd 1.7.24 with SystemdCgroup=false, systemd 257',
  ],
  needs: ['node', 'sandboxes', 'cgroups', 'kubeletLog'],
  examine: (facts) => {
    const tree = treeOf(facts);
    const pods = tree === undefined ? [] : podsInTree(facts).flatMap((pod) => findingOf(pod, tree));
    return [...rootCgroupFinding(facts), ...pods];
  },
};

function findingOf(pod: PodInTree, tree: CgroupFacts): Finding[] {
  const lacks = pod.cgroup === undefined ? [] : pod.cgroup.missing;
  // A pod without a directory counts only where kubelet has directories of pods, and had the time to make this one.
  const gone = pod.cgroup === undefined && pod.settled && pod.runs && tree.pods.length > 0 && !tree.truncated;
  if (lacks.length === 0 && !gone) return [];
  const name = describePod(pod.view);
  const loop = isLoop(pod.stops);
  return [
    {
      code: 'SW501',
      severity: loop ? 'error' : 'warning',
      object: { kind: 'pod', name, id: pod.view.uid },
      why: `${whatLacks(pod)}: ${whatFollows(pod, loop)}.`,
      evidence: evidenceOf(pod, tree),
      remedy: {
        tier: 'none',
        text:
          pod.outside.length > 0
            ? 'let the runtime use the slice (SW510): put back by hand they go again'
            : 'find who takes them away; what is written there by hand is taken away again',
        command: shellLine('sandwarden', 'explain', 'pod', name),
      },
      pods: [name],
    },
  ];
}

function whatLacks({ cgroup }: PodInTree): string {
  if (cgroup === undefined) return 'The pod has no cgroup where kubelet looks for it';
  const where = cgroup.lostAt === undefined ? '' : `, because ${lastPart(cgroup.lostAt)} does not hand it down`;
  return `Its cgroup lacks ${cgroup.missing.join(' and ')}${where}`;
}

function whatFollows({ runs }: PodInTree, loop: boolean): string {
  const within = `within ${limits.podResyncMs / 1_000} s`;
  if (!runs) return `nothing of it runs now, but once a container does, kubelet kills it ${within} and says nothing`;
  return `kubelet kills it ${loop ? 'again ' : ''}in its next sync, ${within}, and says nothing`;
}

function evidenceOf({ cgroup, stops }: PodInTree, tree: CgroupFacts): Evidence[] {
  const lostAt = tree.slices.find((each) => each.path === cgroup?.lostAt);
  const evidence: Evidence[] = [];
  if (lostAt?.subtreeControl !== undefined) {
    const file = `${lostAt.path === '/' ? '' : lostAt.path}/cgroup.subtree_control`;
    evidence.push({ source: 'cgroups', text: `${file}: ${lostAt.subtreeControl.join(' ') || 'empty'}` });
  } else if (cgroup?.lostAt !== undefined) {
    evidence.push({ source: 'cgroups', text: `${cgroup.lostAt} has no directory ${cgroup.path}` });
  } else if (cgroup === undefined) {
    evidence.push({ source: 'cgroups', text: `none of the ${tree.pods.length} pod directories is its` });
  }
  evidence.push({ source: 'cgroups', text: `kubelet requires ${tree.required.join(', ')}` });
  if (stops !== undefined) evidence.push({ source: 'kubeletLog', text: describeStops(stops), at: stops.last });
  return evidence;
}
