/** A cluster as `fleet` meets it: nodes, leases, pods with the bulk that real ones have, and what goes wrong there. */
import type { KubeServer } from './server.ts';

export interface FleetOptions {
  readonly nodes: number;
  readonly podsPerNode: number;
  /** Names of nodes that came back from a power cut with ghosts: pods blocked, the CSI plugin with them. */
  readonly ghosts?: readonly string[];
  /** Now, in milliseconds since 1970. */
  readonly nowMs?: number;
}

const minute = 60_000;

/** Fills a server; nodes are called `node-0001` and so on. */
export function fillFleet(api: KubeServer, options: FleetOptions): void {
  const { nodes, podsPerNode, ghosts = [], nowMs = Date.now() } = options;
  const hostPath = { path: '/var/lib/kubelet/plugins/driver.longhorn.io', type: 'DirectoryOrCreate' };
  const volumes = [{ name: 'socket-dir', hostPath }];
  api.add({
    kind: 'DaemonSet',
    metadata: { name: 'longhorn-csi-plugin', namespace: 'default' },
    spec: { template: { spec: { volumes } } },
  });
  api.add({ kind: 'DaemonSet', metadata: { name: 'node-exporter' }, spec: { template: { spec: {} } } });
  for (let index = 1; index <= nodes; index++) {
    const name = `node-${String(index).padStart(4, '0')}`;
    addNode(api, name, nowMs);
    const isSick = ghosts.includes(name);
    for (let pod = 0; pod < podsPerNode; pod++) addPod(api, { node: name, pod, isBlocked: isSick && pod < 36, nowMs });
    if (isSick) addRebooted(api, name, nowMs);
  }
}

/** A node that is ready, with its lease of some seconds ago. */
export function addNode(
  api: KubeServer,
  name: string,
  nowMs: number,
  ready: 'True' | 'False' | 'Unknown' = 'True',
): void {
  const since = date(nowMs - 38 * minute);
  const conditions = [
    { type: 'MemoryPressure', status: 'False', lastTransitionTime: since },
    { type: 'DiskPressure', status: 'False', lastTransitionTime: since },
    {
      type: 'Ready',
      status: ready,
      reason: ready === 'True' ? 'KubeletReady' : 'NodeStatusUnknown',
      lastTransitionTime: since,
    },
  ];
  // A node's status lists the images that it holds, which is most of its bulk.
  const images = Array.from({ length: 50 }, (_, index) => ({
    names: [
      `registry.example/team/app-${index}@sha256:${'0'.repeat(64)}`,
      `registry.example/team/app-${index}:v1.${index}`,
    ],
    sizeBytes: 100_000_000 + index,
  }));
  const nodeInfo = { kubeletVersion: 'v1.32.4', bootID: `boot-of-${name}` };
  api.add({
    kind: 'Node',
    metadata: { name, labels: { 'kubernetes.io/hostname': name } },
    spec: {},
    status: { conditions, images, nodeInfo },
  });
  const renewTime = `${new Date(nowMs - 5_000).toISOString().slice(0, -1)}000Z`;
  api.add({
    kind: 'Lease',
    metadata: { name, namespace: 'kube-node-lease' },
    spec: { holderIdentity: name, renewTime },
  });
}

interface PodPlace {
  readonly node: string;
  readonly pod: number;
  readonly isBlocked: boolean;
  readonly nowMs: number;
}

function addPod(api: KubeServer, { node, pod, isBlocked, nowMs }: PodPlace): void {
  const suffix = `${node.slice(-4)}${pod}`.slice(-5).padStart(5, 'a');
  const name = pod === 0 ? `longhorn-csi-plugin-${suffix}` : `app-${pod}-${suffix}`;
  const waiting = { waiting: { reason: 'ContainerCreating' } };
  const state = isBlocked ? waiting : { running: { startedAt: date(nowMs - 600 * minute) } };
  const f = Object.fromEntries(
    Array.from({ length: 60 }, (_, index) => [`f:spec.field-${index}`, { '.': {}, 'f:name': {} }]),
  );
  api.add({
    kind: 'Pod',
    metadata: {
      name,
      labels: { app: `app-${pod}` },
      creationTimestamp: date(nowMs - 7 * 24 * 60 * minute),
      managedFields: [{ manager: 'kube-controller-manager', operation: 'Update', fieldsType: 'FieldsV1', fieldsV1: f }],
    },
    spec: {
      nodeName: node,
      containers: [{ name: 'app', image: `registry.example/team/app-${pod}:v1` }],
      tolerations: [],
    },
    status: {
      phase: isBlocked ? 'Pending' : 'Running',
      containerStatuses: [{ name: 'app', ready: !isBlocked, restartCount: 0, state, image: '', imageID: '' }],
    },
  });
  if (!isBlocked) return;
  const uid = `uid-${name}`;
  const full = `${name}_default_${uid}_1`;
  const holder = `${Buffer.from(name).toString('hex')}`.padEnd(64, '0').slice(0, 64);
  addEvent(api, {
    name,
    node,
    reason: 'FailedCreatePodSandBox',
    message: `Failed to create pod sandbox: rpc error: code = Unknown desc = failed to reserve sandbox name "${full}": name "${full}" is reserved for "${holder}"`,
    firstMs: nowMs - 37 * minute,
    lastMs: nowMs - minute,
    count: 61,
  });
}

function addRebooted(api: KubeServer, node: string, nowMs: number): void {
  const atMs = nowMs - 38 * minute;
  const message = `Node ${node} has been rebooted, boot id: 6f1c`;
  addEvent(api, { name: node, node, kind: 'Node', reason: 'Rebooted', message, firstMs: atMs, lastMs: atMs, count: 1 });
}

export interface EventPlace {
  readonly name: string;
  readonly node: string;
  readonly kind?: 'Pod' | 'Node';
  readonly reason: string;
  readonly message: string;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly count: number;
}

/** An event of a node's kubelet. */
export function addEvent(api: KubeServer, event: EventPlace): void {
  const { name, node, kind = 'Pod', reason, message, firstMs, lastMs, count } = event;
  api.add({
    kind: 'Event',
    metadata: { name: `${name}.${reason.toLowerCase()}` },
    involvedObject: { apiVersion: 'v1', kind, name, ...(kind === 'Pod' ? { namespace: 'default' } : {}) },
    reason,
    message,
    type: reason === 'SandboxChanged' ? 'Normal' : 'Warning',
    source: { component: 'kubelet', host: node },
    firstTimestamp: date(firstMs),
    lastTimestamp: date(lastMs),
    count,
  });
}

function date(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+/, '');
}
