import type { Container, Sandbox, SandboxDetail } from '../model/sandbox.ts';

/** What Version says. */
export interface CriVersion {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly runtimeApiVersion: string;
}

/** What Status (verbose) says. `info` is the runtime's own JSON, by key. */
export interface CriStatus {
  readonly conditions: readonly {
    readonly type: string;
    readonly status: boolean;
    readonly reason: string;
    readonly message: string;
  }[];
  readonly info: Readonly<Record<string, string>>;
}

/** One event of GetContainerEvents. */
export interface CriEvent {
  readonly id: string;
  readonly type: 'created' | 'started' | 'stopped' | 'deleted';
  /** By the runtime's wall clock. */
  readonly atNs: bigint;
  /** Of an event about a container: its name, its attempt and its sandbox; absent where it is about a sandbox. */
  readonly container?: { readonly name: string; readonly attempt: number; readonly sandboxId: string };
}

/**
 * The reads of CRI v1, in the model's nouns. Every call has a deadline (model/limits.ts) and
 * throws a SandwardenError: ERR_SOCKET_* for the connection, ERR_RUNTIME_NOT_READY, ERR_CRI_NOT_FOUND,
 * ERR_CRI_UNIMPLEMENTED, ERR_CRI_FAILED.
 */
export interface CriReader {
  version(): Promise<CriVersion>;
  status(): Promise<CriStatus>;
  /** `undefined` where the runtime does not implement RuntimeConfig (containerd 1.x). */
  cgroupDriver(): Promise<'systemd' | 'cgroupfs' | undefined>;
  listSandboxes(filter?: { id?: string; podUid?: string }): Promise<Sandbox[]>;
  /** PodSandboxStatus, verbose. Throws ERR_CRI_NOT_FOUND where it is gone. */
  sandboxStatus(id: string): Promise<{ sandbox: Sandbox; detail: SandboxDetail }>;
  listContainers(filter?: { sandboxId?: string; podUid?: string }): Promise<Container[]>;
  /** ContainerStatus; the container has `exit` where it ended. Throws ERR_CRI_NOT_FOUND where it is gone. */
  containerStatus(id: string): Promise<Container>;
  events(signal: AbortSignal): AsyncIterable<CriEvent>;
  close(): void;
}

/** The two writes that healing may use. */
export interface CriWriter {
  stopSandbox(id: string): Promise<void>;
  removeSandbox(id: string): Promise<void>;
}

/** What a kubelet does with a runtime: only the embedded kubelet and the laboratory use it. */
export interface CriRunner extends CriReader, CriWriter {
  runSandbox(spec: SandboxSpec, timeoutMs?: number): Promise<string>;
  createContainer(spec: ContainerSpec): Promise<string>;
  startContainer(id: string): Promise<void>;
  stopContainer(id: string, graceMs: number): Promise<void>;
  removeContainer(id: string): Promise<void>;
}

export interface SandboxSpec {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
  readonly hostNetwork?: boolean;
  readonly cgroupParent?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface ContainerSpec {
  readonly sandboxId: string;
  readonly sandbox: SandboxSpec;
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly command: readonly string[];
}
