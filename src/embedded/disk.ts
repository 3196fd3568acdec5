/** A sandbox as the CRI client asks for it; labels and annotations are the client's own. */
export interface SandboxConfig {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
  readonly hostNetwork: boolean;
  readonly cgroupParent: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ContainerConfig {
  readonly name: string;
  readonly attempt: number;
  readonly image: string;
  readonly command: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** A sandbox in meta.db: the container record with its metadata, or (2.x, before that) the sandbox store's alone. */
export interface SandboxRecord {
  readonly id: string;
  readonly name: string;
  readonly config: SandboxConfig;
  readonly runtimeHandler: string;
  /** When the container record was made; absent while only the sandbox store knows of it. */
  createdAtNs: bigint | undefined;
  /** Empty until the network namespace is made, and for the host's network. */
  netns: string;
  /** What CNI ADD gave. */
  cniResult: { readonly ip: string } | undefined;
}

/** A container in meta.db, and its status file. */
export interface ContainerRecord {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly podUid: string;
  createdAtNs: bigint;
  startedAtNs: bigint;
  finishedAtNs: bigint;
  exitCode: number;
  reason: string;
}

/** What survives a power cut: meta.db, the containers' status files, the CNI configuration. */
export class Disk {
  readonly sandboxes = new Map<string, SandboxRecord>();
  readonly containers = new Map<string, ContainerRecord>();
  conflist = true;
  /** The files of sockets below kubelet's folders, by path. */
  readonly sockets = new Map<string, { readonly madeAtNs: bigint; readonly inode: number }>();

  /** A second record with the same name under another id. */
  duplicate(sandboxId: string, newId: string): void {
    const record = this.sandboxes.get(sandboxId);
    if (!record) throw new Error(`no record of sandbox ${sandboxId}`);
    this.sandboxes.set(newId, { ...record, id: newId });
  }

  /** Moves every date, as if the clock had been wrong when the records were made. */
  shiftDates(seconds: number): void {
    const byNs = BigInt(Math.round(seconds * 1e9));
    for (const each of this.sandboxes.values()) if (each.createdAtNs !== undefined) each.createdAtNs += byNs;
    for (const each of this.containers.values()) {
      each.createdAtNs += byNs;
      if (each.startedAtNs !== 0n) each.startedAtNs += byNs;
      if (each.finishedAtNs !== 0n) each.finishedAtNs += byNs;
    }
  }
}
