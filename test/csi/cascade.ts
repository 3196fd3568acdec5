import { worldOverEmbedded } from '../../src/cli/demo-world.ts';
import { eyesOf } from '../../src/cli/embedded-look.ts';
import { connectCri } from '../../src/cri/connect.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { execute } from '../../src/heal/execute.ts';
import { makePlan, type PlanOptions, removalStillRight } from '../../src/heal/plan.ts';
import type { Look, World } from '../../src/heal/ports.ts';
import type { ProgressEvent } from '../../src/heal/progress.ts';
import { openStateDir } from '../../src/heal/state-dir.ts';
import { known } from '../../src/model/observed.ts';
import type { Outcome } from '../../src/model/plan.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { observePods } from '../../src/observe/kube/pods.ts';
import { observeVolumes } from '../../src/observe/kube/volumes.ts';
import { observe } from '../../src/observe/node.ts';
import {
  type ClusterOptions,
  type ClusterPod,
  CsiCluster,
  nodeName,
  patienceMs,
  socket,
} from '../helpers/csi/cluster.ts';
import { longhorn, type PodFixture, podObject } from '../helpers/csi/drivers.ts';

const HOUR_MS = 3_600_000;
export const options: PlanOptions = { allow: ['safe'], only: [], storage: true };

type Runs = PodSpec['containers'][number]['runs'];

/** A pod of the fixtures with what its containers do on the embedded node. */
export function pod(
  fixture: PodFixture,
  runs: (container: string) => Runs,
  policy: PodSpec['restartPolicy'] = 'Always',
): ClusterPod {
  const uid = fixture.uid ?? `uid-${fixture.name}`;
  const { namespace, name } = fixture;
  const containers = fixture.containers.map((each) => ({ name: each.name, runs: runs(each.name) }));
  const object = podObject({ ...fixture, uid });
  (object.spec as { restartPolicy: string }).restartPolicy = policy;
  return { spec: { namespace, name, uid, restartPolicy: policy, containers }, object };
}

export const plugin = pod(longhorn.plugin, (name) => (name === 'longhorn-csi-plugin' ? { serves: socket } : 'forever'));

/** Eight sidecars: two of each kind. */
export const sidecars = longhorn.sidecars.flatMap((each) =>
  [1, 2].map((copy) => pod({ ...each, name: `${each.name}-${copy}` }, () => ({ needs: socket }))),
);

export const databases = [0, 1, 2, 3, 4].map((index) => {
  const name = `db-${index}`;
  const fixture = { namespace: 'apps', name, owner: 'StatefulSet/db', claims: [`data-${name}`] };
  return pod({ ...fixture, containers: [{ name: 'db' }] }, () => 'forever');
});

const web = [0, 1].map((index) => {
  const fixture = { namespace: 'apps', name: `web-${index}`, owner: 'ReplicaSet/web', containers: [{ name: 'web' }] };
  return pod(fixture, () => 'forever');
});

export const job = pod(
  { namespace: 'apps', name: 'report', owner: 'Job/report', containers: [{ name: 'report' }] },
  () => ({ exitsAfterMs: 20_000, code: 0 }),
  'Never',
);

/** `namespace/name`. */
export function nameOf({ spec }: ClusterPod): string {
  return `${spec.namespace}/${spec.name}`;
}

const volumes = Object.fromEntries(databases.map(({ spec }) => [`data-${spec.name}`, `pvc-${spec.name}`]));

/** The cluster of the story, before the power cut: all but the sidecars, which come with the reboot. */
export function startCluster(over: Partial<ClusterOptions> = {}): Promise<CsiCluster> {
  return CsiCluster.start({ pods: [plugin, ...web, job, ...databases], volumes, ...over });
}

/** A power cut; a boot with the clock two hours behind; the sidecars are scheduled here and crash for `minutes`. */
export async function breakCluster(cluster: CsiCluster, minutes = 12): Promise<void> {
  const { node } = cluster;
  // Everything ran once: the sidecars elsewhere, so the volumes were attached from there.
  for (const each of cluster.objects('volumeattachments')) setAttached(cluster, each.metadata.name, true);
  await node.run(3 * 60_000);
  await node.powerCut();
  for (const each of cluster.objects('volumeattachments')) setAttached(cluster, each.metadata.name, false);
  await node.boot({ clockStepMs: -2 * HOUR_MS });
  for (const each of sidecars) cluster.add(each);
  await node.run(minutes * 60_000);
  cluster.publish();
}

/** What healing sees and does of the cluster. */
export interface Healer extends Disposable {
  readonly world: World;
  look(): Promise<Look>;
  heal(
    change?: Partial<Parameters<typeof execute>[0]>,
  ): Promise<{ outcome: Outcome; events: ProgressEvent[]; look: Look }>;
}

export function healerOf(cluster: CsiCluster, planOptions: PlanOptions = options, timeoutMs = patienceMs): Healer {
  const { node } = cluster;
  const cri = connectCri(node.endpoint);
  const storage = cluster.storage();
  const asking = { flag: cluster.kubeconfig, hostname: nodeName, nodeName, timeoutMs };
  const look = async (): Promise<Look> => {
    const eyes = eyesOf(node, cri);
    const seen = await observe({
      ...eyes,
      pods: await observePods(asking),
      askVolumes: () => observeVolumes(asking),
      sources: {
        ...eyes.sources,
        csi: async () => known(cluster.csiFacts()),
        ...(cluster.kernel.length === 0 ? {} : { kernelLog: async () => known(cluster.kernelLog()) }),
      },
    });
    const listedUptimeNs = node.clock.uptimeNs();
    const snapshot = { ...seen, kubeletLog: withRegistrations(seen.kubeletLog, cluster) };
    return { snapshot, diagnosis: diagnose(snapshot), plan: makePlan(snapshot, planOptions), listedUptimeNs };
  };
  const world: World = { ...worldOverEmbedded(node, cri, planOptions), storage, lookAgain: look };
  return {
    world,
    look,
    heal: async (change = {}) => {
      const first = change.look ?? (await look());
      const events: ProgressEvent[] = [];
      const { bootId } = node.nodeFacts();
      const outcome = await execute({
        look: first,
        plan: first.plan,
        world,
        state: { ...(await openStateDir(`${cluster.dir}/state`)), bootId },
        signal: new AbortController().signal,
        onProgress: (event) => events.push(event),
        kubeletDown: false,
        stillRight: (action, fresh) => removalStillRight(action, fresh, first.snapshot, planOptions),
        order: 'by-date',
        ...change,
      });
      return { outcome, events, look: first };
    },
    [Symbol.dispose]: () => {
      cri.close();
      storage[Symbol.dispose]();
    },
  };
}

/** What kubelet logs of a registration socket on which nobody listens. */
function withRegistrations(
  log: Snapshot['kubeletLog'],
  { deadRegistrations, node }: CsiCluster,
): Snapshot['kubeletLog'] {
  if (!log.known || deadRegistrations.size === 0) return log;
  // Where the log tells of it already, it is right.
  if (log.value.registrationFailed?.length) return log;
  const error = 'failed to dial socket: context deadline exceeded';
  const at = { wallNs: node.clock.wallNs() };
  const failed = [...deadRegistrations.keys()].map((path) => ({ socket: path, error, count: 1, first: at, last: at }));
  return { ...log, value: { ...log.value, registrationFailed: failed } };
}

function setAttached(cluster: CsiCluster, name: string, attached: boolean): void {
  const resource = cluster.api.resource('volumeattachments');
  const before = cluster.api.store.get(resource, undefined, name);
  cluster.api.store.update(resource, undefined, name, { ...before, status: { attached } });
}
