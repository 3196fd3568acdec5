import type { Evidence, Finding } from '../../model/finding.ts';
import { describePod } from '../../model/sandbox.ts';
import { describeStops, isLoop } from '../cgroup-facts.ts';
import { betweenNs, describeParties, sliceName } from '../controller-fight.ts';
import { type Flap, flapsOf } from '../controller-flaps.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';
import { describeDuration } from '../time.ts';
import { times } from '../words.ts';

/** SW502: the fight itself, with those who fight. */
export const sw502: Rule = {
  code: 'SW502',
  name: 'controllers-flapping',
  title: 'A controller comes and goes',
  severity: 'error',
  says: 'a controller of a slice comes and goes: who takes it away, and who puts it back',
  explanation: `Two write to \`cgroup.subtree_control\` of the slices of pods, and each thinks that it is the only one.
systemd owns the slices: it gives them the controllers that the units below them ask for, and writes \`-cpuset\` where
none does, each time it looks at a slice again: when kubelet updates its QoS classes (each minute), when a unit comes or
goes, at a daemon-reload. kubelet and runc write \`+cpuset\` whenever they make a pod or a container.

A pod that kubelet looks at in between lacks the controller (SW501) and is killed. Nobody logs any of it. **Who** writes
is told by fanotify alone: \`sandwarden watch controllers\` shows it live, \`sandwarden check --watch 90s\` puts it into
a finding.

Where nobody watched, this finding rests on kubelet's log alone: the controller is missing now, and kubelet, which puts
it back each time, has stopped the same pods before. Then it names nobody.`,
  evidence: 'who took it and who put it back, with pid and unit, how often, and what the slice hands down now',
  remedy: {
    tier: 'none',
    text: 'By cause: SW503 and SW510 (the runtime works outside the slice), SW508 (it is empty).',
  },
  sources: [
    'systemd src/core/cgroup.c unit_get_enable_mask, src/basic/cgroup-util.c cg_enable_everywhere',
    'opencontainers/cgroups fs2/create.go CreateCgroupPath (kubelet and runc)',
    'kubernetes issues 122955, 131567; systemd issue 38547',
    'reproduced: kubelet 1.36.2, containerd 1.7.24 with SystemdCgroup=false, systemd 257, watched by fanotify',
  ],
  needs: ['node', 'sandboxes', 'cgroups', 'kubeletLog'],
  examine: (facts) => flapsOf(facts).map((flap) => findingOf(flap, facts)),
};

function findingOf(flap: Flap, facts: Facts): Finding {
  const pods = flap.pods.map(({ view }) => describePod(view)).sort();
  const hurts = flap.pods.some(({ stops }) => isLoop(stops));
  const once = flap.seen.how === 'changes' && flap.seen.fight.gone === 1 && !flap.missing;
  return {
    code: 'SW502',
    // Without a witness it explains the errors beside it and is none of its own.
    severity: flap.seen.how === 'stops' ? 'warning' : hurts ? 'error' : once ? 'info' : 'warning',
    object: { kind: 'node', name: sliceName(flap.path) },
    why: `${whatGoesOn(flap)}. kubelet kills the pods that it looks at meanwhile.`,
    evidence: [...evidenceOf(flap), ...stateOf(flap, facts)],
    remedy: { tier: 'none', ...remedyOf(flap) },
    pods,
  };
}

function whatGoesOn({ controller, path, takers, putters, seen, missing }: Flap): string {
  const where = sliceName(path);
  switch (seen.how) {
    case 'stops':
      return `${controller} is missing at ${where} again: kubelet has put it back before, and somebody takes it away`;
    case 'writers':
      return (
        `${controller} comes and goes at ${where}: ${describeParties(takers)} takes it away, ` +
        `${describeParties(putters)} puts it back`
      );
    case 'changes': {
      const { gone, back } = seen.fight;
      const taken = `${describeParties(takers)} took ${controller} away from ${where} ${times(gone)}`;
      const returned = back > 0 ? `, ${describeParties(putters)} put it back` : '';
      return `${taken}${returned}${missing ? ', and it is missing now' : ''}`;
    }
  }
}

function evidenceOf({ seen, takers, putters, controller, pods }: Flap): Evidence[] {
  const source = 'controllerChanges';
  switch (seen.how) {
    case 'stops':
      return pods.flatMap(({ view, stops }) => {
        if (stops === undefined) return [];
        return [
          { source: 'kubeletLog' as const, text: `${describePod(view)}: ${describeStops(stops)}`, at: stops.last },
        ];
      });
    case 'writers': {
      const span = describeDuration(betweenNs(seen.first, seen.last));
      const wrote = [...takers, ...putters].map((each) => `${describeParties([each])} ${times(each.count)}`);
      return [
        { source, text: `in ${span} wrote to it: ${wrote.join(', ')}` },
        {
          source,
          text: `the last who wrote was ${describeParties(takers)}; ${controller} is missing since`,
          at: seen.last,
        },
      ];
    }
    case 'changes': {
      const { gone, back, first, last, lastGone, awayNs } = seen.fight;
      const [shortest, longest] = awayNs ?? [];
      const away =
        shortest === undefined || longest === undefined
          ? ''
          : shortest === longest
            ? `, after ${describeDuration(shortest)}`
            : `, after ${describeDuration(shortest)} to ${describeDuration(longest)}`;
      const unit = (of: Flap['takers']) => [...new Set(of.flatMap((each) => each.unit ?? []))].join(', ');
      const inUnit = (of: Flap['takers']) => (unit(of) === '' ? '' : ` in ${unit(of)}`);
      return [
        { source, text: `taken ${times(gone)}: ${describeParties(takers)}${inUnit(takers)}`, at: lastGone },
        ...(back === 0
          ? []
          : [
              {
                source,
                text: `put back ${times(back)}: ${describeParties(putters)}${inUnit(putters)}${away}`,
                at: last,
              } as const,
            ]),
        { source, text: `seen over ${describeDuration(betweenNs(first, last))}` },
      ];
    }
  }
}

function stateOf({ path }: Flap, { snapshot }: Facts): Evidence[] {
  const slices = snapshot.cgroups?.known ? snapshot.cgroups.value.slices : [];
  const control = slices.find((each) => each.path === path)?.subtreeControl;
  if (control === undefined) return [];
  return [
    { source: 'cgroups', text: `${path === '/' ? '' : path}/cgroup.subtree_control: ${control.join(' ') || 'empty'}` },
  ];
}

function remedyOf({ pods, seen }: Flap): { text: string; command: string } {
  const text = pods.some((each) => each.outside.length > 0)
    ? 'let the runtime use the slices (SW503, SW510): put back by hand it goes'
    : 'hold the slice with a delegated scope (SW508); what is written there by hand is taken away again';
  if (seen.how !== 'changes') return { text, command: 'sandwarden watch controllers --for 3m' };
  // Who takes it is known: what is left is the cure.
  const isOutside = pods.some((each) => each.outside.length > 0);
  return { text, command: isOutside ? 'sandwarden heal --allow=disruptive --only SW503' : 'sandwarden anchor --node' };
}
