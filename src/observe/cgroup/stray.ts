import { partsOfOddDirectory } from '../../model/cgroup-names.ts';
import type { CgroupProcess, OddCgroup } from '../../model/cgroups.ts';
import { limits } from '../../model/limits.ts';
import type { CgroupFs } from './cgroup-fs.ts';

/**
 * Directories like `….slice:cri-containerd:<id>`: runc makes them beside the cgroup of its own parent (fs2/
 * defaultpath.go), which is a service, so only slices (and the root) are searched, and never the pods' own part.
 */
export function findStray(fs: CgroupFs, base: string): { odd: OddCgroup[]; truncated: boolean } {
  const odd: OddCgroup[] = [];
  const queue = [''];
  let searched = 0;
  for (let path = queue.shift(); path !== undefined; path = queue.shift()) {
    if (searched++ >= limits.cgroupSearched) return { odd, truncated: true };
    for (const name of fs.directories(`${base}${path || '/'}`) ?? []) {
      const parts = partsOfOddDirectory(name);
      if (parts === undefined) {
        if (name.endsWith('.slice') && !name.includes('kubepods')) queue.push(`${path}/${name}`);
      } else if (odd.length < limits.cgroupOdd) {
        odd.push({ path: `${path}/${name}`, ...parts, processes: processesOf(fs, `${base}${path}/${name}`) });
      } else return { odd, truncated: true };
    }
  }
  return { odd: odd.toSorted((a, b) => (a.path < b.path ? -1 : 1)), truncated: false };
}

/** The processes of a cgroup, by name; those in directories below it are not its own. */
export function processesOf(fs: CgroupFs, path: string): CgroupProcess[] {
  return (fs.read(`${path}/cgroup.procs`) ?? '')
    .split('\n')
    .filter((line) => /^[1-9]\d{0,9}$/.test(line))
    .slice(0, limits.cgroupProcesses)
    .map((line) => ({ pid: Number(line), comm: (fs.read(`/proc/${line}/comm`) ?? '').replace(/\n$/, '') }));
}
