import { type CgroupScope, isUnitDirectory, type PodCgroup } from '../../model/cgroups.ts';
import type { CgroupFs } from './cgroup-fs.ts';
import { processesOf } from './stray.ts';

/** What is inside the cgroup of a pod: one file and one listing; with `processes` also who is where. */
export function lookInside(fs: CgroupFs, base: string, pod: PodCgroup, processes: boolean): PodCgroup {
  const names = fs.directories(`${base}${pod.path}`);
  // It went while it was read: what is known of it stays.
  if (names === undefined) return pod;
  const populated = populatedOf(fs.read(`${base}${pod.path}/cgroup.events`));
  const inside = names.map((name) => scopeOf(fs, base, `${pod.path}/${name}`, processes));
  return {
    ...pod,
    ...(populated === undefined ? {} : { populated }),
    scopes: inside.filter((each) => isUnitDirectory(each.path)),
    others: inside.filter((each) => !isUnitDirectory(each.path)),
  };
}

/** A directory with what it says of itself. */
export function scopeOf(fs: CgroupFs, base: string, path: string, processes: boolean): CgroupScope {
  if (!processes) return { path };
  const populated = populatedOf(fs.read(`${base}${path}/cgroup.events`));
  return {
    path,
    ...(populated === undefined ? {} : { populated }),
    processes: processesOf(fs, `${base}${path}`),
  };
}

/** `populated 1` of cgroup.events: some process is in it or below it. */
export function populatedOf(events: string | undefined): boolean | undefined {
  const digit = /^populated ([01])$/m.exec(events ?? '')?.[1];
  return digit === undefined ? undefined : digit === '1';
}

/** The words of `cgroup.controllers` or `cgroup.subtree_control`. */
export function wordsOf(text: string | undefined): string[] | undefined {
  return text?.split(/\s+/).filter((each) => /^[a-z_]{1,32}$/.test(each));
}
