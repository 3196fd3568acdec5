import type { KubeAccess } from '../../kube/access.ts';
import { connectKube, type KubeClient } from '../../kube/client.ts';
import type { FleetFacts } from '../../model/fleet.ts';
import { limits } from '../../model/limits.ts';
import { type Observed, unknown } from '../../model/observed.ts';
import { observed } from '../unknown.ts';
import { csiPluginsOfPage, eventsOfPage, heartbeatsOfPage, nodesOfPage, podTableReader } from './parse.ts';

/**
 * What the API says about all nodes, in eight requests (and pages) that run at once. Pods come as the table that
 * kubectl prints and without their objects: 200 bytes each in place of 10 KB, and the API has already decided what
 * state a pod is in. Whatever cannot be read is Unknown with its reason; nothing is thrown but bugs.
 */
export async function readFleet(access: KubeAccess, signal?: AbortSignal): Promise<FleetFacts> {
  let nowNs = access.wallNs();
  const onDate = (date: string) => {
    const ms = Date.parse(date);
    if (!Number.isNaN(ms)) nowNs = BigInt(ms) * 1_000_000n;
  };
  const client = connectKube({ ...access, onDate }, { timeoutMs: limits.fleetTimeoutMs });
  const ending = signal === undefined ? {} : { signal };
  const list = <T>(path: string, kind: string, itemsOf: (page: unknown) => readonly T[], query = {}) =>
    observed(() => client.list(path, { kind, itemsOf, query, ...ending }));
  try {
    const [nodes, leases, pods, csiPlugins, events] = await Promise.all([
      list('/api/v1/nodes', 'NodeList', nodesOfPage),
      list('/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases', 'LeaseList', heartbeatsOfPage),
      observed(() => listPods(client, signal)),
      list('/apis/apps/v1/daemonsets', 'DaemonSetList', csiPluginsOfPage),
      listEvents((query) => list('/api/v1/events', 'EventList', eventsOfPage, query)),
    ]);
    const heartbeats = leases.known ? { known: true as const, value: new Map(leases.value) } : leases;
    return { server: access.server.host, nowNs, nodes, heartbeats, pods, csiPlugins, events };
  } finally {
    client.close();
  }
}

/** Finished pods are nobody's problem; the rest comes as a table. */
function listPods(client: KubeClient, signal?: AbortSignal) {
  return client.list('/api/v1/pods', {
    kind: 'Table',
    accept: 'application/json;as=Table;v=v1;g=meta.k8s.io',
    itemsOf: podTableReader(),
    query: { fieldSelector: 'status.phase!=Succeeded,status.phase!=Failed', includeObject: 'None' },
    pageItems: limits.fleetPageItems,
    ...(signal ? { signal } : {}),
  });
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
