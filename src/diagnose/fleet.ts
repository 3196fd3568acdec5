import type {
  FleetEvent,
  FleetFacts,
  FleetNode,
  FleetPod,
  FleetProblem,
  FleetReport,
  FleetVerdict,
} from '../model/fleet.ts';
import { limits } from '../model/limits.ts';
import { type Observed, valueOr } from '../model/observed.ts';

/** What is wrong with each node, as far as the API can tell. Pure. */
export function fleetReport(facts: FleetFacts): FleetReport {
  const events = Map.groupBy(valueOr(facts.events, []), ({ node }) => node);
  const pods = Map.groupBy(valueOr(facts.pods, []), ({ node }) => node);
  const view = { facts, csi: valueOr(facts.csiPlugins, []) };
  const nodes = valueOr(facts.nodes, []).map((node) => {
    return verdictOf(node, { ...view, events: events.get(node.name) ?? [], pods: pods.get(node.name) ?? [] });
  });
  const count = (state: FleetVerdict['state']) => nodes.filter((each) => each.state === state).length;
  return {
    server: facts.server,
    nowNs: facts.nowNs,
    nodes: nodes.sort(byUrgency),
    counts: { errors: count('errors'), warnings: count('warnings'), healthy: count('healthy') },
    missing: missingOf(facts),
  };
}

interface View {
  readonly facts: FleetFacts;
  /** DaemonSets of CSI node plugins. */
  readonly csi: readonly string[];
  readonly events: readonly FleetEvent[];
  readonly pods: readonly FleetPod[];
}

function verdictOf(node: FleetNode, view: View): FleetVerdict {
  const { facts, events } = view;
  const held = heldNames(view);
  const ghosts = new Set(held.map(({ holderId }) => holderId)).size;
  const rebootedNs = newest(events.filter(({ reason }) => reason === 'Rebooted').map(({ lastNs }) => lastNs));
  const lastHeardNs = valueOr(facts.heartbeats, new Map<string, bigint>()).get(node.name);
  const problems = [
    ...readiness(node, facts, lastHeardNs),
    ...ghostProblem(held, ghosts),
    ...csiProblems(view),
    ...podProblems(view),
    ...churn(view),
    ...node.conditions.map((condition): FleetProblem => ({ severity: 'warning', says: `it reports ${condition}` })),
  ].sort((a, b) => rank(a) - rank(b));
  const state = problems.some(({ severity }) => severity === 'error')
    ? 'errors'
    : problems.length > 0
      ? 'warnings'
      : 'healthy';
  const worst = problems.filter(({ severity }) => severity === problems[0]?.severity);
  const sinceNs = oldest(worst.flatMap((each) => each.sinceNs ?? []));
  return {
    name: node.name,
    state,
    ghosts,
    ...(rebootedNs === undefined ? {} : { rebootedNs }),
    ...(node.ready === 'yes' && node.readySinceNs !== undefined ? { readySinceNs: node.readySinceNs } : {}),
    ...(node.bootId === undefined ? {} : { bootId: node.bootId }),
    ...uncleanBoot(node, rebootedNs, ghosts),
    ...(lastHeardNs === undefined ? {} : { lastHeardNs }),
    podsNotReady: view.pods.length,
    problems,
    ...(sinceNs === undefined ? {} : { sinceNs }),
  };
}

/** The node's own word; where its newest boot is one that it has not told of (yet), ghosts tell. */
function uncleanBoot(
  { uncleanBoot: told, bootId }: FleetNode,
  rebootedNs: bigint | undefined,
  ghosts: number,
): Pick<FleetVerdict, 'uncleanBoot'> {
  if (rebootedNs !== undefined && ghosts > 0 && told?.bootId !== bootId) return { uncleanBoot: { atNs: rebootedNs } };
  if (told === undefined) return {};
  const { atNs, removed, left } = told;
  return { uncleanBoot: { atNs, removed, left } };
}

function readiness(node: FleetNode, facts: FleetFacts, lastHeardNs: bigint | undefined): FleetProblem[] {
  const since = node.readySinceNs === undefined ? {} : { sinceNs: node.readySinceNs };
  if (node.ready === 'unknown') return [{ severity: 'error', says: 'the node is not heard of', ...since }];
  if (node.ready === 'no') {
    const reason = node.readyReason === '' ? '' : ` (${node.readyReason})`;
    return [{ severity: 'error', says: `the node is not ready${reason}`, ...since }];
  }
  // The node controller waits for 40 s and more before it says so (node-monitor-grace-period).
  if (lastHeardNs === undefined || facts.nowNs - lastHeardNs <= ns(limits.fleetHeartbeatMs)) return [];
  return [{ severity: 'error', says: 'its kubelet has stopped to renew the lease', sinceNs: lastHeardNs }];
}

/** Refusals that still count: recent, and of a pod that is not well yet. */
function heldNames({ facts, events, pods }: View): FleetEvent[] {
  // By name alone where no pod of the node shares it with one of another namespace.
  const nameOf = ({ name, namespace }: FleetPod) => (namespace === undefined ? name : `${namespace}/${name}`);
  const unwell = facts.pods.known ? new Set(pods.map(nameOf)) : undefined;
  return events.filter(({ holderId, lastNs, object }) => {
    if (holderId === undefined || facts.nowNs - lastNs > ns(limits.fleetEventMs)) return false;
    return unwell === undefined || unwell.has(object) || unwell.has(object.slice(object.indexOf('/') + 1));
  });
}

function ghostProblem(held: readonly FleetEvent[], ghosts: number): FleetProblem[] {
  if (ghosts === 0) return [];
  const pods = new Set(held.map(({ object }) => object)).size;
  const holders = counted(ghosts, 'old sandbox holds', 'old sandboxes hold');
  const says = `${counted(pods, 'pod')} cannot start: ${holders} the name`;
  const sinceNs = oldest(held.map(({ firstNs }) => firstNs));
  return [{ severity: 'error', says, suspects: 'SW101', ...(sinceNs === undefined ? {} : { sinceNs }) }];
}

function csiProblems({ facts, csi, pods, events }: View): FleetProblem[] {
  const problems: FleetProblem[] = [];
  const sick = pods.filter((pod) => csi.some((set) => isOf(set, pod.name)) && !isYoung(pod));
  for (const pod of sick.slice(0, limits.fleetNames)) {
    const restarts = pod.restarts > 0 ? `, ${counted(pod.restarts, 'restart')}` : '';
    problems.push({ severity: 'error', says: `CSI plugin ${pod.name}: ${pod.status}${restarts}`, suspects: 'SW303' });
  }
  const recent = events.filter(
    ({ driver, lastNs }) => driver !== undefined && facts.nowNs - lastNs <= ns(limits.fleetEventMs),
  );
  for (const [driver, tells] of Map.groupBy(recent, (each) => each.driver ?? '')) {
    const sinceNs = oldest(tells.map(({ firstNs }) => firstNs));
    const waiting = counted(new Set(tells.map(({ object }) => object)).size, 'pod waits', 'pods wait');
    const says = `CSI driver ${driver} is not registered, ${waiting}`;
    problems.push({ severity: 'error', says, suspects: 'SW301', ...(sinceNs === undefined ? {} : { sinceNs }) });
  }
  return problems;
}

/** The rest of the pods that are not well, by their state. */
function podProblems({ csi, pods }: View): FleetProblem[] {
  const rest = pods.filter((pod) => !isYoung(pod) && !csi.some((set) => isOf(set, pod.name)));
  if (rest.length === 0) return [];
  const states = [...Map.groupBy(rest, ({ status }) => (status === 'Running' ? 'not ready' : status))];
  const named = states.sort(([, a], [, b]) => b.length - a.length).slice(0, limits.fleetNames);
  const says = named.map(([status, some]) => `${some.length} ${status}`).join(', ');
  return [{ severity: 'warning', says: `${counted(rest.length, 'pod is', 'pods are')} not well: ${says}` }];
}

/** Once for each pod after a reboot is normal; again and again is not. */
function churn({ facts, events }: View): FleetProblem[] {
  const again = events.filter(
    ({ reason, count, lastNs }) =>
      reason === 'SandboxChanged' &&
      count >= limits.fleetSandboxChanges &&
      facts.nowNs - lastNs <= ns(limits.fleetEventMs),
  );
  if (again.length === 0) return [];
  const times = again.reduce((sum, { count }) => sum + count, 0);
  const says = `sandboxes of ${counted(again.length, 'pod')} are made anew again and again (${times} times)`;
  const sinceNs = oldest(again.map(({ firstNs }) => firstNs));
  return [{ severity: 'error', says, suspects: 'SW501', ...(sinceNs === undefined ? {} : { sinceNs }) }];
}

const sourceNames = {
  nodes: 'nodes',
  heartbeats: 'leases of the nodes (a frozen node is seen later)',
  pods: 'pods (only events tell of them)',
  csiPlugins: 'DaemonSets (CSI plugins are not told from other pods)',
  events: 'events (ghosts, reboots and churn are not seen)',
} as const;

function missingOf(facts: FleetFacts): FleetReport['missing'] {
  return (Object.keys(sourceNames) as (keyof typeof sourceNames)[]).flatMap((source) => {
    const answer: Observed<unknown> = facts[source];
    return answer.known ? [] : [{ what: sourceNames[source], message: answer.message, hint: answer.hint }];
  });
}

/** `NAME-xxxxx`, as the DaemonSet controller names its pods. */
function isOf(daemonSet: string, pod: string): boolean {
  return pod.length === daemonSet.length + 6 && pod.startsWith(`${daemonSet}-`);
}

/** A pod that was just made is starting, unless it crashes already. */
function isYoung({ ageSeconds, status }: FleetPod): boolean {
  return ageSeconds * 1_000 < limits.fleetYoungMs && !/BackOff|Err/.test(status);
}

function byUrgency(a: FleetVerdict, b: FleetVerdict): number {
  const order = { errors: 0, warnings: 1, healthy: 2 } as const;
  const state = order[a.state] - order[b.state];
  if (state !== 0) return state;
  const [first, second] = [a.sinceNs, b.sinceNs];
  if (first !== second && first !== undefined && second !== undefined) return first < second ? -1 : 1;
  if ((first === undefined) !== (second === undefined)) return first === undefined ? 1 : -1;
  return a.name < b.name ? -1 : 1;
}

function rank({ severity }: FleetProblem): number {
  return severity === 'error' ? 0 : 1;
}

function oldest(dates: readonly bigint[]): bigint | undefined {
  return dates.toSorted(ascending)[0];
}

function newest(dates: readonly bigint[]): bigint | undefined {
  return dates.toSorted(ascending).at(-1);
}

function ascending(a: bigint, b: bigint): number {
  return a < b ? -1 : Number(a > b);
}

function counted(count: number, one: string, many = `${one}s`): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

function ns(ms: number): bigint {
  return BigInt(ms) * 1_000_000n;
}
