import { cgroupPath, qosPath, uidOfPodDirectory } from '../../model/cgroup-names.ts';
import { type CgroupDriver, qosClasses } from '../../model/cgroups.ts';
import type { CgroupFs } from '../../observe/cgroup/cgroup-fs.ts';
import { findTrees } from '../../observe/cgroup/trees.ts';

/** A slice whose `cgroup.subtree_control` decides what pods get, or what the slices below it can get. */
export interface WatchedSlice {
  /** From the mount; `/` is the root. */
  readonly path: string;
  /** Whose names its pods have; absent where no pods are directly in it. */
  readonly driver?: CgroupDriver;
}

/** The slices of each tree of pods below `base`, from the root down; the root alone where kubelet has made none yet. */
export function watchedSlices(fs: CgroupFs, base: string, cgroupRoot?: string): WatchedSlice[] {
  const slices = new Map<string, WatchedSlice>([['/', { path: '/' }]]);
  for (const { driver, root } of findTrees(fs, base, cgroupRoot)) {
    for (let depth = 1; depth <= root.length; depth++) {
      const path = cgroupPath(driver, root.slice(0, depth));
      slices.set(path, { path });
    }
    for (const qos of qosClasses) {
      const path = qosPath(driver, qos, root);
      slices.set(path, { path, driver });
    }
  }
  return [...slices.values()];
}

/** Whether slices of pods come and go in this one, and not only pods. */
export function holdsSlices(slice: WatchedSlice): boolean {
  return slice.driver === undefined || /[/-]kubepods(\.slice)?$/.test(slice.path);
}

/** Whether a directory of this name in a slice can be, or hold, a slice that is watched. */
export function mayBeSlice(name: string | undefined): boolean {
  return name === undefined || !/pod[0-9A-Fa-f]|\.(scope|service|mount|socket|swap|device|timer)$/.test(name);
}

/** The uids of the pods directly in a slice: one listing. */
export function podsIn(fs: CgroupFs, base: string, { path, driver }: WatchedSlice): string[] {
  if (driver === undefined) return [];
  return (fs.directories(`${base}${path}`) ?? []).flatMap((name) => uidOfPodDirectory(name, driver, path) ?? []);
}
