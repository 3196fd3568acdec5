import type { CriStatus } from '../cri/types.ts';
import type { Daemon, LiveSandbox } from './daemon.ts';

/** Status, verbose (status.go): the keys of `info` that somebody reads, in containerd's spelling. */
export function runtimeStatus(daemon: Daemon): CriStatus {
  const { flavour, cniLoaded } = daemon;
  const message = 'Network plugin returns error: cni plugin not initialized';
  const conditions = [
    { type: 'RuntimeReady', status: true, reason: '', message: '' },
    cniLoaded
      ? { type: 'NetworkReady', status: true, reason: '', message: '' }
      : { type: 'NetworkReady', status: false, reason: 'NetworkPluginNotReady', message },
    ...(flavour.deprecationCondition
      ? [{ type: 'ContainerdHasNoDeprecationWarnings', status: true, reason: '', message: '' }]
      : []),
  ];
  const load = cniLoaded ? 'OK' : `cni config load failed: no network config found in /etc/cni/net.d: ${notLoaded}`;
  return {
    conditions,
    info: {
      golang: JSON.stringify(flavour.golang),
      lastCNILoadStatus: JSON.stringify(load),
      'lastCNILoadStatus.default': JSON.stringify(load),
      config: JSON.stringify(configOf(daemon)),
    },
  };
}

const notLoaded = 'cni plugin not initialized: failed to load cni config';

function configOf({ flavour }: Daemon): unknown {
  const runc = {
    runtimeType: 'io.containerd.runc.v2',
    runtimePath: '',
    PodAnnotations: null,
    ContainerAnnotations: null,
    options: { SystemdCgroup: true },
    ...(flavour.sandboxStore
      ? { sandboxer: 'podsandbox' }
      : flavour.name === '1.7'
        ? { sandboxMode: 'podsandbox' }
        : {}),
  };
  return {
    containerd: { snapshotter: 'overlayfs', defaultRuntimeName: 'runc', runtimes: { runc } },
    cni: flavour.sandboxStore
      ? { binDirs: ['/opt/cni/bin'], confDir: '/etc/cni/net.d', maxConfNum: 1 }
      : { binDir: '/opt/cni/bin', confDir: '/etc/cni/net.d', maxConfNum: 1 },
    containerdRootDir: '/var/lib/containerd',
    containerdEndpoint: '/run/containerd/containerd.sock',
    rootDir: '/var/lib/containerd/io.containerd.grpc.v1.cri',
    stateDir: '/run/containerd/io.containerd.grpc.v1.cri',
  };
}

/** SandboxInfo of PodSandboxStatus, verbose (sandbox_status.go toCRISandboxInfo). */
export function sandboxInfo(daemon: Daemon, { record }: LiveSandbox): Record<string, unknown> {
  const task = daemon.machine.tasks.get(record.id);
  const alive = task !== undefined && task.exit === undefined;
  const { config } = record;
  const slice = config.cgroupParent.slice(config.cgroupParent.lastIndexOf('/') + 1);
  const cgroupsPath = config.cgroupParent.endsWith('.slice')
    ? `${slice}:cri-containerd:${record.id}`
    : `${config.cgroupParent}/${record.id}`;
  return {
    pid: alive ? task.pid : 0,
    processStatus: alive ? 'running' : 'deleted',
    netNamespaceClosed: !config.hostNetwork && !daemon.machine.netns.has(record.netns),
    snapshotKey: record.id,
    snapshotter: 'overlayfs',
    runtimeHandler: record.runtimeHandler,
    runtimeType: 'io.containerd.runc.v2',
    runtimeOptions: { systemd_cgroup: true },
    runtimeSpec: { ociVersion: '1.1.0', linux: { cgroupsPath } },
    cniResult: record.cniResult ? { Interfaces: { eth0: { IPConfigs: [{ IP: record.cniResult.ip }] } } } : null,
    config: {
      metadata: { name: config.name, namespace: config.namespace, uid: config.uid, attempt: config.attempt },
      linux: { cgroup_parent: config.cgroupParent },
    },
  };
}
