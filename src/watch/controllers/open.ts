import type { Clock } from '../../model/clock.ts';
import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { refuseOwnNamespace } from '../../observe/cgroup/cgroups.ts';
import { CGROUP_ROOT, cgroupMounts } from '../../observe/cgroup/mounts.ts';
import { findTrees } from '../../observe/cgroup/trees.ts';
import { plainBootId } from '../../observe/log-line.ts';
import { openFanotify } from './fanotify.ts';
import { openInotify, watchDirectory } from './inotify.ts';
import type { OpenWriteSource, WatchDirectory, WatchFs } from './ports.ts';
import { ControllerWatch, type WatchEvent } from './watch.ts';
import { systemWatchFs } from './watch-fs.ts';

export interface Kernel {
  readonly fanotify: OpenWriteSource;
  readonly inotify: OpenWriteSource;
  readonly watchDirectory: WatchDirectory;
}

const linux: Kernel = { fanotify: openFanotify, inotify: openInotify, watchDirectory };

export interface OpenedWatch {
  readonly watch: ControllerWatch;
  /** Why writers cannot be named, and what else that costs; undefined where they are. */
  readonly whyNoNames: string | undefined;
}

/**
 * Watches the slices of this node: with fanotify, and where the kernel refuses that with inotify, which names nobody.
 * Throws ERR_NOT_SUPPORTED where there is nothing to watch: cgroup v1 and hybrid, no tree, a container's own namespace;
 * ERR_FORBIDDEN and ERR_NOT_SUPPORTED where inotify is refused too.
 */
export function watchControllers(options: {
  readonly clock: Clock;
  readonly onEvent: (event: WatchEvent) => void;
  readonly onError: (error: Error) => void;
  /** kubelet's `--cgroup-root`, where it is known. */
  readonly cgroupRoot?: string;
  readonly fs?: WatchFs;
  /** The kernel; tests put another one in its place. */
  readonly kernel?: Kernel;
}): OpenedWatch {
  const { fs = systemWatchFs(), kernel = linux } = options;
  refuseWhatHasNoSlices(fs, options.cgroupRoot);
  const bootId = plainBootId(fs.read('/proc/sys/kernel/random/boot_id') ?? '');
  const parts = {
    ...options,
    fs,
    base: CGROUP_ROOT,
    watchDirectory: kernel.watchDirectory,
    ...(bootId === undefined ? {} : { bootId }),
  };
  try {
    return { watch: new ControllerWatch({ ...parts, open: kernel.fanotify }), whyNoNames: undefined };
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    const watch = new ControllerWatch({ ...parts, open: kernel.inotify });
    return { watch, whyNoNames: `${error.message}. ${error.hint} ${SILENT}` };
  }
}

/** inotify(7) tells of an overflow by an event of no watch, which libuv drops (uv__inotify_read: a stale event). */
const SILENT =
  "Nor can it be told when inotify's queue overflows: of a burst a change can be lost, and the next write shows it.";

function refuseWhatHasNoSlices(fs: WatchFs, cgroupRoot: string | undefined): void {
  const { mode } = cgroupMounts(fs);
  if (mode !== 'v2') {
    const what = mode === 'v1' ? 'cgroup v1' : 'cgroup v1 beside a unified tree (hybrid)';
    throw new SandwardenError('ERR_NOT_SUPPORTED', `this node uses ${what}: no controller comes and goes there`, {
      hint: "kubelet only asks whether a pod's directories are there: 'sandwarden cgroups' shows them.",
    });
  }
  if (findTrees(fs, CGROUP_ROOT, cgroupRoot).length === 0) refuseOwnNamespace(fs);
}
