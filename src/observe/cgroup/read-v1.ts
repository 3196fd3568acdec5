import { qosPath, uidOfPodDirectory } from '../../model/cgroup-names.ts';
import {
  type CgroupMode,
  type CgroupSlice,
  type PodCgroup,
  qosClasses,
  requiredControllers,
} from '../../model/cgroups.ts';
import type { CgroupFs } from './cgroup-fs.ts';
import type { TreePart } from './read-v2.ts';
import { findTrees, type PodsTree } from './trees.ts';

/**
 * kubelet's check on v1 (cgroup_v1_manager_linux.go Validate): the pod's directory must be there in the tree of each
 * mounted controller that it requires. One listing of each QoS directory of each mount tells it for all pods.
 */
export function readV1(
  fs: CgroupFs,
  mode: CgroupMode,
  mounts: ReadonlyMap<string, string>,
  cgroupRoot: string | undefined,
): TreePart & { readonly trees: readonly PodsTree[] } {
  const rootControllers = [...mounts.keys()].sort();
  const required = requiredControllers(mode, rootControllers);
  const asked = required.map((controller) => [controller, mounts.get(controller) ?? ''] as const);
  const trees = uniqueTrees(asked.flatMap(([, mount]) => findTrees(fs, mount, cgroupRoot)));
  const listed = new Map<string, ReadonlySet<string>>();
  const list = (path: string) => {
    const known = listed.get(path) ?? new Set(fs.directories(path));
    listed.set(path, known);
    return known;
  };
  const slices: CgroupSlice[] = [{ path: '/', level: 'root' }];
  const pods: PodCgroup[] = [];
  for (const tree of trees) {
    for (const qos of qosClasses) {
      const path = qosPath(tree.driver, qos, tree.root);
      const names = new Set(asked.flatMap(([, mount]) => [...list(`${mount}${path}`)]));
      slices.push({ path, level: qos === 'guaranteed' ? 'kubepods' : qos });
      for (const name of [...names].sort()) {
        const uid = uidOfPodDirectory(name, tree.driver, path);
        if (uid === undefined) continue;
        const lacks = asked.filter(([, mount]) => !list(`${mount}${path}`).has(name));
        pods.push({
          uid,
          qos,
          driver: tree.driver,
          path: `${path}/${name}`,
          missing: lacks.map(([controller]) => controller),
          ...(lacks[0] === undefined ? {} : { lostAt: lacks[0][1] }),
        });
      }
    }
  }
  return { rootControllers, required, slices, pods, truncated: false, trees };
}

function uniqueTrees(trees: readonly PodsTree[]): PodsTree[] {
  return [...new Map(trees.map((each) => [each.path, each])).values()];
}
