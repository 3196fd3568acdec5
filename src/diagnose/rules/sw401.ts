import { limits } from '../../model/limits.ts';
import { valueOr } from '../../model/observed.ts';
import { shellLine } from '../../model/shell-word.ts';
import type { Rule } from '../rule.ts';
import { type CrashLoop, churnOf, loopingPods } from '../storm-facts.ts';
import { plural } from '../words.ts';

/** SW401: crash loops create containers far above what the node usually creates. */
export const sw401: Rule = {
  code: 'SW401',
  name: 'crash-loop-storm',
  title: 'Crash-looping pods churn the node',
  severity: 'warning',
  says: "container creations a minute far above the node's usual, and which pods make them",
  explanation: `Each start of a container is work for the kernel: namespaces, cgroups, mounts, a process
\`runc:[2:INIT]\`, and network interfaces where the sandbox is made anew. One pod in CrashLoopBackOff costs little:
kubelet waits 10 s, then twice as long each time, up to 5 min. Eight of them with several containers each, around the
clock, do not; on small boards such churn goes together with RCU stalls (SW402), and a node that stalls for long can
freeze.

The rate is read from CRI's events of the last five minutes (containerd 2.0 and later: an earlier one would give
each event to one listener alone, and kubelet may be another), else from the runtime's log, else from the
attempts and dates of the containers that CRI lists, else from kubelet's back-offs. It is compared with what
containers that do **not** loop were made in a usual minute of the same boot (the median; without the first
${limits.stormStartMs / 60_000} min once there are others): that is the node's own normal, and neither a storm of two
days nor the start of all pods after a reboot becomes it. From ${limits.stormPerMinute} creations a minute on, and
${limits.stormTimesNormal} times the normal, it is a storm. Below that three or more looping pods are told of as
information.

A pod that kubelet kills and makes anew (SW102, SW501) loops too, though nothing of it crashes: its containers are
counted over all its sandboxes, where the runtime's log tells whose they were.`,
  evidence: 'the rate of each container with its attempt, what is created besides, processes runc:[2:INIT]',
  remedy: { tier: 'none', text: 'By cause: what the pods end of. Mend that, and the churn ends with it.' },
  sources: [
    'kubelet kuberuntime_manager.go doBackOff; kubelet.go MaxContainerBackOff, backOffPeriod (10 s to 5 min)',
    'containerd internal/cri/instrument: CreateContainer … returns container id, RunPodSandbox … returns sandbox id',
    'containerd internal/eventq, pull request 9661',
  ],
  needs: ['node', 'sandboxes', 'containers', 'kubeletLog', 'runtimeLog'],
  examine: (facts) => {
    const { loops, perMinute, normalPerMinute, isStorm } = churnOf(facts);
    const pods = loopingPods(loops);
    if (!isStorm && pods.length < limits.loopCreations) return [];
    const processes = valueOr(facts.snapshot.processes, undefined)?.holders ?? [];
    const inits = processes.filter((each) => each.comm.startsWith('runc:['));
    const worst = loops.find((each) => each.sandboxes === undefined);
    return [
      {
        code: 'SW401',
        severity: isStorm ? 'warning' : 'info',
        object: { kind: 'node', name: 'container creations' },
        why: isStorm
          ? `${who(loops)} and ${pods.length === 1 ? 'makes' : 'make'} ${rate(perMinute)} containers a minute; ` +
            `besides them this node makes ${rate(normalPerMinute)} in a usual minute.`
          : `${who(loops).replace(/,$/, '')}, ${rate(perMinute)} containers a minute: no storm yet.`,
        evidence: [
          ...loops.slice(0, 12).map((each) => ({ source: each.from, text: describe(each) })),
          ...(inits.length === 0
            ? []
            : [{ source: 'processes' as const, text: `${inits.length} × runc:[2:INIT] at this moment` }]),
        ],
        remedy:
          worst === undefined
            ? {
                tier: 'none',
                text: 'see why kubelet kills them, and mend that first',
                noCommand: 'what mends them is with the finding of why kubelet kills them',
              }
            : {
                tier: 'none',
                text: 'see what they end of, and mend that first',
                command: shellLine('crictl', 'ps', '-a', '--name', `^${worst.container}$`),
              },
        pods,
      },
    ];
  },
};

/** `8 pods crash-loop`; a pod that kubelet kills and makes anew does not crash. */
function who(loops: readonly CrashLoop[]): string {
  const anew = new Set(loopingPods(loops.filter((each) => each.sandboxes !== undefined)));
  const crashing = loopingPods(loops).filter((each) => !anew.has(each)).length;
  const killed = `${anew.size === 1 ? 'is' : 'are'} killed and made anew again and again,`;
  const crash = plural(crashing, 'pod crash-loops', 'pods crash-loop');
  if (anew.size === 0) return crash;
  return crashing === 0 ? `${plural(anew.size, 'pod', 'pods')} ${killed}` : `${crash}, ${anew.size} ${killed}`;
}

function describe({ pod, container, perMinute, attempt, from, sandboxes }: CrashLoop): string {
  const attempts = attempt === undefined ? '' : `, attempt ${attempt}`;
  const bound = from === 'kubeletLog' ? ' at most (by its back-off)' : '';
  const anew = sandboxes === undefined ? '' : `, in ${sandboxes} sandboxes one after another`;
  return `${pod} ${container}: ${rate(perMinute)} a minute${bound}${attempts}${anew}`;
}

function rate(perMinute: number): string {
  return perMinute >= 10 ? String(Math.round(perMinute)) : perMinute.toFixed(1).replace(/\.0$/, '');
}
