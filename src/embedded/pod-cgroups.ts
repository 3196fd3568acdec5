import type { PodSpec } from './pod-spec.ts';

/** The cgroup of a pod could not be made, changed or removed; kubelet says so and tries it again. */
export class CgroupFailed extends Error {
  override readonly name = 'CgroupFailed';
}

/**
 * kubelet's container manager, as far as the cgroups of pods go (pkg/kubelet/cm). The embedded node has none; in the
 * laboratory it is systemd and the kernel (lab/vm/standin-cgroups.ts). All but `exists` throw CgroupFailed.
 */
export interface PodCgroups {
  /** Makes the slices of the QoS classes. Where that fails kubelet ends. */
  start(): Promise<void>;
  /** Whether the pod's cgroup is there with every controller that kubelet requires. Logged nowhere, as by kubelet. */
  exists(pod: PodSpec): boolean;
  /** Makes the pod's cgroup, and hands the controllers down to it. */
  ensureExists(pod: PodSpec): Promise<void>;
  /** What kubelet does each minute, after each kill and before it makes a pod's cgroup. */
  updateQos(): Promise<void>;
  /** Kills what is in the pod's cgroup, and removes it. */
  destroy(pod: PodSpec): Promise<void>;
  /** Does the same to what looks like the cgroup of a pod whose uid is not among the known ones. */
  cleanUp(known: ReadonlySet<string>): Promise<void>;
}
