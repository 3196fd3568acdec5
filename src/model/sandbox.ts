/** The nouns of CRI, as a snapshot keeps them. Times are nanoseconds of the node's wall clock, exact (bigint). */

export type SandboxState = 'ready' | 'notready';

/** A pod sandbox as ListPodSandbox gives it. Only kubelet's own annotations are kept: others can hold secrets. */
export interface Sandbox {
  readonly id: string;
  /** The pod's name. */
  readonly name: string;
  readonly namespace: string;
  /** The uid kubelet uses: for a static pod the hash of its manifest, not the mirror pod's uid. */
  readonly uid: string;
  readonly attempt: number;
  readonly state: SandboxState;
  /** Nanoseconds since 1970 by the wall clock of the moment of creation; ≤ 0 for a half-created sandbox. */
  readonly createdAtNs: bigint;
  readonly runtimeHandler: string;
  /** `kubernetes.io/config.source`: `api`, `file`, `http`, or empty. */
  readonly configSource: string;
}

export type ContainerState = 'created' | 'running' | 'exited' | 'unknown';

/** A container as ListContainers gives it; `exit` only where ContainerStatus was asked. */
export interface Container {
  readonly id: string;
  readonly sandboxId: string;
  readonly podUid: string;
  readonly name: string;
  /** CRI's attempt: kubelet's restart count at creation. */
  readonly attempt: number;
  readonly state: ContainerState;
  readonly createdAtNs: bigint;
  readonly exit?: ContainerExit;
}

export interface ContainerExit {
  readonly exitCode: number;
  readonly reason: string;
  readonly startedAtNs: bigint;
  readonly finishedAtNs: bigint;
}

/** What PodSandboxStatus (verbose) adds. A field is absent where the runtime does not say. */
export interface SandboxDetail {
  readonly pid?: number;
  readonly processStatus?: string;
  readonly netNamespaceClosed?: boolean;
  readonly ip?: string;
  readonly hostNetwork?: boolean;
  readonly cgroupsPath?: string;
  readonly systemdCgroup?: boolean;
}

/** The pid of a sandbox's pause process by the runtime, 0 where it has none; undefined where it does not tell. */
export function pausePidOf({ pid, processStatus }: SandboxDetail): number | undefined {
  return pid ?? (processStatus === 'deleted' ? 0 : undefined);
}

/** The name a sandbox holds in the runtime: containerd's makeSandboxName (internal/cri/server/helpers.go). */
export interface SandboxName {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
}

/** The name a container holds: containerd's makeContainerName. */
export interface ContainerName extends SandboxName {
  readonly container: string;
}

/** `<pod>_<namespace>_<uid>_<attempt>`. */
export function formatSandboxName(of: SandboxName): string {
  return `${of.name}_${of.namespace}_${of.uid}_${of.attempt}`;
}

/** The parts of a sandbox name, or undefined where it is none. No part may contain `_`, so the split is safe. */
export function parseSandboxName(text: string): SandboxName | undefined {
  const parts = text.split('_');
  const [name, namespace, uid, attempt] = parts;
  if (parts.length !== 4 || !name || !namespace || !uid || attempt === undefined) return undefined;
  const number = parseAttempt(attempt);
  return number === undefined ? undefined : { name, namespace, uid, attempt: number };
}

/** `<container>_<pod>_<namespace>_<uid>_<attempt>`, or undefined. */
export function parseContainerName(text: string): ContainerName | undefined {
  const cut = text.indexOf('_');
  if (cut <= 0) return undefined;
  const rest = parseSandboxName(text.slice(cut + 1));
  return rest === undefined ? undefined : { container: text.slice(0, cut), ...rest };
}

/** How a person names a sandbox: `namespace/pod/attempt`. */
export function describeSandbox(of: SandboxName): string {
  return `${of.namespace}/${of.name}/${of.attempt}`;
}

/** How a person names a pod: `namespace/pod`. */
export function describePod(of: { namespace: string; name: string }): string {
  return `${of.namespace}/${of.name}`;
}

/** The namespace of `namespace/pod`. */
export function namespaceOf(pod: string): string {
  return pod.slice(0, pod.indexOf('/'));
}

function parseAttempt(text: string): number | undefined {
  if (!/^\d{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number <= 0xffff_ffff ? number : undefined;
}
