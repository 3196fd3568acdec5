/** Pods of CSI drivers as the API gives them, after the manifests of their projects; and what may become of them. */

export interface ContainerSpec {
  readonly name: string;
  /** Mounts, by name of a volume of the pod. */
  readonly mounts?: readonly string[];
  readonly bidirectional?: boolean;
  readonly state?: object;
  readonly lastState?: object;
  readonly restarts?: number;
}

export interface PodFixture {
  readonly namespace: string;
  readonly name: string;
  readonly uid?: string;
  readonly owner?: string;
  readonly hostPaths?: Readonly<Record<string, string>>;
  readonly claims?: readonly string[];
  readonly containers: readonly ContainerSpec[];
  readonly hostNetwork?: boolean;
  readonly phase?: string;
  readonly node?: string;
  readonly deleting?: boolean;
}

const running = { running: { startedAt: '2026-11-21T19:00:00Z' } };

/** A pod as the API gives it. */
export function podObject(of: PodFixture): Record<string, unknown> {
  const [ownerKind, ownerName] = (of.owner ?? '').split('/');
  const volumes = [
    ...Object.entries(of.hostPaths ?? {}).map(([name, path]) => ({ name, hostPath: { path } })),
    ...(of.claims ?? []).map((claimName) => ({ name: claimName, persistentVolumeClaim: { claimName } })),
  ];
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: of.name,
      namespace: of.namespace,
      uid: of.uid ?? `uid-${of.name}`,
      resourceVersion: '1',
      ...(of.owner ? { ownerReferences: [{ kind: ownerKind, name: ownerName, controller: true }] } : {}),
      ...(of.deleting ? { deletionTimestamp: '2026-11-21T19:00:00Z' } : {}),
    },
    spec: {
      nodeName: of.node ?? 'node-1',
      restartPolicy: 'Always',
      ...(of.hostNetwork ? { hostNetwork: true } : {}),
      volumes,
      containers: of.containers.map(({ name, mounts = [], bidirectional }) => ({
        name,
        env: [{ name: 'SECRET', value: 'hunter2' }],
        volumeMounts: mounts.map((each, index) => ({
          name: each,
          mountPath: `/m/${each}`,
          ...(bidirectional && index === 0 ? { mountPropagation: 'Bidirectional' } : {}),
        })),
      })),
    },
    status: {
      phase: of.phase ?? 'Running',
      containerStatuses: of.containers.map(({ name, state = running, lastState = {}, restarts = 0 }) => ({
        name,
        state,
        lastState,
        ready: 'running' in state,
        restartCount: restarts,
      })),
    },
  };
}

/** A container's state: in CrashLoopBackOff after an end at `finishedAt`. */
export function crashLooping(finishedAt: string, restarts = 40, exitCode = 1, reason = 'Error') {
  const message = 'back-off 5m0s restarting failed container=c pod=p_n(u)';
  return {
    state: { waiting: { reason: 'CrashLoopBackOff', message } },
    lastState: { terminated: { exitCode, reason, finishedAt } },
    restarts,
  };
}

export const creating = { state: { waiting: { reason: 'ContainerCreating' } } };

const kubelet = '/var/lib/kubelet';

interface DriverFixture {
  readonly name: string;
  readonly folder: string;
  /** The node plugin. */
  readonly plugin: PodFixture;
  /** Pods that mount the socket's folder; none where the controller has a socket of its own. */
  readonly sidecars: readonly PodFixture[];
}

/** Longhorn 1.7: deploy/longhorn.yaml; its CSI sidecars are Deployments that mount the node's socket. */
export const longhorn: DriverFixture = {
  name: 'driver.longhorn.io',
  folder: `${kubelet}/plugins/driver.longhorn.io`,
  plugin: {
    namespace: 'longhorn-system',
    name: 'longhorn-csi-plugin-w6dd4',
    owner: 'DaemonSet/longhorn-csi-plugin',
    hostPaths: {
      kubernetes: `${kubelet}/plugins/kubernetes.io/csi`,
      'socket-dir': `${kubelet}/plugins/driver.longhorn.io`,
      'registration-dir': `${kubelet}/plugins_registry`,
      'pods-mount-dir': `${kubelet}/pods`,
      'host-dev': '/dev',
    },
    containers: [
      { name: 'node-driver-registrar', mounts: ['socket-dir', 'registration-dir'] },
      { name: 'longhorn-liveness-probe', mounts: ['socket-dir'] },
      {
        name: 'longhorn-csi-plugin',
        mounts: ['kubernetes', 'socket-dir', 'pods-mount-dir', 'host-dev'],
        bidirectional: true,
      },
    ],
  },
  sidecars: ['attacher', 'provisioner', 'resizer', 'snapshotter'].map((kind) => ({
    namespace: 'longhorn-system',
    name: `csi-${kind}-7d9f-abcde`,
    owner: `ReplicaSet/csi-${kind}-7d9f`,
    hostPaths: { 'socket-dir': `${kubelet}/plugins/driver.longhorn.io/` },
    containers: [{ name: `csi-${kind}`, mounts: ['socket-dir'] }],
  })),
};

/** democratic-csi 0.14: the node DaemonSet; its controller has an emptyDir of its own. */
export const democratic: DriverFixture = {
  name: 'org.democratic-csi.nfs',
  folder: `${kubelet}/plugins/org.democratic-csi.nfs`,
  plugin: {
    namespace: 'democratic-csi',
    name: 'zfs-nfs-democratic-csi-node-x2x2x',
    owner: 'DaemonSet/zfs-nfs-democratic-csi-node',
    hostNetwork: true,
    hostPaths: {
      'socket-dir': `${kubelet}/plugins/org.democratic-csi.nfs`,
      'kubelet-dir': kubelet,
      'registration-dir': `${kubelet}/plugins_registry`,
    },
    containers: [
      { name: 'csi-driver', mounts: ['kubelet-dir', 'socket-dir'], bidirectional: true },
      { name: 'csi-proxy', mounts: ['socket-dir'] },
      { name: 'driver-registrar', mounts: ['socket-dir', 'registration-dir'] },
      { name: 'cleanup' },
    ],
  },
  sidecars: [],
};

/** aws-ebs-csi-driver 1.35: Helm chart's node DaemonSet. */
export const ebs: DriverFixture = {
  name: 'ebs.csi.aws.com',
  folder: `${kubelet}/plugins/ebs.csi.aws.com`,
  plugin: {
    namespace: 'kube-system',
    name: 'ebs-csi-node-abcde',
    owner: 'DaemonSet/ebs-csi-node',
    hostPaths: {
      'kubelet-dir': kubelet,
      'plugin-dir': `${kubelet}/plugins/ebs.csi.aws.com/`,
      'registration-dir': `${kubelet}/plugins_registry/`,
    },
    containers: [
      { name: 'ebs-plugin', mounts: ['kubelet-dir', 'plugin-dir'], bidirectional: true },
      { name: 'node-driver-registrar', mounts: ['plugin-dir', 'registration-dir'] },
      { name: 'liveness-probe', mounts: ['plugin-dir'] },
    ],
  },
  sidecars: [],
};

/** csi-driver-nfs 4.9: the folder has not the driver's name. */
export const nfs: DriverFixture = {
  name: 'nfs.csi.k8s.io',
  folder: `${kubelet}/plugins/csi-nfsplugin`,
  plugin: {
    namespace: 'kube-system',
    name: 'csi-nfs-node-abcde',
    owner: 'DaemonSet/csi-nfs-node',
    hostNetwork: true,
    hostPaths: {
      'socket-dir': `${kubelet}/plugins/csi-nfsplugin`,
      'pods-mount-dir': `${kubelet}/pods`,
      'registration-dir': `${kubelet}/plugins_registry`,
    },
    containers: [
      { name: 'liveness-probe', mounts: ['socket-dir'] },
      { name: 'node-driver-registrar', mounts: ['socket-dir', 'registration-dir'] },
      { name: 'nfs', mounts: ['pods-mount-dir', 'socket-dir'], bidirectional: true },
    ],
  },
  sidecars: [],
};

/** csi-driver-host-path 1.14: a StatefulSet with everything in one pod, and sidecars in others. */
export const hostpath: DriverFixture = {
  name: 'hostpath.csi.k8s.io',
  folder: `${kubelet}/plugins/csi-hostpath`,
  plugin: {
    namespace: 'default',
    name: 'csi-hostpathplugin-0',
    owner: 'StatefulSet/csi-hostpathplugin',
    hostPaths: {
      'socket-dir': `${kubelet}/plugins/csi-hostpath`,
      'mountpoint-dir': `${kubelet}/pods`,
      'registration-dir': `${kubelet}/plugins_registry`,
      'plugins-dir': `${kubelet}/plugins`,
    },
    containers: [
      { name: 'hostpath', mounts: ['mountpoint-dir', 'plugins-dir', 'socket-dir'], bidirectional: true },
      { name: 'csi-external-health-monitor-controller', mounts: ['socket-dir'] },
      { name: 'node-driver-registrar', mounts: ['socket-dir', 'registration-dir'] },
      { name: 'liveness-probe', mounts: ['socket-dir'] },
    ],
  },
  sidecars: [
    {
      namespace: 'default',
      name: 'csi-hostpath-socat-0',
      owner: 'StatefulSet/csi-hostpath-socat',
      hostPaths: { 'socket-dir': `${kubelet}/plugins/csi-hostpath` },
      containers: [{ name: 'socat', mounts: ['socket-dir'] }],
    },
  ],
};

/**
 * A driver of nobody in particular, with the least that CSI asks for and no label of any project: nothing of it is
 * privileged or mounts for others, and its one Deployment goes through the node's socket.
 */
export const plain: DriverFixture = {
  name: 'plain.example.com',
  folder: `${kubelet}/plugins/plain.example.com`,
  plugin: {
    namespace: 'storage',
    name: 'plain-node-abcde',
    owner: 'DaemonSet/plain-node',
    hostPaths: {
      'socket-dir': `${kubelet}/plugins/plain.example.com`,
      'registration-dir': `${kubelet}/plugins_registry`,
    },
    containers: [
      { name: 'driver', mounts: ['socket-dir'] },
      { name: 'node-driver-registrar', mounts: ['socket-dir', 'registration-dir'] },
    ],
  },
  sidecars: [
    {
      namespace: 'storage',
      name: 'plain-controller-7d9f-abcde',
      owner: 'ReplicaSet/plain-controller-7d9f',
      hostPaths: { 'socket-dir': `${kubelet}/plugins/plain.example.com` },
      containers: [
        { name: 'attacher', mounts: ['socket-dir'] },
        { name: 'provisioner', mounts: ['socket-dir'] },
      ],
    },
  ],
};

export const allDrivers: readonly DriverFixture[] = [longhorn, democratic, ebs, nfs, hostpath, plain];

/** A pod of a StatefulSet that waits for its volume. */
export function waitingPod(name: string, claims: readonly string[] = [`data-${name}`]): PodFixture {
  const containers = [{ name: 'db', ...creating }];
  return { namespace: 'apps', name, owner: `StatefulSet/${name}`, claims, containers, phase: 'Pending' };
}
