/** The pods' part of the cgroup tree, as kubelet looks at it. Paths count from the cgroup mount: `/kubepods.slice`. */

/** `v2`: unified. `v1`: one tree a controller. `hybrid`: v1 with an extra unified tree; kubelet takes it for v1. */
export type CgroupMode = 'v2' | 'v1' | 'hybrid';
/** Who names the directories: kubelet's `cgroupDriver`. */
export type CgroupDriver = 'systemd' | 'cgroupfs';
export const cgroupDrivers = ['systemd', 'cgroupfs'] as const satisfies readonly CgroupDriver[];
export type QosClass = 'guaranteed' | 'burstable' | 'besteffort';
export const qosClasses = ['guaranteed', 'burstable', 'besteffort'] as const satisfies readonly QosClass[];

/** A process in a cgroup. */
export interface CgroupProcess {
  readonly pid: number;
  /** Empty where it was gone before it could be asked. */
  readonly comm: string;
}

/** A scope: what a runtime with systemd's driver puts a container in; or a scope or service that holds a slice up. */
export interface CgroupScope {
  readonly path: string;
  /** systemd's `Delegate`; absent where systemd was not asked or does not know it. */
  readonly delegated?: boolean;
  readonly populated?: boolean;
  /** Only where the whole tree was asked for. */
  readonly processes?: readonly CgroupProcess[];
}

/** The root and the inner directories down to the QoS classes: what they hand down is what every pod gets. */
export interface CgroupSlice {
  readonly path: string;
  readonly level: 'root' | 'above' | 'kubepods' | 'burstable' | 'besteffort';
  /** What its children may use (`cgroup.subtree_control`); absent on v1 and where it vanished. */
  readonly subtreeControl?: readonly string[];
  /** Whether a process is somewhere below; absent for the root and on v1. */
  readonly populated?: boolean;
  /** Scopes directly in it: anchors, and what somebody else put there. */
  readonly scopes?: readonly CgroupScope[];
}

/** The cgroup of one pod. */
export interface PodCgroup {
  /** The uid kubelet uses: of a static pod the 32 digits of its manifest's hash. */
  readonly uid: string;
  readonly qos: QosClass;
  readonly driver: CgroupDriver;
  readonly path: string;
  /** What kubelet requires and it has not. */
  readonly missing: readonly string[];
  /** The highest directory that does not hand the missing controllers down (v1: the mount that lacks the directory). */
  readonly lostAt?: string;
  /** It has no directories in it; absent where the file system does not count them. */
  readonly bare?: boolean;
  /** From here on only where it was looked at: something is missing, it is bare, or all was asked for. */
  readonly populated?: boolean;
  readonly scopes?: readonly CgroupScope[];
  /** Directories in it that are no scopes: a container with the cgroupfs driver, a VM runtime's own. */
  readonly others?: readonly CgroupScope[];
}

/** A directory like `….slice:cri-containerd:<id>`: runc's cgroupfs driver took systemd's way of naming literally. */
export interface OddCgroup {
  readonly path: string;
  /** The pod that its name speaks of. */
  readonly uid?: string;
  readonly containerId: string;
  readonly processes: readonly CgroupProcess[];
}

/** What was read of the cgroup tree in one look. */
export interface CgroupFacts {
  readonly mode: CgroupMode;
  /** What the root offers (v2: its `cgroup.controllers`; v1: the controllers that are mounted). */
  readonly rootControllers: readonly string[];
  /** Controllers that v1 hierarchies hold: no v2 tree can have them. */
  readonly mountedV1: readonly string[];
  /** What kubelet asks of the cgroup of each pod on this node. */
  readonly required: readonly string[];
  /** The words of the kernel's command line that withhold or add controllers. */
  readonly kernelWords: readonly string[];
  readonly slices: readonly CgroupSlice[];
  readonly pods: readonly PodCgroup[];
  readonly odd: readonly OddCgroup[];
  /** Whether systemd manages cpuset (244 and newer: it has AllowedCPUs); absent where it did not tell. */
  readonly systemdCpuset?: boolean;
  /** More was there than the limits allow to look at. */
  readonly truncated: boolean;
}

// pkg/kubelet/cm/cgroup_v2_manager_linux.go getSupportedUnifiedControllers; io, rdma and misc are never required.
const requiredOnV2 = ['cpu', 'cpuset', 'memory', 'hugetlb', 'pids'] as const;
// cgroup_v1_manager_linux.go Validate.
const requiredOnV1 = ['cpu', 'cpuacct', 'cpuset', 'memory', 'systemd', 'pids', 'hugetlb'] as const;

/** What kubelet requires: a fixed list, as far as the root (v2) or a mount (v1) has it at kubelet's start. */
export function requiredControllers(mode: CgroupMode, offered: readonly string[]): string[] {
  const list: readonly string[] = mode === 'v2' ? requiredOnV2 : requiredOnV1;
  return list.filter((each) => offered.includes(each));
}

/** Whether a directory is a unit with processes: only these can be delegated (systemd src/core/cgroup.c). */
export function isUnitDirectory(name: string): boolean {
  return /\.(scope|service)$/.test(name);
}

/** A scope or service that holds slices up for Sandwarden. */
export function isAnchor(path: string): boolean {
  return /\/sandwarden-anchor-[^/]*\.(scope|service)$/.test(path);
}
