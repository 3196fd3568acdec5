import type { CgroupFacts } from './cgroups.ts';
import type { ControllerChanges } from './controller-changes.ts';
import type { CsiFacts, VolumeFacts } from './csi.ts';
import type { KernelLog } from './kernel.ts';
import type {
  Boot,
  ClockFacts,
  EndpointInfo,
  KubeletFacts,
  NodeFacts,
  Pod,
  ProcessFacts,
  RuntimeFacts,
  UnitFacts,
  UnitsFacts,
} from './node.ts';
import type { Observed } from './observed.ts';
import type { ContainerEvents, KubeletLog, NameHeld, RuntimeLog } from './records.ts';
import type { KubeletConfigFacts, RuntimeConfigFacts } from './runtime-config.ts';
import type { Container, Sandbox, SandboxDetail } from './sandbox.ts';

/** The version of the snapshot file. A reader refuses what it does not know. */
export const snapshotFormat = 'sandwarden.snapshot/1';

/**
 * A node at one moment, as plain data: all that the rules look at and nothing else.
 * It holds no secrets: no environment, no command lines, no annotations but kubelet's own.
 */
export interface Snapshot {
  readonly format: typeof snapshotFormat;
  /** The version of Sandwarden that took it. */
  readonly takenBy: string;
  readonly node: Observed<NodeFacts>;
  readonly clock: Observed<ClockFacts>;
  readonly boots: Observed<readonly Boot[]>;
  readonly runtime: Observed<RuntimeFacts>;
  /** Which socket was looked at, where another one is live too or was passed over; absent where there was no choice. */
  readonly endpoint?: EndpointInfo;
  readonly runtimeUnit: Observed<UnitFacts>;
  readonly sandboxes: Observed<readonly Sandbox[]>;
  readonly containers: Observed<readonly Container[]>;
  /** PodSandboxStatus of the sandboxes that a decision may hang on, by id. */
  readonly details: Readonly<Record<string, Observed<SandboxDetail>>>;
  readonly kubelet: Observed<KubeletFacts>;
  readonly kubeletLog: Observed<KubeletLog>;
  readonly runtimeLog: Observed<RuntimeLog>;
  readonly processes: Observed<ProcessFacts>;
  /** The pods of this node by the Kubernetes API; unknown where there is none to ask. */
  readonly pods: Observed<readonly Pod[]>;
  /** The units and drop-ins that touch the runtime; absent in files of earlier versions: unknown. */
  readonly units?: Observed<UnitsFacts>;
  /** The pods' part of the cgroup tree; absent in files of earlier versions: unknown. */
  readonly cgroups?: Observed<CgroupFacts>;
  /** What the runtime's files say of cgroup drivers; absent in files of earlier versions: unknown. */
  readonly runtimeConfig?: Observed<RuntimeConfigFacts>;
  /** kubelet's cgroup driver and where it is named; absent in files of earlier versions: unknown. */
  readonly kubeletConfig?: Observed<KubeletConfigFacts>;
  /** Who wrote to the slices while they were watched, before the look; absent where nobody watched: unknown. */
  readonly controllerChanges?: Observed<ControllerChanges>;
  /** What the kernel says of this boot; absent in files of earlier versions: unknown. */
  readonly kernelLog?: Observed<KernelLog>;
  /** The sockets in kubelet's plugin folders; absent in files of earlier versions: unknown. */
  readonly csi?: Observed<CsiFacts>;
  /**
   * What CRI's events tell of the last minutes; absent where nobody asked, and where asking would take them from
   * somebody else: unknown.
   */
  readonly containerEvents?: Observed<ContainerEvents>;
  /** The names that kubelet was refused, by its events in the API; asked for where its log could not be read. */
  readonly refusals?: Observed<readonly NameHeld[]>;
  /** This node's VolumeAttachments by the Kubernetes API; absent in files of earlier versions: unknown. */
  readonly volumes?: Observed<VolumeFacts>;
  /** The drivers that kubelet has registered, by the node's CSINode; absent in files of earlier versions: unknown. */
  readonly csiNode?: Observed<readonly string[]>;
}

/** The sources of a snapshot, in the order a report lists what was not looked at. */
export const snapshotSources = [
  'node',
  'clock',
  'boots',
  'runtime',
  'runtimeUnit',
  'sandboxes',
  'containers',
  'kubelet',
  'kubeletLog',
  'runtimeLog',
  'processes',
  'pods',
] as const satisfies readonly (keyof Snapshot)[];

/** The sources that a file of an earlier version may lack. */
export const laterSources = [
  'units',
  'cgroups',
  'runtimeConfig',
  'kubeletConfig',
  'controllerChanges',
  'kernelLog',
  'csi',
  'containerEvents',
  'refusals',
  'volumes',
  'csiNode',
] as const satisfies readonly (keyof Snapshot)[];
export type SnapshotSource = (typeof snapshotSources)[number] | (typeof laterSources)[number];
