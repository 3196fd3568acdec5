import { SandwardenError } from '../model/errors.ts';
import type { Container, ContainerExit, ContainerState, Sandbox, SandboxDetail } from '../model/sandbox.ts';
import type * as wire from './gen/runtime/v1/runtime_pb.js';
import { NamespaceMode, PodSandboxState, ContainerState as WireContainerState } from './gen/runtime/v1/runtime_pb.js';
import { bool, number, parseInfo, type RecordOf, record, text } from './info.ts';

/** kubelet's own labels and annotations (pkg/kubelet/types/{labels,pod_update}.go, kuberuntime/labels.go). */
export const kubelet = {
  podName: 'io.kubernetes.pod.name',
  podNamespace: 'io.kubernetes.pod.namespace',
  podUid: 'io.kubernetes.pod.uid',
  containerName: 'io.kubernetes.container.name',
  restartCount: 'io.kubernetes.container.restartCount',
  configSource: 'kubernetes.io/config.source',
} as const;

/**
 * A sandbox of a listing or a status. Without an id nothing can be said of it: ERR_CRI_FAILED. Without metadata it
 * gets a uid of its own (`?<id>`), so that it is never taken for another pod's. A state that is neither
 * READY nor NOTREADY counts as ready: it is left alone.
 */
export function toSandbox(from: wire.PodSandbox | wire.PodSandboxStatus): Sandbox {
  if (from.id === '') throw malformed('a sandbox without an id');
  const labels = from.labels;
  return {
    id: from.id,
    name: from.metadata?.name || (labels[kubelet.podName] ?? ''),
    namespace: from.metadata?.namespace || (labels[kubelet.podNamespace] ?? ''),
    uid: from.metadata?.uid || labels[kubelet.podUid] || `?${from.id}`,
    attempt: from.metadata?.attempt ?? 0,
    state: from.state === PodSandboxState.SANDBOX_NOTREADY ? 'notready' : 'ready',
    createdAtNs: from.createdAt,
    runtimeHandler: from.runtimeHandler,
    configSource: from.annotations[kubelet.configSource] ?? '',
  };
}

/** A container of a listing. `podUid` is empty where kubelet's label is missing. */
export function toContainer(from: wire.Container): Container {
  if (from.id === '') throw malformed('a container without an id');
  return {
    id: from.id,
    sandboxId: from.podSandboxId,
    podUid: from.labels[kubelet.podUid] ?? '',
    name: from.metadata?.name || (from.labels[kubelet.containerName] ?? ''),
    attempt: from.metadata?.attempt ?? 0,
    state: containerStates.get(from.state) ?? 'unknown',
    createdAtNs: from.createdAt,
  };
}

/**
 * A container's status. CRI's status does not name the sandbox; containerd and CRI-O tell it in the verbose info
 * (`sandboxID`), elsewhere it is empty. `exit` is there where it ended.
 */
export function toContainerStatus(from: wire.ContainerStatusResponse): Container {
  const status = from.status;
  if (!status || status.id === '') throw malformed('a container status without a container');
  const info = parseInfo(from.info);
  const listed = {
    id: status.id,
    sandboxId: text(info, 'sandboxID') ?? '',
    podUid: status.labels[kubelet.podUid] ?? '',
    name: status.metadata?.name || (status.labels[kubelet.containerName] ?? ''),
    attempt: status.metadata?.attempt ?? 0,
    state: containerStates.get(status.state) ?? 'unknown',
    createdAtNs: status.createdAt,
  } satisfies Container;
  if (listed.state !== 'exited') return listed;
  const exit: ContainerExit = {
    exitCode: status.exitCode,
    reason: status.reason,
    startedAtNs: status.startedAt,
    finishedAtNs: status.finishedAt,
  };
  return { ...listed, exit };
}

/**
 * What PodSandboxStatus (verbose) adds. `info["info"]` is the runtime's own JSON (containerd SandboxInfo,
 * internal/cri/server/sandbox_status.go): anything of it may be missing or of another type, and is then absent.
 */
export function toSandboxDetail(from: wire.PodSandboxStatusResponse): SandboxDetail {
  const info = parseInfo(from.info);
  const options = from.status?.linux?.namespaces?.options;
  return {
    ...detailOfInfo(info),
    ...(from.status?.network?.ip ? { ip: from.status.network.ip } : {}),
    ...(options ? { hostNetwork: options.network === NamespaceMode.NODE } : {}),
  };
}

/** The part of a sandbox's detail that stands in the runtime's JSON. */
export function detailOfInfo(info: RecordOf<unknown> | undefined): SandboxDetail {
  if (!info) return {};
  const pid = number(info, 'pid');
  const processStatus = text(info, 'processStatus');
  const closed = bool(info, 'netNamespaceClosed');
  const cgroupsPath = text(record(record(info, 'runtimeSpec'), 'linux'), 'cgroupsPath');
  const runtimeOptions = record(info, 'runtimeOptions');
  return {
    ...(pid === undefined ? {} : { pid }),
    ...(processStatus === undefined ? {} : { processStatus }),
    ...(closed === undefined ? {} : { netNamespaceClosed: closed }),
    ...(cgroupsPath === undefined ? {} : { cgroupsPath }),
    // runc's options omit what is false (oci.pb.go, omitempty): `{}` is a driver of cgroupfs.
    ...(runtimeOptions ? { systemdCgroup: runtimeOptions.systemd_cgroup === true } : {}),
  };
}

const containerStates: ReadonlyMap<WireContainerState, ContainerState> = new Map([
  [WireContainerState.CONTAINER_CREATED, 'created'],
  [WireContainerState.CONTAINER_RUNNING, 'running'],
  [WireContainerState.CONTAINER_EXITED, 'exited'],
  [WireContainerState.CONTAINER_UNKNOWN, 'unknown'],
]);

function malformed(what: string): SandwardenError {
  return new SandwardenError('ERR_CRI_FAILED', `the runtime answered with ${what}`, {
    hint: 'What listens on the socket breaks CRI; see which program it is and its version.',
  });
}
