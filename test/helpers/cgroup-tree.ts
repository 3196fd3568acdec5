import type { CgroupFs } from '../../src/observe/cgroup/cgroup-fs.ts';

/** Files by path, as CgroupFs reads them; it counts what is asked of it. */
export interface CountingFs extends CgroupFs {
  /** Files and listings that were read, and directories that were only counted. */
  readonly asked: { reads: number; listings: number; counts: number };
}

/** A tree in memory. Every directory on the way to a file is there; so are `directories`. */
export function cgroupTree(
  files: ReadonlyMap<string, string>,
  directories: readonly string[] = [],
  links: Readonly<Record<string, string>> = {},
): CountingFs {
  const children = new Map<string, Set<string>>();
  const add = (path: string) => {
    const cut = path.lastIndexOf('/');
    if (!children.has(path)) children.set(path, new Set());
    if (cut < 0 || path === '') return;
    const parent = path.slice(0, cut);
    const known = children.get(parent)?.has(path.slice(cut + 1));
    if (known) return;
    add(parent);
    children.get(parent)?.add(path.slice(cut + 1));
  };
  for (const path of files.keys()) add(path.slice(0, path.lastIndexOf('/')));
  for (const path of directories) add(path);
  const asked = { reads: 0, listings: 0, counts: 0 };
  const trimmed = (path: string) => path.replace(/\/$/, '');
  return {
    asked,
    read: (path) => {
      asked.reads++;
      return files.get(path);
    },
    directories: (path) => {
      asked.listings++;
      const names = children.get(trimmed(path));
      return names === undefined ? undefined : [...names];
    },
    countDirectories: (path) => {
      asked.counts++;
      return children.get(trimmed(path))?.size;
    },
    link: (path) => links[path],
  };
}

export const unifiedMount = '28 23 0:25 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n';

/** The files of cgroupfs.txt (`./kubepods.slice/cgroup.events: populated 1 frozen 0`), names of proc-cgroup.txt. */
export function recordedTree(cgroupfs: string, procCgroup: string): CountingFs {
  const files = new Map([['/proc/self/mountinfo', unifiedMount]]);
  for (const line of cgroupfs.split('\n')) {
    const [, path, text = ''] = /^\.(\/.*\/?cgroup\.\w+): ?(.*)$/.exec(line) ?? [];
    if (path !== undefined) files.set(`/sys/fs/cgroup${path}`, linesAgain(path, text));
  }
  for (const line of procCgroup.split('\n')) {
    const [, pid, comm = ''] = /^(\d+) (.*) 0::\//.exec(line) ?? [];
    if (pid !== undefined) files.set(`/proc/${pid}/comm`, `${comm}\n`);
  }
  return cgroupTree(files);
}

/** The recording has each file on one line. */
function linesAgain(path: string, text: string): string {
  if (path.endsWith('cgroup.procs')) return text.trim().replaceAll(' ', '\n');
  if (path.endsWith('cgroup.events')) return text.replace(/ (frozen \d)/, '\n$1');
  return text;
}
