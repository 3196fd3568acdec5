import { qosPath, uidOfPodDirectory } from '../../model/cgroup-names.ts';
import {
  type CgroupFacts,
  type CgroupSlice,
  isUnitDirectory,
  type PodCgroup,
  type QosClass,
  qosClasses,
  requiredControllers,
} from '../../model/cgroups.ts';
import { limits } from '../../model/limits.ts';
import type { CgroupFs } from './cgroup-fs.ts';
import { CGROUP_ROOT } from './mounts.ts';
import { lookInside, populatedOf, scopeOf, wordsOf } from './pod-cgroup.ts';
import type { PodsTree } from './trees.ts';

export type TreePart = Pick<CgroupFacts, 'rootControllers' | 'required' | 'slices' | 'pods' | 'truncated'>;

/**
 * The unified tree. A pod's `cgroup.controllers` is its parent's `cgroup.subtree_control`, so the few slices tell the
 * controllers of every pod; a pod itself is only counted (one stat), and read where it is bare, lacks something, or
 * `all` is asked for.
 */
export function readV2(fs: CgroupFs, trees: readonly PodsTree[], all: boolean): TreePart {
  const rootControllers = wordsOf(fs.read(`${CGROUP_ROOT}/cgroup.controllers`)) ?? [];
  const required = requiredControllers('v2', rootControllers);
  const root: CgroupSlice = { path: '/', level: 'root', ...subtreeOf(fs, '') };
  const parts = trees.map((tree) => readTree(fs, tree, { root, required, all }));
  return {
    rootControllers,
    required,
    slices: [root, ...uniqueByPath(parts.flatMap((each) => each.slices))],
    pods: parts.flatMap((each) => each.pods),
    truncated: parts.some((each) => each.truncated),
  };
}

interface TreeContext {
  readonly root: CgroupSlice;
  readonly required: readonly string[];
  readonly all: boolean;
}

function readTree(fs: CgroupFs, tree: PodsTree, { root, required, all }: TreeContext) {
  const above = tree.root.map((_, index) => {
    const path = ancestorsOf(tree.path)[index] ?? '/';
    return sliceOf(fs, path, 'above', []);
  });
  const slices = [...above];
  const pods: PodCgroup[] = [];
  for (const qos of qosClasses) {
    const path = qosPath(tree.driver, qos, tree.root);
    const names = fs.directories(`${CGROUP_ROOT}${path}`);
    // A node without a pod of this class has no directory for some moments at kubelet's start.
    if (names === undefined) continue;
    const level = qos === 'guaranteed' ? 'kubepods' : qos;
    const scopes = names.filter(isUnitDirectory);
    const slice = sliceOf(
      fs,
      path,
      level,
      scopes.map((name) => scopeOf(fs, CGROUP_ROOT, `${path}/${name}`, all)),
    );
    slices.push(slice);
    const kubepods = slices.find((each) => each.level === 'kubepods');
    const line = [root, ...above, ...(kubepods === undefined || kubepods === slice ? [] : [kubepods]), slice];
    pods.push(...podsOf(fs, names, { tree, qos, path, ...lossOf(line, required) }));
  }
  return { slices, ...looked(fs, pods, all) };
}

/** Which of the required controllers do not come down a line of directories, and the first that stops one of them. */
function lossOf(line: readonly CgroupSlice[], required: readonly string[]) {
  const lacks = (each: CgroupSlice, controller: string) =>
    each.subtreeControl !== undefined && !each.subtreeControl.includes(controller);
  const last = line.at(-1);
  const missing = last === undefined ? [] : required.filter((controller) => lacks(last, controller));
  const lost = line.find((each) => missing.some((controller) => lacks(each, controller)));
  return { missing, ...(lost === undefined ? {} : { lostAt: lost.path }) };
}

interface PodsOf {
  readonly tree: PodsTree;
  readonly qos: QosClass;
  readonly path: string;
  readonly missing: readonly string[];
  readonly lostAt?: string;
}

function podsOf(fs: CgroupFs, names: readonly string[], { tree, qos, path, missing, lostAt }: PodsOf): PodCgroup[] {
  return names.flatMap((name) => {
    const uid = uidOfPodDirectory(name, tree.driver, path);
    if (uid === undefined) return [];
    const inside = fs.countDirectories(`${CGROUP_ROOT}${path}/${name}`);
    return [
      {
        uid,
        qos,
        driver: tree.driver,
        path: `${path}/${name}`,
        missing,
        ...(lostAt === undefined ? {} : { lostAt }),
        ...(inside === undefined ? {} : { bare: inside === 0 }),
      },
    ];
  });
}

/** Reads into the pods that need it; where some are bare, also into a few neighbours, for who holds them up. */
function looked(fs: CgroupFs, pods: readonly PodCgroup[], all: boolean): { pods: PodCgroup[]; truncated: boolean } {
  let left: number = limits.cgroupPodsInDetail;
  const seen = pods.map((pod) => {
    const counts = pod.bare !== undefined;
    if (!all && pod.missing.length === 0 && counts && !pod.bare) return pod;
    return left-- > 0 ? lookInside(fs, CGROUP_ROOT, pod, all) : pod;
  });
  const truncated = left < 0;
  if (all) return { pods: seen, truncated };
  if (!seen.some((pod) => pod.populated === false)) return { pods: seen, truncated };
  const lonely = new Set(seen.filter((pod) => pod.populated === false).map((pod) => pod.qos));
  const asked = new Map<QosClass, number>();
  const withNeighbours = seen.map((pod) => {
    const count = asked.get(pod.qos) ?? 0;
    const wanted = lonely.has(pod.qos) || lonely.has('guaranteed');
    if (!wanted || pod.scopes !== undefined || count >= limits.cgroupHolders) return pod;
    asked.set(pod.qos, count + 1);
    return lookInside(fs, CGROUP_ROOT, pod, false);
  });
  return { pods: withNeighbours, truncated };
}

function sliceOf(
  fs: CgroupFs,
  path: string,
  level: CgroupSlice['level'],
  scopes: NonNullable<CgroupSlice['scopes']>,
): CgroupSlice {
  const populated = populatedOf(fs.read(`${CGROUP_ROOT}${path}/cgroup.events`));
  return {
    path,
    level,
    ...subtreeOf(fs, path),
    ...(populated === undefined ? {} : { populated }),
    ...(scopes.length === 0 ? {} : { scopes }),
  };
}

function subtreeOf(fs: CgroupFs, path: string): Pick<CgroupSlice, 'subtreeControl'> {
  const subtreeControl = wordsOf(fs.read(`${CGROUP_ROOT}${path}/cgroup.subtree_control`));
  return subtreeControl === undefined ? {} : { subtreeControl };
}

/** `/a/b/c` → `/a`, `/a/b`, `/a/b/c`. */
function ancestorsOf(path: string): string[] {
  const parts = path.split('/').slice(1);
  return parts.map((_, index) => `/${parts.slice(0, index + 1).join('/')}`);
}

function uniqueByPath(slices: readonly CgroupSlice[]): CgroupSlice[] {
  return [...new Map(slices.map((each) => [each.path, each])).values()];
}
