import type { OddCgroup } from '../../model/cgroups.ts';
import type { Finding, Remedy } from '../../model/finding.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import { describeStops, isLoop, lastPart, stopsOf } from '../cgroup-facts.ts';
import { isRunc, liveSettings } from '../config/drivers.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';
import type { PodView } from '../views.ts';
import { sw503 } from './sw503.ts';

/** SW510: the containers run, and not where kubelet has put their pod. */
export const sw510: Rule = {
  code: 'SW510',
  name: 'outside-the-slice',
  title: 'The processes of a pod run outside its slice',
  severity: 'error',
  says: 'the processes of a pod run in a directory named `….slice:cri-containerd:<id>`, outside the slice of the pod',
  explanation: `kubelet with \`cgroupDriver: systemd\` tells the runtime the pod's slice, and the runtime hands
\`<slice>:cri-containerd:<id>\` on to runc. With \`SystemdCgroup = true\` runc asks systemd for a scope in that slice.
With \`false\` (the default of containerd) it takes the words for the name of a directory and makes it beside its own
cgroup: a directory with colons in its name.

The pods start and run, but no limit of theirs applies to them, and their slices stay empty. On cgroup v2 systemd then
takes cpuset away from the empty slices, and kubelet kills the pods again and again (SW501).`,
  evidence: 'the directory, the processes in it',
  remedy: {
    tier: 'disruptive',
    text: 'Set SystemdCgroup = true for this runtime handler, restart the runtime, then kubelet; re-create the pods.',
  },
  sources: [
    'containerd internal/cri/server/podsandbox/helpers_linux.go getCgroupsPath; runc cgroups/fs2/defaultpath.go',
    'containerd issue 7276; kubernetes issues 110177, 111776',
    'reproduced: kubelet 1.36.2 (systemd), containerd 1.7.24 with SystemdCgroup=false',
  ],
  needs: ['cgroups'],
  examine: (facts) => {
    const { cgroups } = facts.snapshot;
    const odd = cgroups?.known ? cgroups.value.odd : [];
    const occupied = odd.filter((each) => each.processes.length > 0);
    return [...Map.groupBy(occupied, (each) => each.uid ?? '')].flatMap(([uid, group]) => findingOf(facts, uid, group));
  },
};

function findingOf(facts: Facts, uid: string, group: readonly OddCgroup[]): Finding[] {
  const view = facts.pods.get(uid);
  const [first] = group;
  if (first === undefined) return [];
  const stops = view && stopsOf(facts, view);
  const processes = group.flatMap((each) => each.processes);
  const count = processes.length === 1 ? 'A process' : `${processes.length} processes`;
  return [
    {
      code: 'SW510',
      severity: isLoop(stops) ? 'error' : 'warning',
      object: { kind: 'pod', name: view === undefined ? lastPart(first.path) : describePod(view), id: uid },
      why:
        `${count} of this pod ${processes.length === 1 ? 'runs' : 'run'} outside its slice, where runc ` +
        'puts it without SystemdCgroup: no limit applies, and systemd takes controllers of the empty slice away.',
      evidence: [
        ...group.map((each) => ({
          source: 'cgroups' as const,
          text: `${each.path}: ${each.processes.map(({ pid, comm }) => `pid ${pid} (${comm || 'gone'})`).join(', ')}`,
        })),
        ...(stops === undefined ? [] : [{ source: 'kubeletLog' as const, text: describeStops(stops), at: stops.last }]),
      ],
      remedy: remedyOf(facts, view),
      pods: view === undefined ? [] : [describePod(view)],
    },
  ];
}

/** What mends the runtime's handler; where that is right by now, what is left is of before and goes with its pod. */
function remedyOf(facts: Facts, view: PodView | undefined): Remedy {
  const mending = sw503.examine(facts).find((each) => each.remedy.command !== undefined)?.remedy.command;
  const tier = 'disruptive';
  if (mending !== undefined) {
    return { tier, text: 'mend its runtime handler (SW503), then re-create the pod', command: mending };
  }
  const text = 'set SystemdCgroup = true for the runtime, restart it, then kubelet; re-create the pod';
  const handlers = liveSettings(facts)?.handlers.filter(isRunc) ?? [];
  if (handlers.length === 0) return { tier, text, noCommand: 'what is in force for the runtime was not seen' };
  if (view === undefined || handlers.some((each) => !each.systemdCgroup)) {
    return { tier, text, noCommand: 'SW503 says what its configuration needs, where it is found' };
  }
  return {
    tier,
    text: 'the runtime is right by now: delete the pod, and its controller makes it anew',
    command: shellLine('kubectl', '-n', view.namespace, 'delete', 'pod', view.name),
  };
}
