import type { Severity } from './finding.ts';
import type { Observed } from './observed.ts';

/** What the API says about all nodes of a cluster. Dates are of the cluster's clocks, nanoseconds since 1970. */
export interface FleetFacts {
  /** The API server that was asked. */
  readonly server: string;
  /** The server's own date. */
  readonly nowNs: bigint;
  readonly nodes: Observed<readonly FleetNode[]>;
  /** When each node was last heard of, by its lease. */
  readonly heartbeats: Observed<ReadonlyMap<string, bigint>>;
  /** Pods that are neither running and ready nor at their end. */
  readonly pods: Observed<readonly FleetPod[]>;
  /** The DaemonSets that bring CSI node plugins. */
  readonly csiPlugins: Observed<readonly string[]>;
  readonly events: Observed<readonly FleetEvent[]>;
}

/** The annotation by which a node tells of its last unclean boot; its value is the JSON of an UncleanBoot. */
export const uncleanBootAnnotation = 'sandwarden/last-unclean-boot';

/** A boot that followed an unclean end, as the node itself tells it. */
export interface UncleanBoot {
  /** When it began, by the API server's clock. */
  readonly atNs: bigint;
  readonly bootId: string;
  /** How many sandboxes were removed in it, and how many were left to kubelet or a person, before it was told. */
  readonly removed: number;
  readonly left: number;
}

export interface FleetNode {
  readonly name: string;
  readonly ready: 'yes' | 'no' | 'unknown';
  readonly readyReason: string;
  readonly readySinceNs?: bigint;
  /** The kernel's id of the boot, as kubelet told it last. */
  readonly bootId?: string;
  readonly uncleanBoot?: UncleanBoot;
  /** Conditions other than Ready that hold: MemoryPressure, DiskPressure … */
  readonly conditions: readonly string[];
  readonly cordoned: boolean;
}

/** A row of `kubectl get pods -o wide`. */
export interface FleetPod {
  readonly name: string;
  /** Only where a pod of another namespace has the same name on the same node: the table has no namespaces. */
  readonly namespace?: string;
  readonly node: string;
  /** As kubectl shows it: CrashLoopBackOff, ContainerCreating, Init:0/1, Running (with one that is not ready). */
  readonly status: string;
  readonly restarts: number;
  /** How long ago it was made, rounded as kubectl does. */
  readonly ageSeconds: number;
}

export interface FleetEvent {
  readonly reason: 'FailedCreatePodSandBox' | 'SandboxChanged' | 'Rebooted' | 'FailedMount';
  readonly node: string;
  /** `NAMESPACE/NAME` of the pod, the name of the node for `Rebooted`. */
  readonly object: string;
  readonly count: number;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
  /** The sandbox that holds a name, where the message tells of one. */
  readonly holderId?: string;
  /** The CSI driver that is not registered, where the message tells of one. */
  readonly driver?: string;
}

/** One thing that is wrong with a node. */
export interface FleetProblem {
  readonly severity: Exclude<Severity, 'info'>;
  readonly says: string;
  /** The finding that `check` on the node would most likely give. */
  readonly suspects?: string;
  /** Since when, where the API tells. */
  readonly sinceNs?: bigint;
}

export interface FleetVerdict {
  readonly name: string;
  readonly state: 'errors' | 'warnings' | 'healthy';
  /** Sandboxes that hold names of others, by kubelet's events of the last minutes. */
  readonly ghosts: number;
  /** By kubelet's event, which the API keeps for an hour: without it a boot may be as near as that. */
  readonly rebootedNs?: bigint;
  /**
   * Since when it is ready without a break, where it is. The break before was a boot, or a kubelet or a network that
   * was away: the API does not tell which.
   */
  readonly readySinceNs?: bigint;
  /** Another one than an hour ago or a week ago is another boot: who asks again can tell. */
  readonly bootId?: string;
  /**
   * The last boot that followed an unclean end: as the node tells it (`removed` is there then), else a boot within the
   * hour that ghosts give away.
   */
  readonly uncleanBoot?: { readonly atNs: bigint; readonly removed?: number; readonly left?: number };
  readonly lastHeardNs?: bigint;
  readonly podsNotReady: number;
  readonly problems: readonly FleetProblem[];
  readonly sinceNs?: bigint;
}

export interface FleetReport {
  readonly server: string;
  readonly nowNs: bigint;
  /** Those with errors first, then those with warnings; what has lasted longest first. */
  readonly nodes: readonly FleetVerdict[];
  readonly counts: { readonly errors: number; readonly warnings: number; readonly healthy: number };
  /** What could not be read, and what that costs. */
  readonly missing: readonly { readonly what: string; readonly message: string; readonly hint: string }[];
}
