import type { CgroupFacts } from '../../model/cgroups.ts';
import { describePod } from '../../model/sandbox.ts';
import { holdersOf, lastPart, type PodInTree, parentOf, treeOf } from '../cgroup-facts.ts';
import type { Rule } from '../rule.ts';
import { emptyPods } from './sw508.ts';

/** SW509: why a node with an empty slice is quiet, until a neighbour goes. */
export const sw509: Rule = {
  code: 'SW509',
  name: 'held-up-by-neighbours',
  title: 'A pod keeps its controllers only thanks to its neighbours',
  severity: 'warning',
  says: 'a QoS slice keeps its controllers only because other pods have delegated scopes in it',
  explanation: `A delegated scope anywhere below a QoS slice keeps the slice's controllers, for all pods in it. So a pod
that has no scope of its own (SW508) lives in peace as long as a neighbour of its QoS class has one. When the last of
them goes (a node is drained, a DaemonSet moves to another class), systemd takes cpuset away, and kubelet kills the pod.

That is why such pods fail on quiet nodes and not on busy ones. With a systemd before 244, which does not manage cpuset,
nothing hangs on a neighbour.`,
  evidence: 'the slice, the scopes that hold it, the pods that hang on them',
  remedy: { tier: 'disruptive', text: 'Hold the QoS slice with a scope that does not go: an anchor.' },
  sources: ['systemd src/core/cgroup.c unit_get_members_mask', 'kubernetes issue 131567'],
  needs: ['sandboxes', 'containers', 'cgroups'],
  examine: (facts) => {
    const tree = treeOf(facts);
    // Before 244 systemd takes no cpuset away: nothing has to be held.
    if (tree === undefined || tree.systemdCpuset === false) return [];
    const hanging = emptyPods(facts).filter(({ cgroup }) => cgroup?.missing.length === 0);
    const bySlice = Map.groupBy(hanging, ({ cgroup }) => (cgroup && parentOf(tree, cgroup)?.path) ?? '');
    return [...bySlice].flatMap(([path, pods]) => findingOf(path, pods, tree));
  },
};

function findingOf(path: string, pods: readonly PodInTree[], tree: CgroupFacts) {
  const cgroup = pods[0]?.cgroup;
  if (cgroup === undefined || path === '') return [];
  const empty = new Set(pods.map((each) => each.cgroup?.path));
  const { neighbours, beside } = holdersOf(tree, cgroup);
  const others = neighbours.filter((scope) => !empty.has(scope.path.slice(0, scope.path.lastIndexOf('/'))));
  if (beside.length > 0 || others.length === 0) return [];
  const named = others.slice(0, 3).map((each) => each.path);
  const unsure = others.every((each) => each.delegated === undefined);
  return [
    {
      code: 'SW509',
      severity: 'warning' as const,
      object: { kind: 'node' as const, name: lastPart(path) },
      why:
        pods.length === 1
          ? 'A pod without a scope of its own keeps its controllers only as long as other pods of this slice run.'
          : `${pods.length} pods without scopes of their own keep their controllers only as long as others of this ` +
            'slice run.',
      evidence: [
        ...named.map((text) => ({ source: 'cgroups' as const, text: `held by ${text}` })),
        ...(unsure ? [{ source: 'cgroups' as const, text: 'systemd did not tell which of them are delegated' }] : []),
      ],
      remedy: {
        tier: 'disruptive' as const,
        text: 'hold it, for all of its pods, with a delegated unit and one process that does not go: an anchor',
        command: 'sandwarden anchor --node',
      },
      pods: pods.map((each) => describePod(each.view)),
    },
  ];
}
