import { createHash } from 'node:crypto';
import { uidOfPodDirectory } from '../model/cgroup-names.ts';
import type { QosClass } from '../model/cgroups.ts';
import { isUnitName } from './bus.ts';

/** What the name of each unit of ours begins with that holds a slice. */
export const ANCHOR = 'sandwarden-anchor-';

/** What a slice is to kubelet. */
export type SliceRole =
  | { readonly kind: 'qos'; readonly qos: QosClass }
  | { readonly kind: 'pod'; readonly uid: string }
  | { readonly kind: 'other' };

/** By its name: `kubepods-burstable.slice`, `kubepods-burstable-pod1234.slice`; below a cgroup root `foo-kubepods…`. */
export function roleOfSlice(slice: string): SliceRole {
  const [, stem, qos] = /^((?:[^/]*-)?kubepods(?:-(burstable|besteffort))?)(?:-pod[^/]*)?\.slice$/.exec(slice) ?? [];
  if (stem === undefined) return { kind: 'other' };
  if (slice === `${stem}.slice`) return { kind: 'qos', qos: (qos ?? 'guaranteed') as QosClass };
  const uid = uidOfPodDirectory(slice, 'systemd', `/${stem}.slice`);
  return uid === undefined ? { kind: 'other' } : { kind: 'pod', uid };
}

/**
 * The name of what holds a slice, the same each time: `sandwarden-anchor-burstable.scope`. It never holds the letters
 * `pod`: kubelet takes any directory below its QoS classes whose name has them for the cgroup of a pod, and a pod that
 * it does not know is killed with all processes (pkg/kubelet/cm/pod_container_manager_linux.go GetAllPodsFromCgroups,
 * kubelet_pods.go cleanupOrphanedPodCgroups). So `sandwarden-anchor-kubepods.scope` would not live for two seconds.
 */
export function anchorName(slice: string, kind: 'scope' | 'service' = 'scope'): string {
  const role = roleOfSlice(slice);
  const plain = role.kind === 'qos' ? role.qos : role.kind === 'pod' ? role.uid : slice.replace(/\.slice$/, '');
  const name = `${ANCHOR}${plain}.${kind}`;
  if (!plain.includes('pod') && isUnitName(name)) return name;
  return `${ANCHOR}${createHash('sha256').update(slice).digest('hex').slice(0, 32)}.${kind}`;
}

/** Whether a unit is one of ours, by its name. */
export function isAnchorName(name: string): boolean {
  return name.startsWith(ANCHOR) && /\.(scope|service)$/.test(name) && isUnitName(name);
}
