import type { CgroupDriver } from './cgroups.ts';
import type { SandboxOrder } from './kubelet-choice.ts';
import type { ChangeBranch } from './records.ts';

/**
 * One branch of kubelet's decision. `by-log`: not at this moment, but kubelet's log shows that it went this way.
 * `unknown`: what it hangs on was not read.
 */
export interface PodBranch {
  readonly branch: ChangeBranch | 'cgroup-missing';
  readonly fires: 'yes' | 'no' | 'by-log' | 'unknown';
  readonly why: string;
}

/** Why kubelet does what it does with a pod: its own decision over what is there. */
export interface PodExplanation {
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string };
  /** `kubelet v1.36.2`. */
  readonly kubelet: string;
  /** How it sorts; undefined where its version is not known. */
  readonly order: SandboxOrder | undefined;
  /** Whether kubelet wants it to run, and how that is known. */
  readonly wanted: string;
  /** As kubelet sorts them, the newest first; `places` are counted from 1. */
  readonly sandboxes: readonly {
    readonly id: string;
    readonly attempt: number;
    readonly ready: boolean;
    readonly created: string;
    readonly places: Readonly<Record<SandboxOrder, number>>;
  }[];
  /** Where kubelet looks for the pod's cgroup under each driver. */
  readonly cgroups: readonly {
    readonly driver: CgroupDriver;
    readonly path: string;
    readonly finds: 'directory' | 'nothing' | 'unknown';
    readonly missing: readonly string[];
  }[];
  /** In the order in which kubelet looks: the cgroup first (kubelet.go SyncPod), then PodSandboxChanged. */
  readonly branches: readonly PodBranch[];
  /** The branch that counts; absent where none does. */
  readonly branch?: PodBranch['branch'];
  readonly verdict: string;
  readonly next: string;
  /** What would end it; empty where nothing goes on. */
  readonly ends: string;
  /** What keeps its controllers in place. */
  readonly heldBy: readonly string[];
}
