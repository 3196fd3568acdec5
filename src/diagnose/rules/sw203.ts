import type { Evidence, Finding } from '../../model/finding.ts';
import type { UnitCall, UnitLine, UnitOrder, UnitsFacts } from '../../model/node.ts';
import type { Rule } from '../rule.ts';

/** SW203: a hook that asks the runtime before there is one. */
export const sw203: Rule = {
  code: 'SW203',
  name: 'hook-that-cannot-work',
  title: 'A boot hook asks the runtime before it runs',
  severity: 'warning',
  says: 'a unit calls crictl or ctr before the runtime exists, or is ordered after a unit that is not there',
  explanation: `containerd is a child of k3s and RKE2. Before their unit has started there is no socket, so
\`crictl\` in an \`ExecStartPre=\` of that unit (or in a unit that runs \`Before=\` it) fails and prints nothing;
\`xargs\` then runs nothing (or prints a help text), and \`|| true\` or \`2>/dev/null\` turn the failure into a
success. The hook "works" at each boot and has never cleaned anything. What looked like its merit was the restart,
and kubelet's own garbage collection.

\`After=containerd.service\` orders nothing on such a node: the unit does not exist, and systemd says nothing about
that.

Were the runtime there, the usual line (remove every NotReady sandbox) would also remove those of finished Jobs, and
with them their logs. NotReady is normal after a reboot.`,
  evidence: 'the file, the line and its number, and what hides the failure',
  remedy: { tier: 'none', text: 'Remove the hook and install the one that works: `sandwarden install`.' },
  sources: [
    'k3s pkg/agent/containerd/containerd.go Run (containerd is a child, with Pdeathsig)',
    'systemd.unit(5), Before= and After=: units that do not exist are ignored; xargs(1)',
  ],
  needs: ['units'],
  examine: ({ snapshot }) => {
    const { units } = snapshot;
    return units?.known ? [...early(units.value), ...orderedAfterNothing(units.value)] : [];
  },
};

/** Units whose start is what brings the runtime. */
const bringers: readonly string[] = [
  'containerd.service',
  'crio.service',
  'k3s.service',
  'k3s-agent.service',
  'rke2-server.service',
  'rke2-agent.service',
];
const supervisors = bringers.filter((each) => /^(k3s|rke2)/.test(each));

/** Calls before the runtime that they ask: in the unit that brings it, or in one that runs before that. */
function early({ calls, orders, installed }: UnitsFacts): Finding[] {
  const findings = new Map<string, Finding>();
  for (const call of calls) {
    const before = orders.find(
      (each) =>
        each.unit === call.unit &&
        each.key === 'Before' &&
        bringers.includes(each.other) &&
        installed.includes(each.other),
    );
    const inBringer = bringers.includes(call.unit) && /^Exec(StartPre|Condition)$/.test(call.key);
    if (!inBringer && before === undefined) continue;
    const why = inBringer
      ? `${call.key} of ${call.unit} calls the runtime that this unit is about to start: there is no socket yet.`
      : `${call.unit} calls the runtime and runs before ${before?.other}, which brings it: there is no socket yet.`;
    const hides = call.hides === undefined ? '' : ` Its failure is hidden by ${call.hides}.`;
    // A script calls more than once; the unit is one hook.
    const key = `${call.unit} ${call.by?.file ?? call.file}`;
    if (!findings.has(key)) findings.set(key, findingOf(call.unit, why + hides, evidenceOf(call, before)));
  }
  return [...findings.values()];
}

/** A hook ordered after a unit that this node does not have, beside a supervisor that owns its runtime. */
function orderedAfterNothing({ calls, orders, installed }: UnitsFacts): Finding[] {
  const owner = supervisors.find((each) => installed.includes(each));
  if (owner === undefined) return [];
  return orders
    .filter((each) => each.key !== 'Before' && each.key !== 'PartOf' && !installed.includes(each.other))
    .filter((each) => each.other === 'containerd.service' || each.other === 'crio.service')
    .filter((each, index, all) => all.findIndex((other) => other.unit === each.unit) === index)
    .map((order) => {
      const call = calls.find((each) => each.unit === order.unit);
      const why =
        `${order.unit} says ${order.key}=${order.other}, and there is no such unit here: ` +
        `the runtime is a child of ${owner}, so the order is ignored.`;
      return findingOf(order.unit, why, [quote(order), ...(call === undefined ? [] : evidenceOf(call, undefined))]);
    });
}

function findingOf(unit: string, why: string, evidence: readonly Evidence[]): Finding {
  return {
    code: 'SW203',
    severity: 'warning',
    object: { kind: 'node', name: unit },
    why,
    evidence,
    remedy: { tier: 'none', text: 'take it out, and install the hook that works', command: 'sandwarden install' },
    pods: [],
  };
}

function evidenceOf(call: UnitCall, before: UnitOrder | undefined): Evidence[] {
  return [...(call.by === undefined ? [] : [call.by]), call, ...(before === undefined ? [] : [before])].map(quote);
}

function quote({ file, line, text }: UnitLine): Evidence {
  return { source: 'units', text: `${file}:${line}: ${text}` };
}
