import { type FSWatcher, statSync, watch } from 'node:fs';
import { SandwardenError } from '../../model/errors.ts';
import { isErrno } from '../../observe/read-file.ts';
import type { KernelListener, WatchDirectory, WriteSource } from './ports.ts';

/**
 * Writes to the `cgroup.subtree_control` of armed slices by inotify: needs no privilege, and names nobody. Node does
 * not tell when inotify's own queue overflows (`watchControllers` says so). Throws ERR_NOT_SUPPORTED where the kernel
 * gives no watch.
 */
export function openInotify(base: string, listener: KernelListener): WriteSource {
  const watchers = new Map<string, FSWatcher>();
  return {
    by: 'inotify',
    arm(path) {
      watchers.get(path)?.close();
      watchers.delete(path);
      const file = `${base}${path === '/' ? '' : path}/cgroup.subtree_control`;
      const watcher = watchUnlessGone(file, (event) => {
        listener.onEvents([event === 'change' ? { kind: 'write', path } : { kind: 'tree' }]);
      });
      if (watcher === undefined) return false;
      watcher.on('error', listener.onError);
      watchers.set(path, watcher);
      return true;
    },
    async close() {
      for (const each of watchers.values()) each.close();
      watchers.clear();
    },
  };
}

/** WatchDirectory by inotify; what else changes in the directory is not told of. */
export const watchDirectory: WatchDirectory = (path, onName) => {
  const watcher = watchUnlessGone(path, (event, name) => {
    if (event === 'rename') onName(name ?? undefined);
  });
  // A directory that goes tells its end as an error on some file systems: that is news of the tree, too.
  watcher?.on('error', () => onName(undefined));
  return { close: () => watcher?.close() };
};

function watchUnlessGone(
  path: string,
  onEvent: (event: 'rename' | 'change', name: string | null) => void,
): FSWatcher | undefined {
  try {
    return watch(path, onEvent);
  } catch (error) {
    if (!isErrno(error)) throw error;
    if (statSync(path, { throwIfNoEntry: false }) === undefined) return undefined;
    if (error.code === 'EMFILE' || error.code === 'ENOSPC') {
      throw new SandwardenError('ERR_NOT_SUPPORTED', `the kernel gives no more inotify watches (${error.code})`, {
        hint: 'Raise fs.inotify.max_user_instances and fs.inotify.max_user_watches with sysctl.',
        cause: error,
      });
    }
    if (error.code === 'EACCES' || error.code === 'EPERM') {
      throw new SandwardenError('ERR_FORBIDDEN', 'no permission to watch the cgroup tree', {
        hint: 'Run it as root (sudo sandwarden …).',
        cause: error,
      });
    }
    throw new SandwardenError('ERR_NOT_SUPPORTED', `the cgroup tree cannot be watched (${error.code})`, {
      hint: 'Run it on the node itself.',
      cause: error,
    });
  }
}
