import type { Clock } from '../model/clock.ts';
import type { Diagnosis } from '../model/finding.ts';
import type { Plan } from '../model/plan.ts';
import type { Container, Sandbox } from '../model/sandbox.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { NodeChanges } from './node-changes.ts';
import type { StorageWorld } from './storage-world.ts';

/**
 * What the executor does to a node and reads of it. The command line wires it to CRI, systemd and /proc; tests to a
 * simulated world.
 */
export interface World {
  readonly clock: Clock;
  /** A whole new look, diagnosed and planned with the same choices: for the second listing and for the verification. */
  lookAgain(): Promise<Look>;
  /** The sandboxes and containers of one pod, read now. */
  readPod(podUid: string): Promise<{ sandboxes: readonly Sandbox[]; containers: readonly Container[] }>;
  /** Whether the pause process of a sandbox is alive, read now; undefined where nobody can say. */
  pauseAlive(sandboxId: string): Promise<boolean | undefined>;
  /** Whether a process of this pid is alive, read now. */
  processAlive(pid: number): boolean;
  /** Which runtime and which kubelet answer, read now: a restart in between is a surprise. */
  readIdentity(): Promise<Identity>;
  /**
   * Whether RemovePodSandbox of this runtime stops the sandbox first and removes nothing where that fails. A stop of
   * our own before it would only call the CNI plugins twice.
   */
  removalStops(): Promise<boolean>;
  stopSandbox(id: string): Promise<void>;
  removeSandbox(id: string): Promise<void>;
  /** SIGKILL to a process if it is still the one that started then. `gone` where it is not there any more. */
  killProcess(pid: number, startedUptimeNs: bigint): Promise<'killed' | 'gone'>;
  /** systemctl restart; resolves when the unit is active and CRI answers. */
  restartUnit(unit: string): Promise<void>;
  /** Files and units; absent on a node of which nothing but CRI may be changed (the embedded one, at boot). */
  readonly changes?: NodeChanges;
  /** CSI's sockets and the Kubernetes API; absent where there are no credentials, and on an embedded node without. */
  readonly storage?: StorageWorld;
}

export interface Look {
  readonly snapshot: Snapshot;
  readonly diagnosis: Diagnosis;
  readonly plan: Plan;
  /** Uptime at which the listings of this look were complete; where absent, the executor waits from its own start. */
  readonly listedUptimeNs?: bigint;
}

export interface Identity {
  readonly runtimePid?: number;
  readonly runtimeStartedUptimeNs?: bigint;
  readonly kubeletRunning?: boolean;
  readonly kubeletPid?: number;
}
