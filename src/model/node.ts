import type { QosClass } from './cgroups.ts';
import type { Moment } from './records.ts';
import type { RuntimeHandler } from './runtime-config.ts';

/** The machine at the moment of the look. */
export interface NodeFacts {
  readonly hostname: string;
  readonly kernel: string;
  readonly arch: string;
  readonly bootId: string;
  /** The node's wall clock at the look, nanoseconds since 1970. It may be wrong. */
  readonly wallNs: bigint;
  /** Time since boot by the kernel's own count (/proc/uptime), nanoseconds: never stepped. */
  readonly uptimeNs: bigint;
}

/** How the wall clock of this boot is kept. */
export interface ClockFacts {
  /** systemd says the clock is synchronised (`NTPSynchronized`). */
  readonly synchronized?: boolean;
  /** A real-time clock is there (/sys/class/rtc/rtc0). */
  readonly hasRtc?: boolean;
  /** The real-time clock's own date, nanoseconds. */
  readonly rtcNs?: bigint;
}

/** One boot as the journal knows it, oldest first; the last one is the current boot. */
export interface Boot {
  readonly bootId: string;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  /** How it ended: `clean` has a shutdown record, `unclean` has none, `running` is the current boot. */
  readonly end: 'clean' | 'unclean' | 'running' | 'unknown';
}

/** The process that is kubelet: `kubelet`, or `k3s`/`rke2`/`k0s`/`kubelite` that contain it. */
export interface KubeletFacts {
  /** false only where every process was looked at and none is a kubelet. */
  readonly running: boolean;
  readonly pid?: number;
  readonly comm?: string;
  /** Its start, nanoseconds since boot. */
  readonly startedUptimeNs?: bigint;
  /** `v1.34.9`, from its log or its binary. */
  readonly version?: string;
  /** Where `version` comes from, for the evidence. */
  readonly versionFrom?: string;
}

/** Which socket was looked at, why, and which other ones are live too. */
export interface EndpointInfo {
  readonly endpoint: string;
  /** How it was chosen, e.g. `--runtime-endpoint`, `/etc/crictl.yaml`, `known socket`. */
  readonly from: string;
  readonly others: readonly string[];
  /** Known sockets before it that are live and do not speak CRI, and how that showed; absent where there was none. */
  readonly passedOver?: readonly { readonly endpoint: string; readonly why: string }[];
}

/** The container runtime behind the CRI socket. */
export interface RuntimeFacts {
  readonly endpoint: string;
  /** How the endpoint was chosen, e.g. `--runtime-endpoint`, `/etc/crictl.yaml`. */
  readonly endpointFrom: string;
  /** Other sockets that were live too and not taken. */
  readonly otherEndpoints: readonly string[];
  /** `containerd`, `cri-o` … as Version says it. */
  readonly name: string;
  readonly version: string;
  readonly runtimeReady: boolean;
  readonly networkReady: boolean;
  readonly networkMessage: string;
  /** The status of the CNI configuration, where the runtime tells (`lastCNILoadStatus`). */
  readonly lastCniLoadStatus?: string;
  readonly cniConfDir?: string;
  readonly cniBinDir?: string;
  readonly rootDir?: string;
  readonly stateDir?: string;
  /** `systemd` or `cgroupfs` by RuntimeConfig; absent where the runtime does not implement it. */
  readonly cgroupDriver?: string;
  /** The handlers as the running daemon has them, and which of them a pod without a RuntimeClass gets. */
  readonly handlers?: readonly RuntimeHandler[];
  readonly defaultHandler?: string;
  /** Milliseconds each call took. */
  readonly latencyMs: Readonly<Record<string, number>>;
}

/** A process that may hold a reservation: a CNI plugin, a shim, a runc. */
export interface HolderProcess {
  readonly pid: number;
  readonly ppid: number;
  readonly comm: string;
  /** `cni`: a child of the runtime that runs a CNI plugin; `runc`: runc in any state; `shim`: a shim. */
  readonly role: 'cni' | 'runc' | 'shim';
  /** `R`, `S`, `D` … of /proc/PID/stat. */
  readonly state: string;
  readonly startedUptimeNs: bigint;
  /** CNI_COMMAND, CNI_CONTAINERID and K8S_POD_* of its environment; nothing else of it is kept. */
  readonly cniCommand?: string;
  readonly cniContainerId?: string;
  readonly pod?: { readonly namespace: string; readonly name: string };
}

export interface ProcessFacts {
  readonly runtimePid?: number;
  readonly runtimeStartedUptimeNs?: bigint;
  readonly holders: readonly HolderProcess[];
}

/** A pod of this node as the Kubernetes API or a static manifest knows it. */
export interface Pod {
  readonly name: string;
  readonly namespace: string;
  /** The uid kubelet uses (a mirror pod is listed under its `config.hash`). */
  readonly uid: string;
  readonly phase: string;
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never';
  readonly deleting: boolean;
  /** It decides where its cgroup is; absent where the API did not say. */
  readonly qos?: QosClass;
  /** Whether it shall use the node's own network; absent in files of earlier versions. */
  readonly hostNetwork?: boolean;
  /** The controller that made it: `DaemonSet`, `longhorn-csi-plugin`. */
  readonly owner?: { readonly kind: string; readonly name: string };
  readonly containers?: readonly PodContainer[];
  /** Its PersistentVolumeClaims, and the drivers of the CSI volumes that its own spec names. */
  readonly claims?: readonly string[];
  readonly inlineDrivers?: readonly string[];
}

/** A container of a pod as the API tells; init containers too. Absent in files of earlier versions. */
export interface PodContainer {
  readonly name: string;
  readonly state: 'waiting' | 'running' | 'terminated' | 'unknown';
  /** `CrashLoopBackOff`, `ContainerCreating` … */
  readonly reason?: string;
  /** What kubelet says beside the reason, e.g. `back-off 5m0s restarting failed container=…`; shortened. */
  readonly message?: string;
  readonly ready: boolean;
  readonly restarts: number;
  /** How it ended the last time. The date is by the node's wall clock of that moment. */
  readonly lastExit?: { readonly exitCode: number; readonly reason: string; readonly finishedAtNs?: bigint };
  /** The folders of kubelet's that it mounts, as paths of the node. */
  readonly kubeletPaths?: readonly string[];
  /** It mounts volumes for others (mountPropagation: Bidirectional), as the driver itself does. */
  readonly mountsForOthers?: true;
}

/** The state of the unit the runtime runs in, where systemd tells. */
export interface UnitFacts {
  readonly name: string;
  readonly activeState: string;
  readonly subState: string;
  readonly since?: Moment;
}

/** A line of a unit, a drop-in or a script that one of them runs, as it stands there. */
export interface UnitLine {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  readonly text: string;
}

/** A call of `crictl` or `ctr` in a unit's Exec line, or in a script that the line names. */
export interface UnitCall extends UnitLine {
  /** The unit that runs it. */
  readonly unit: string;
  /** `ExecStartPre`, `ExecStart`, `ExecStartPost` … */
  readonly key: string;
  /** The unit's own line, where the call stands in a script. */
  readonly by?: UnitLine;
  /**
   * The words that hide a failure (`|| true`, `2>/dev/null`, a leading `-`, a pipe into xargs), where there are some.
   */
  readonly hides?: string;
}

/** What a unit with such a call says of its place in the boot: `After=`, `Before=`, `Requires=` … and one name each. */
export interface UnitOrder extends UnitLine {
  readonly unit: string;
  readonly key: string;
  readonly other: string;
}

/** The units of this node as far as they touch the runtime. Of other units and lines nothing is kept. */
export interface UnitsFacts {
  /** The units of runtimes and kubelets that are installed: `k3s.service`, `containerd.service` … */
  readonly installed: readonly string[];
  readonly calls: readonly UnitCall[];
  readonly orders: readonly UnitOrder[];
}
