import type { Tier } from './finding.ts';

/** What a plan may do. What does it is in heal/actions/. */
export const actionKinds = [
  'remove-sandbox',
  'kill-cni',
  'write-config',
  'order-unit',
  'restore-files',
  'restart-runtime',
  'restart-kubelet',
  'set-allowed-cpus',
  'hold-slice',
  'release-slice',
  'unlink-socket',
  'delete-pod',
  'delete-attachment',
] as const;
export type ActionKind = (typeof actionKinds)[number];

/** One step of a plan, for one object. */
export interface Action {
  readonly kind: ActionKind;
  /** The full id of the object: a sandbox id, a pid with its start (`412@8812`), a unit. */
  readonly target: string;
  /** How a person names it: `default/web/0`. */
  readonly object: string;
  /** The finding that it mends. */
  readonly code: string;
  readonly tier: Tier;
  /** Why, in plain words. */
  readonly reason: string;
  /** What must still be true when it acts, in plain words. */
  readonly precondition: string;
  /** What should be seen afterwards, in plain words. */
  readonly expects: string;
  /** What the executor compares with what it reads again. */
  readonly guard: Guard;
  /** The change as a person reads it, a unified diff; never in the journal: files hold passwords of registries. */
  readonly diff?: string;
  /** What is to be written, by path; only while the plan is in hand, never in the journal or in any output. */
  readonly contents?: ReadonlyMap<string, string>;
}

export type Guard =
  | RemoveGuard
  | ProcessGuard
  | FilesGuard
  | RestartGuard
  | CpusGuard
  | SliceGuard
  | UnlinkGuard
  | DeletePodGuard
  | DeleteAttachmentGuard;

/** A registration socket that nobody listens on: this very file. */
export interface UnlinkGuard {
  readonly kind: 'unlink-socket';
  readonly path: string;
  readonly device: string;
  readonly inode: string;
}

/** A pod that waits in back-off for the socket of a CSI driver: this very pod, once the socket answers. */
export interface DeletePodGuard {
  readonly kind: 'delete-pod';
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The driver's name, and its folder below kubelet's plugins. */
  readonly driver: string;
  readonly folder: string;
  readonly socket: string;
}

export interface DeleteAttachmentGuard {
  readonly kind: 'delete-attachment';
  readonly name: string;
  readonly uid: string;
  readonly driver: string;
  readonly volume: string;
}

export interface RemoveGuard {
  readonly kind: 'remove-sandbox';
  readonly sandboxId: string;
  readonly podUid: string;
  readonly attempt: number;
  readonly createdAtNs: bigint;
  /**
   * The pid of its pause process by the runtime's word, 0 where it has none; absent where the look did not tell. It is
   * final for a sandbox that was made and is NotReady: no runtime starts a process in it again.
   */
  readonly pausePid?: number;
}

export interface ProcessGuard {
  readonly kind: 'kill-cni';
  readonly pid: number;
  readonly startedUptimeNs: bigint;
}

export interface RestartGuard {
  readonly kind: 'restart-runtime' | 'restart-kubelet';
  readonly unit: string;
  /** The handlers that must have SystemdCgroup in force afterwards, by CRI Status. */
  readonly on?: readonly string[];
}

/** A file as it stands, or shall stand. */
export interface FileIdentity {
  readonly sha256: string;
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** One file of a change. */
export interface FileStep {
  readonly path: string;
  /** Absent where nothing stands there. */
  readonly before?: FileIdentity;
  /** Absent where it is removed. */
  readonly after?: FileIdentity;
  /** Folders that are made with it, outermost first; taken back with it where they are empty then. */
  readonly folders: readonly string[];
}

/** Files that are changed together or not at all. */
export interface FilesGuard {
  readonly kind: 'write-config' | 'order-unit' | 'restore-files';
  readonly files: readonly FileStep[];
  /** containerd's first file: `config dump` must take it afterwards, and have SystemdCgroup on for these handlers. */
  readonly dump?: { readonly file: string; readonly on: readonly string[] };
  /** systemd reads its units again; `unit` must be ordered after these then. */
  readonly reload?: { readonly unit: string; readonly after: readonly string[] };
  /** The units that are restarted for it, in this order: what taking it back restarts too. */
  readonly restarts: readonly string[];
}

/** A slice that an anchor of ours holds, or shall hold no more. */
export interface SliceGuard {
  readonly kind: 'hold-slice' | 'release-slice';
  readonly slice: string;
}

export interface CpusGuard {
  readonly kind: 'set-allowed-cpus';
  readonly unit: string;
  /** AllowedCPUs as systemd shows it; empty where it is not set. */
  readonly before: string;
  readonly after: string;
}

/** Why something is left alone. Refusing is an answer, with the numbers behind it. */
export interface Refusal {
  readonly object: string;
  readonly target: string;
  readonly code: string;
  readonly reason: string;
  /** What would lift it (`--allow=disruptive`), where something would. */
  readonly lift?: string;
  /** It is over by itself within seconds, as a rule: another look is taken before it is told. */
  readonly passes?: true;
  /** What somebody else changed, a unified diff. */
  readonly diff?: string;
}

export interface Plan {
  /** Ordered: they are done in this order, removals of one pod oldest cause first. */
  readonly actions: readonly Action[];
  readonly refusals: readonly Refusal[];
  /** The pods that should start once the plan is done, as `namespace/name`. */
  readonly pods: readonly string[];
  /** What follows by itself once the plan is done, and is waited for; absent where nothing of CSI is in it. */
  readonly storage?: StorageGoal;
}

/** The CSI drivers that the plan brings back, and who waits for them. */
export interface StorageGoal {
  readonly drivers: readonly string[];
  /** The pods that wait for volumes, and the sidecars that are deleted, as `namespace/name`. */
  readonly follow: readonly string[];
  /** Of those, the ones that keep their name and must run in the end. */
  readonly waiting: readonly string[];
}

/** What became of one action. */
export interface ActionOutcome {
  readonly action: Action;
  readonly result: 'done' | 'already' | 'failed' | 'skipped';
  /** For all but `done`: why, in plain words. */
  readonly why: string;
  readonly tookMs: number;
}

export interface Outcome {
  readonly actions: readonly ActionOutcome[];
  /** The surprise that stopped the run, where one did. */
  readonly stopped?: { readonly code: string; readonly message: string; readonly hint: string };
  readonly recovery: Recovery;
}

/** What was seen after the last action. */
export interface Recovery {
  readonly state: 'recovered' | 'partly' | 'not-yet' | 'not-checked';
  readonly tookMs: number;
  readonly recovered: readonly string[];
  readonly waiting: readonly { readonly pod: string; readonly why: string }[];
  /** What of CSI was waited for, in its order; absent where the plan had nothing to do with it. */
  readonly stages?: readonly Stage[];
}

export const stageNames = ['sockets', 'registration', 'sidecars', 'attachments', 'pods', 'applications'] as const;
export type StageName = (typeof stageNames)[number];

/** One stage of a recovery. */
export interface Stage {
  readonly name: StageName;
  /** `unknown`: nobody can say; it is not taken for green. */
  readonly state: 'green' | 'red' | 'unknown';
  readonly green: number;
  readonly of: number;
  /** When it was first seen green, milliseconds after the run began; absent where it is not. */
  readonly afterMs?: number;
  /** What is not green, and why. */
  readonly red: readonly { readonly object: string; readonly why: string }[];
  /** What is not waited for, and why, in plain words; absent where all of it is. */
  readonly note?: string;
}
