import { cgroupPath, cgroupRootParts } from '../../model/cgroup-names.ts';
import { type CgroupDriver, cgroupDrivers } from '../../model/cgroups.ts';
import { limits } from '../../model/limits.ts';
import type { CgroupFs } from './cgroup-fs.ts';

/** A directory `kubepods` and whose it is. */
export interface PodsTree {
  readonly driver: CgroupDriver;
  /** kubelet's `--cgroup-root`, part by part; empty for `/`. */
  readonly root: readonly string[];
  readonly path: string;
}

/**
 * The trees that kubelets made below `base` (a mount): at the top, else below the given cgroup root, else below any
 * directory at the top. Two of them where the driver was changed and the node has not been rebooted since.
 */
export function findTrees(fs: CgroupFs, base: string, cgroupRoot?: string): PodsTree[] {
  const given = cgroupRootParts(cgroupRoot);
  const there = treesBelow(fs, base, given);
  if (there.length > 0 || given.length > 0) return there;
  const top = (fs.directories(base) ?? []).slice(0, limits.cgroupSearched);
  const roots = new Set(top.map((name) => name.replace(/\.slice$/, '')).filter((name) => !name.includes('.')));
  return [...roots].sort().flatMap((name) => treesBelow(fs, base, [name]));
}

function treesBelow(fs: CgroupFs, base: string, root: readonly string[]): PodsTree[] {
  return cgroupDrivers.flatMap((driver) => {
    const path = cgroupPath(driver, [...root, 'kubepods']);
    return fs.countDirectories(`${base}${path}`) === undefined && fs.directories(`${base}${path}`) === undefined
      ? []
      : [{ driver, root, path }];
  });
}
