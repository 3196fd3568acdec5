import type { KubeAccess } from '../../kube/access.ts';
import { connectKube, type KubeClient } from '../../kube/client.ts';
import type { FleetEvent, FleetFacts, FleetPod } from '../../model/fleet.ts';
import { limits } from '../../model/limits.ts';
import { type Observed, unknown, valueOr } from '../../model/observed.ts';
import { observed } from '../unknown.ts';
import {
  csiPluginsOfPage,
  eventsOfPage,
  heartbeatsOfPage,
  nodesOfPage,
  type PodTableReader,
  podTableReader,
} from './parse.ts';

/**
 * What the API says about all nodes, in eight requests (and pages) that run at once; then one for each name of
 * `withNamespaces`. Pods come as the table that kubectl prints and without their objects: 200 bytes each in place of
 * 10 KB, and the API has already decided what state a pod is in. Whatever cannot be read is Unknown with its reason;
 * nothing is thrown but bugs.
 */
export async function readFleet(access: KubeAccess, signal?: AbortSignal): Promise<FleetFacts> {
  let nowNs = access.wallNs();
  const onDate = (dateNs: bigint) => {
    nowNs = dateNs;
  };
  const client = connectKube({ ...access, onDate }, { timeoutMs: limits.fleetTimeoutMs });
  const ending = signal === undefined ? {} : { signal };
  const list = <T>(path: string, kind: string, itemsOf: (page: unknown) => readonly T[], query = {}) =>
    observed(() => client.list(path, { kind, itemsOf, query, ...ending }));
  const reader = podTableReader();
  try {
    const [nodes, leases, pods, csiPlugins, events] = await Promise.all([
      list('/api/v1/nodes', 'NodeList', nodesOfPage),
      list('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases', 'LeaseList', heartbeatsOfPage),
      observed(() => listPods(client, reader, signal)),
      list('/apis/apps/v1/daemonsets', 'DaemonSetList', csiPluginsOfPage),
      listEvents((query) => list('/api/v1/events', 'EventList', eventsOfPage, query)),
    ]);
    const heartbeats = leases.known ? { known: true as const, value: new Map(leases.value) } : leases;
    const exact = pods.known
      ? await observed(() => withNamespaces(client, { pods: pods.value, reader, events }, signal))
      : pods;
    // Where that was not answered, a refusal counts for each pod of its name.
    const told = exact.known ? exact : pods;
    return { server: access.server.host, nowNs, nodes, heartbeats, pods: told, csiPlugins, events };
  } finally {
    client.close();
  }
}

/** Finished pods are nobody's problem; the rest comes as a table. */
function listPods(client: KubeClient, { rowsOf }: PodTableReader, signal?: AbortSignal) {
  const options = podTable({ fieldSelector: unfinished, includeObject: 'None' }, rowsOf, signal);
  return client.list('/api/v1/pods', { ...options, pageItems: limits.fleetPageItems });
}

const unfinished = 'status.phase!=Succeeded,status.phase!=Failed';

function podTable(query: Record<string, string>, itemsOf: PodTableReader['rowsOf'], signal: AbortSignal | undefined) {
  const accept = 'application/json;as=Table;v=v1;g=meta.k8s.io';
  return { kind: 'Table', accept, itemsOf, query, ...(signal ? { signal } : {}) };
}

interface PodsTold {
  readonly pods: readonly FleetPod[];
  readonly reader: PodTableReader;
  readonly events: Observed<readonly FleetEvent[]>;
}

/**
 * The pods, with their namespaces where it matters: a refusal is told of a pod whose name another one on that node
 * has too. Those few are asked for by name; of more than `fleetTwins` a refusal counts for each of that name.
 */
async function withNamespaces(
  client: KubeClient,
  { pods, reader, events }: PodsTold,
  signal: AbortSignal | undefined,
): Promise<FleetPod[]> {
  const refused = valueOr(events, []).filter(({ holderId }) => holderId !== undefined);
  const told = new Set(refused.map(({ node, object }) => `${node}/${object.slice(object.indexOf('/') + 1)}`));
  const isMeant = (pod: FleetPod) => told.has(`${pod.node}/${pod.name}`) && reader.hasTwin(pod);
  const places = new Map(pods.filter(isMeant).map((pod) => [`${pod.node}/${pod.name}`, pod]));
  const asked = new Map([...places].slice(0, limits.fleetTwins));
  const answers = await Promise.all(
    [...asked.values()].map(({ name, node }) => {
      const fieldSelector = `metadata.name=${name},spec.nodeName=${node},${unfinished}`;
      const options = podTable({ fieldSelector, includeObject: 'Metadata' }, podTableReader().rowsOf, signal);
      return client.list('/api/v1/pods', options);
    }),
  );
  return [...pods.filter((pod) => !asked.has(`${pod.node}/${pod.name}`)), ...answers.flat()];
}

/** By reason, since a large cluster has tens of thousands of others; one that cannot be read stands for all. */
async function listEvents<T>(list: (query: Record<string, string>) => Promise<Observed<T[]>>): Promise<Observed<T[]>> {
  const reasons = ['FailedCreatePodSandBox', 'SandboxChanged', 'Rebooted', 'FailedMount'];
  const answers = await Promise.all(reasons.map((reason) => list({ fieldSelector: `reason=${reason}` })));
  const all: T[] = [];
  for (const answer of answers) {
    if (!answer.known) return unknown(answer.code, answer.message, answer.hint);
    for (const event of answer.value) all.push(event);
  }
  return { known: true, value: all };
}
