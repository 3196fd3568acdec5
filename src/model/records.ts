import type { ContainerName, SandboxName } from './sandbox.ts';

/**
 * When a log line was written. The wall clock may have been wrong or stepped; `monotonicUs` counts
 * microseconds since the start of boot `bootId` and orders lines of one boot whatever the clock did.
 */
export interface Moment {
  readonly wallNs: bigint;
  readonly bootId?: string;
  readonly monotonicUs?: bigint;
}

/** Occurrences of one thing, folded: a loop of an hour is one record. */
export interface Span {
  readonly count: number;
  readonly first: Moment;
  readonly last: Moment;
}

/** "failed to reserve sandbox|container name …: name … is reserved for …", from kubelet's log or an event. */
export type NameHeld =
  | (Span & { readonly kind: 'sandbox'; readonly asked: SandboxName; readonly holderId: string; readonly text: string })
  | (Span & {
      readonly kind: 'container';
      readonly asked: ContainerName;
      readonly holderId: string;
      readonly text: string;
    });

/**
 * kubelet could not stop a sandbox: in a pod's sync (`sync`), where nothing new is created then, or in its garbage
 * collection (`gc`).
 */
export interface StopFailed extends Span {
  readonly during: 'sync' | 'gc';
  readonly sandboxId: string;
  readonly podUid?: string;
  readonly error: string;
}

/** A RunPodSandbox that kubelet gave up waiting for (DeadlineExceeded, CANCEL). */
export interface RunTimedOut extends Span {
  readonly pod?: { readonly namespace: string; readonly name: string };
  readonly error: string;
}

/** The branches of kubelet's PodSandboxChanged (kuberuntime/util/util.go), the same from 1.20 to 1.36. */
export type ChangeBranch = 'none' | 'several-ready' | 'newest-not-ready' | 'network-mode' | 'no-address';

/** kubelet found that a pod needs another sandbox, and why. Its status lines say it of finished pods too. */
export interface SandboxChange extends Span {
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly branch: ChangeBranch;
}

/**
 * kubelet stopped the containers of a pod and then its sandbox, and no probe, deletion, eviction or change explains it:
 * that is what it does, without a word, where the pod's cgroup lacks something.
 */
export interface UnaskedStop extends Span {
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly podUid?: string;
}

/** kubelet waits before it starts a container again, because it ended each time. */
export interface BackOff extends Span {
  readonly pod: { readonly namespace: string; readonly name: string };
  readonly podUid: string;
  readonly container: string;
  /** How long it waits, the longest that was said: 10 s at first, 5 min at the end (kubelet.go MaxContainerBackOff). */
  readonly delayMs: number;
}

/** kubelet ended at its start, because the cgroup above all pods is not there or lacks a controller. */
export interface RootCgroupRefused extends Span {
  /** kubelet's words. */
  readonly text: string;
  /** The controllers (v1: the paths) that it names; versions up to 1.30 name none. */
  readonly missing: readonly string[];
}

/** kubelet could not register a plugin through this socket. */
export interface RegistrationFailed extends Span {
  readonly socket: string;
  readonly error: string;
}

/** kubelet could not attach or mount a CSI volume of a pod. */
export interface VolumeFailed extends Span {
  readonly driver: string;
  readonly podName: string;
  readonly podUid: string;
  /** The newest words. */
  readonly error: string;
}

/** A container of a sandbox that the runtime created, as often as it did. */
export interface Creation extends Span {
  readonly sandboxId: string;
  /** The pod of the sandbox, where the same log tells it: of a sandbox that is gone nothing else does. */
  readonly podUid?: string;
  readonly container: string;
  /** CRI's attempt of the newest one. */
  readonly attempt: number;
}

/** What the runtime told of containers when it was asked: of the last minutes, if nobody had asked before. */
export interface ContainerEvents {
  readonly creations: readonly Creation[];
}

/** What kubelet's log of this boot says. */
export interface KubeletLog {
  /** The wall-clock date of the oldest line that was looked at; what came before is not known. */
  readonly since: Moment | null;
  readonly lines: number;
  /** More lines than the limit were there; the oldest were left out. */
  readonly truncated: boolean;
  /** `"Kubelet version" kubeletVersion="v1.34.9"`, the newest. */
  readonly version?: string;
  readonly startedAt?: Moment;
  /** The flags that a kubelet inside another program (k3s) was last given, as far as they name its configuration. */
  readonly flags?: readonly string[];
  readonly nameHeld: readonly NameHeld[];
  readonly stopFailed: readonly StopFailed[];
  readonly runTimedOut: readonly RunTimedOut[];
  /** Absent in files of earlier versions. */
  readonly sandboxChanges?: readonly SandboxChange[];
  readonly unaskedStops?: readonly UnaskedStop[];
  readonly backOffs?: readonly BackOff[];
  readonly registrationFailed?: readonly RegistrationFailed[];
  readonly volumeFailed?: readonly VolumeFailed[];
  readonly rootCgroupRefused?: readonly RootCgroupRefused[];
}

/** What the runtime's own log of this boot says. */
export interface RuntimeLog {
  readonly since: Moment | null;
  readonly lines: number;
  readonly truncated: boolean;
  /** The newest start of the daemon that the log shows. */
  readonly startedAt?: Moment;
  /** `failed to recover state: failed to reserve sandbox|container name "…": name "…" is reserved for "…"`. */
  readonly duplicates: readonly DuplicateName[];
  /** Other lines of level fatal, newest last. */
  readonly fatal: readonly (Span & { readonly text: string })[];
  /** RunPodSandbox calls of this start of the daemon that neither returned nor failed. */
  readonly running: readonly { readonly pod: SandboxName; readonly at: Moment }[];
  /**
   * The sandboxes whose RunPodSandbox has returned or failed, or that were removed, newest last, as far as the log
   * reaches.
   */
  readonly settledIds?: readonly string[];
  /** "failed to destroy network for sandbox …", with the plugin's words. */
  readonly cniDelFailed: readonly (Span & { readonly sandboxId: string; readonly error: string })[];
  /** Absent in files of earlier versions. */
  readonly creations?: readonly Creation[];
}

/** Two records on disk with one name: containerd exits at start (restart.go: recover). */
export interface DuplicateName extends Span {
  readonly kind: 'sandbox' | 'container';
  readonly name: string;
  readonly holderId: string;
  readonly text: string;
}
