import type { CgroupDriver, QosClass } from './cgroups.ts';

/**
 * How kubelet names the cgroups of pods. Sources: pkg/kubelet/cm/cgroup_manager_linux.go ToSystemd and ToCgroupfs,
 * pod_container_manager_linux.go GetPodContainerName.
 */

/** The parts of kubelet's `--cgroup-root` (container_manager_linux.go ParseCgroupfsToCgroupName); none for `/`. */
export function cgroupRootParts(cgroupRoot = ''): string[] {
  return cgroupRoot.split('/').filter((each) => each !== '' && each !== '.' && each !== '..');
}

/**
 * The path of a QoS class below kubelet's `--cgroup-root` (`[]` is `/`, `['foo']` is `/foo`); guaranteed pods are
 * directly in `kubepods`.
 */
export function qosPath(driver: CgroupDriver, qos: QosClass, root: readonly string[] = []): string {
  return cgroupPath(driver, [...root, 'kubepods', ...(qos === 'guaranteed' ? [] : [qos])]);
}

/** The path that kubelet expects a pod's cgroup at. */
export function podCgroupPath(driver: CgroupDriver, qos: QosClass, uid: string, root: readonly string[] = []): string {
  return cgroupPath(driver, [...root, 'kubepods', ...(qos === 'guaranteed' ? [] : [qos]), `pod${uid}`]);
}

/** `a/b` of kubelet's names as a path: `/a/b`, or `/a.slice/a-b.slice` with dashes of a name written as `_`. */
export function cgroupPath(driver: CgroupDriver, names: readonly string[]): string {
  if (driver === 'cgroupfs') return `/${names.join('/')}`;
  const escaped = names.map((each) => each.replaceAll('-', '_'));
  return `/${escaped.map((_, index) => `${escaped.slice(0, index + 1).join('-')}.slice`).join('/')}`;
}

/** The uid in the name of a pod's directory below `parent` (`kubepods-burstable.slice`), or undefined. */
export function uidOfPodDirectory(name: string, driver: CgroupDriver, parent: string): string | undefined {
  if (driver === 'cgroupfs') return /^pod([0-9A-Za-z_-]{1,128})$/.exec(name)?.[1];
  const stem = parent.endsWith('.slice') ? parent.slice(parent.lastIndexOf('/') + 1, -'.slice'.length) : parent;
  if (!name.endsWith('.slice') || !name.startsWith('-pod', stem.length) || !name.startsWith(stem)) return undefined;
  const uid = name.slice(stem.length + '-pod'.length, -'.slice'.length);
  return /^[0-9A-Za-z_]{1,128}$/.test(uid) ? uid.replaceAll('_', '-') : undefined;
}

/** The parts of `….slice:cri-containerd:<id>` (CRI-O: `:crio:`), as a directory's name; undefined where it is none. */
export function partsOfOddDirectory(name: string): { readonly uid?: string; readonly containerId: string } | undefined {
  const [, slice = '', containerId] = /^([^:/]{1,300}\.slice):[\w.-]{1,64}:([\w.-]{1,128})$/.exec(name) ?? [];
  if (containerId === undefined) return undefined;
  const uid = /(?:^|-)kubepods(?:-burstable|-besteffort)?-pod([0-9A-Za-z_]{1,128})\.slice$/.exec(slice)?.[1];
  return { ...(uid === undefined ? {} : { uid: uid.replaceAll('_', '-') }), containerId };
}
