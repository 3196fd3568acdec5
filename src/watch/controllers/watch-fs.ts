import { statSync } from 'node:fs';
import { systemCgroupFs } from '../../observe/cgroup/cgroup-fs.ts';
import { isErrno } from '../../observe/read-file.ts';
import type { WatchFs } from './ports.ts';

/** The real files, under a prefix in tests. */
export function systemWatchFs(root = ''): WatchFs {
  return {
    ...systemCgroupFs(root),
    inode(path) {
      try {
        return statSync(`${root}${path}`, { bigint: true, throwIfNoEntry: false })?.ino;
      } catch (error) {
        if (isErrno(error)) return undefined;
        throw error;
      }
    },
  };
}
