import type { CgroupFacts } from '../../model/cgroups.ts';
import type { Finding } from '../../model/finding.ts';
import { treeOf } from '../cgroup-facts.ts';
import type { Rule } from '../rule.ts';

/** SW511: what the root does not have, nobody below has. */
export const sw511: Rule = {
  code: 'SW511',
  name: 'controller-absent-at-root',
  title: 'The kernel offers no such controller',
  severity: 'warning',
  says: 'the kernel, its command line or an old mount withholds a controller from the whole cgroup tree',
  explanation: `kubelet requires of a pod's cgroup only what the root had when kubelet started. What is absent there is
never missed, and its limits do nothing: without memory no pod is held to its memory limit, without cpuset the static
CPU manager cannot work, and k3s turns both cgroup drivers to cgroupfs.

Reasons: \`cgroup_disable=memory\` on the kernel's command line (the firmware of Raspberry Pis adds it; add
\`cgroup_enable=memory\` to cmdline.txt), a kernel built without it, or a cgroup v1 mount of the controller, which takes
it from the v2 tree. hugetlb, which small kernels do not have, is not reported.

When a controller comes back, kubelet must be restarted: it reads the root once.`,
  evidence: "the root's controllers, the words of the kernel's command line, the v1 mounts",
  remedy: { tier: 'none', text: "Change the kernel's command line or unmount the v1 tree, and reboot." },
  sources: [
    'kubelet pkg/kubelet/cm/cgroup_v2_manager_linux.go getSupportedUnifiedControllers',
    'k3s pkg/agent/containerd/config_linux.go; kernel Documentation/admin-guide/cgroup-v2.rst',
  ],
  needs: ['cgroups'],
  examine: (facts) => {
    const tree = treeOf(facts);
    if (tree?.mode !== 'v2' || tree.rootControllers.length === 0) return [];
    const absent = ['cpu', 'cpuset', 'memory', 'pids'].filter((each) => !tree.rootControllers.includes(each));
    return absent.length === 0 ? [] : [findingOf(absent, tree)];
  },
};

function findingOf(absent: readonly string[], tree: CgroupFacts): Finding {
  const words = tree.kernelWords.filter((word) => absent.some((each) => word.includes(each)));
  const mounted = absent.filter((each) => tree.mountedV1.includes(each));
  const reason =
    mounted.length > 0
      ? `a cgroup v1 mount holds ${mounted.join(' and ')}`
      : words.length > 0
        ? "the kernel's command line says so"
        : `the kernel has not got ${absent.length === 1 ? 'it' : 'them'}`;
  return {
    code: 'SW511',
    severity: 'warning',
    object: { kind: 'node', name: absent.join(', ') },
    why: `The root of the cgroup tree offers no ${listOf(absent)}: ${reason}. Such limits of pods do nothing.`,
    evidence: [
      { source: 'cgroups', text: `/sys/fs/cgroup/cgroup.controllers: ${tree.rootControllers.join(' ')}` },
      ...(words.length > 0 ? [{ source: 'cgroups' as const, text: `/proc/cmdline: ${words.join(' ')}` }] : []),
    ],
    remedy: {
      tier: 'none',
      text: "change the kernel's command line (or unmount the v1 tree) and reboot: kubelet reads it once",
      noCommand: 'where the command line is kept depends on the board and its boot loader',
    },
    pods: [],
  };
}

/** `memory`; `cpu or memory`; `cpu, cpuset or memory`. */
function listOf(names: readonly string[]): string {
  return names.length < 2 ? names.join('') : `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;
}
