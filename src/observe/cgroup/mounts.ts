import type { CgroupMode } from '../../model/cgroups.ts';
import { SandwardenError } from '../../model/errors.ts';
import type { CgroupFs } from './cgroup-fs.ts';

/** Where the cgroup trees are mounted. */
export interface CgroupMounts {
  readonly mode: CgroupMode;
  /** The mount of each v1 controller (`systemd` for the named hierarchy), the shortest path of several. */
  readonly v1: ReadonlyMap<string, string>;
}

/** Where kubelet and runc look for it; neither asks (pkg/kubelet/cm/util: CgroupRoot). */
export const CGROUP_ROOT = '/sys/fs/cgroup';

/**
 * The mounts by /proc/self/mountinfo. A unified tree anywhere but at /sys/fs/cgroup is the `hybrid` layout, which
 * kubelet takes for v1 (libcontainer IsCgroup2UnifiedMode asks the file system at /sys/fs/cgroup).
 * Throws ERR_NOT_SUPPORTED where there is none.
 */
export function cgroupMounts(fs: CgroupFs): CgroupMounts {
  const v1 = new Map<string, string>();
  let [unified, elsewhere] = [false, false];
  for (const line of (fs.read('/proc/self/mountinfo') ?? '').split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const path = unescaped(before.split(' ')[4] ?? '');
    const [type, , options = ''] = after.split(' ');
    if (type === 'cgroup2') {
      unified ||= path === CGROUP_ROOT;
      elsewhere ||= path !== CGROUP_ROOT;
    }
    if (type !== 'cgroup') continue;
    for (const controller of controllersOf(options)) {
      const known = v1.get(controller);
      // helpers_linux.go getCgroupSubsystemsV1: of several mounts the one with the shortest path.
      if (known === undefined || path.length < known.length) v1.set(controller, path);
    }
  }
  if (unified) return { mode: 'v2', v1 };
  if (v1.size > 0) return { mode: elsewhere ? 'hybrid' : 'v1', v1 };
  throw new SandwardenError('ERR_NOT_SUPPORTED', 'no cgroup tree is mounted here', {
    hint: 'Run it on the node itself, or in a pod that mounts the /sys/fs/cgroup of the node.',
  });
}

/** Of the options of a v1 mount those that name a controller; `name=systemd` is called `systemd`. */
function controllersOf(options: string): string[] {
  return options
    .split(',')
    .map((each) => each.replace(/^name=/, ''))
    .filter((each) => controllers.has(each));
}

const controllers: ReadonlySet<string> = new Set([
  'cpu',
  'cpuacct',
  'cpuset',
  'memory',
  'systemd',
  'pids',
  'hugetlb',
  'blkio',
  'devices',
  'freezer',
  'net_cls',
  'net_prio',
  'perf_event',
  'rdma',
  'misc',
]);

/** proc_pid_mountinfo(5): blanks of a path are written in octal. */
function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)));
}
