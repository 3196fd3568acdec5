import type { CgroupFacts } from '../../model/cgroups.ts';
import { SandwardenError } from '../../model/errors.ts';
import type { Observed } from '../../model/observed.ts';
import { type Run, run } from '../child.ts';
import { observed } from '../unknown.ts';
import { type CgroupFs, systemCgroupFs } from './cgroup-fs.ts';
import { withDelegation } from './delegation.ts';
import { CGROUP_ROOT, cgroupMounts } from './mounts.ts';
import { readV1 } from './read-v1.ts';
import { readV2 } from './read-v2.ts';
import { findStray } from './stray.ts';
import { findTrees } from './trees.ts';

export interface CgroupsOptions {
  /** kubelet's `--cgroup-root`, where it is known; without it the tree is looked for. */
  readonly cgroupRoot?: string;
  /** Every pod with its scopes and processes, not only what a check needs. */
  readonly all?: boolean;
}

/** The pods' part of the cgroup tree as it is now, and which scopes are delegated as far as systemd tells. */
export function observeCgroups(
  options: CgroupsOptions & { readonly root?: string; readonly run?: Run } = {},
): Promise<Observed<CgroupFacts>> {
  return observed(() => withDelegation(readCgroups(systemCgroupFs(options.root), options), options.run ?? run));
}

/**
 * Reads the tree. Bounded; slices that vanish meanwhile are normal and are told as far as they were read.
 * Throws ERR_NOT_SUPPORTED where no tree is mounted, or where this process sees only its own part of it.
 */
export function readCgroups(fs: CgroupFs, { cgroupRoot, all = false }: CgroupsOptions = {}): CgroupFacts {
  const mounts = cgroupMounts(fs);
  const { mode } = mounts;
  const trees = mode === 'v2' ? findTrees(fs, CGROUP_ROOT, cgroupRoot) : [];
  const legacy = mode === 'v2' ? undefined : readV1(fs, mode, mounts.v1, cgroupRoot);
  if ((legacy?.trees ?? trees).length === 0) refuseOwnNamespace(fs);
  const { rootControllers, required, slices, pods, truncated } = legacy ?? readV2(fs, trees, all);
  const stray = findStray(fs, legacy === undefined ? CGROUP_ROOT : (mounts.v1.get('systemd') ?? CGROUP_ROOT));
  return {
    mode,
    rootControllers,
    mountedV1: [...mounts.v1.keys()].sort(),
    required,
    kernelWords: kernelWords(fs.read('/proc/cmdline') ?? ''),
    slices,
    pods,
    odd: stray.odd,
    truncated: truncated || stray.truncated,
  };
}

// include/linux/proc_ns.h: PROC_CGROUP_INIT_INO.
const FIRST_CGROUP_NAMESPACE = 'cgroup:[4026531835]';

/** Throws ERR_NOT_SUPPORTED in a container with a cgroup namespace of its own: /sys/fs/cgroup shows its part alone. */
export function refuseOwnNamespace(fs: CgroupFs): void {
  const own = fs.link('/proc/self/ns/cgroup');
  if (own === undefined || own === FIRST_CGROUP_NAMESPACE) return;
  throw new SandwardenError('ERR_NOT_SUPPORTED', 'this process sees only its own part of the cgroup tree', {
    hint:
      'It runs in a container with its own cgroup namespace. Run it on the node itself, or from a privileged pod ' +
      'with hostPID: nsenter --target 1 --cgroup --mount sandwarden …',
  });
}

/** Of the kernel's command line only what decides about cgroups: the rest is nobody's business. */
function kernelWords(line: string): string[] {
  return line.split(/\s+/).filter((word) => KERNEL_WORD.test(word));
}

const KERNEL_WORD = new RegExp(
  '^(cgroup_(disable|enable|memory|no_v1)|systemd\\.(unified_cgroup_hierarchy|legacy_systemd_cgroup_controller)|' +
    'SYSTEMD_CGROUP_ENABLE_LEGACY_FORCE)=[\\w,.=-]{1,100}$',
);
