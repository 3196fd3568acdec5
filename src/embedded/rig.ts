import type { CriRunner } from '../cri/types.ts';

export { embeddedRig } from './embedded-rig.ts';

/**
 * How the scripted CNI plugin answers. `hang`: it never returns and is killed at the call's deadline.
 * `hold`: it hangs and a grandchild keeps its stdout open until released, so the call outlives the client's deadline.
 */
export type CniMode = 'ok' | 'fail' | 'hang' | 'hold';

/** One call of the CNI plugin, as its environment says it. `netns` is empty where the namespace is gone. */
export interface CniCall {
  readonly command: 'ADD' | 'DEL' | 'CHECK';
  readonly sandboxId: string;
  readonly netns: string;
}

/** One containerd under test: embedded or real. Scenario files are written against this and nothing else. */
export interface Rig {
  /** `embedded 1.7` or `containerd 1.7.24`. */
  readonly name: string;
  readonly flavour: '1.6' | '1.7' | '2.1';
  /** A fresh connection after each `start()`. */
  readonly cri: CriRunner;
  cni(mode: { add?: CniMode; del?: CniMode }): Promise<void>;
  /** Removes or restores the conflist; a restart is needed where containerd ignores the change. */
  cniConfigured(present: boolean): Promise<void>;
  /** Ends what `hold` holds. */
  releaseHeld(): Promise<void>;
  /** The plugin's calls since the start of the rig, oldest first. */
  cniCalls(): Promise<CniCall[]>;
  /** SIGKILL to runtime, shims and pause processes; the state directory (tmpfs) is gone; the clock goes on. */
  powerCut(): Promise<void>;
  /** Only the daemon dies; shims and pause processes live. */
  killRuntime(): Promise<void>;
  /** Starts the runtime; `fatal` is its last fatal line where it exits. */
  start(): Promise<{ ok: true } | { ok: false; fatal: string }>;
  /** SIGTERM, and waits. */
  stop(): Promise<void>;
  /** While stopped: a second record on disk with the same name. */
  duplicateRecord(sandboxId: string): Promise<void>;
  /** While stopped: moves all creation dates on disk, as if the clock had been wrong when they were made. */
  shiftDates(seconds: number): Promise<void>;
  /** Leaves nothing behind. */
  close(): Promise<void>;
}
