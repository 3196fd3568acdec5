import {
  type CgroupFacts,
  type CgroupScope,
  type CgroupSlice,
  isAnchor,
  type OddCgroup,
  type PodCgroup,
} from '../model/cgroups.ts';
import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { UnaskedStop } from '../model/records.ts';
import { describeDuration, isCurrent } from './time.ts';
import type { PodView, Views } from './views.ts';

/** A pod with a READY sandbox, and what the cgroup tree shows of it. */
export interface PodInTree {
  readonly view: PodView;
  /** Its cgroup where kubelet looks; undefined where there is none. */
  readonly cgroup: PodCgroup | undefined;
  /** Directories outside of the pods' part that hold its processes. */
  readonly outside: readonly OddCgroup[];
  /** A container of it runs: only then kubelet kills (kubelet.go SyncPod, firstSync). */
  readonly runs: boolean;
  /** What runs of it is old enough to have been there when the tree was read: that is read before the listing. */
  readonly settled: boolean;
  /** kubelet stopped it of late, no reason logged. */
  readonly stops: UnaskedStop | undefined;
}

/** The tree, where it was read and a kubelet has its pods in it. */
export function treeOf(views: Views): CgroupFacts | undefined {
  const { cgroups } = views.snapshot;
  const tree = cgroups?.known ? cgroups.value : undefined;
  return tree?.slices.some((each) => each.level === 'kubepods') ? tree : undefined;
}

/** The pods that kubelet keeps up, ordered by name; none where the tree was not read. */
export function podsInTree(views: Views): PodInTree[] {
  const tree = treeOf(views);
  if (tree === undefined) return [];
  return [...views.pods.values()]
    .filter((view) => view.wanted.wants !== 'no' && view.sandboxes.some((each) => each.ready))
    .map((view) => inTree(view, tree, views))
    .sort((a, b) => (nameOf(a.view) < nameOf(b.view) ? -1 : 1));
}

/**
 * The cgroup of a pod. A driver that was changed leaves a second one behind: that kubelet looks at is the better one,
 * or kubelet would have made it anew.
 */
export function cgroupOf(tree: CgroupFacts, uid: string): PodCgroup | undefined {
  return tree.pods.filter((each) => each.uid === uid).toSorted((a, b) => a.missing.length - b.missing.length)[0];
}

/** The stops that nothing explains, of a pod and of late. */
export function stopsOf(views: Views, view: PodView): UnaskedStop | undefined {
  const { node } = views;
  const log = valueOr(views.snapshot.kubeletLog, undefined);
  if (node === undefined) return undefined;
  return log?.unaskedStops?.find(
    ({ pod, podUid, last }) =>
      pod.namespace === view.namespace &&
      pod.name === view.name &&
      (podUid ?? view.uid) === view.uid &&
      isCurrent(last, node, limits.killsCurrentForMs),
  );
}

/** It happens again and again: once may have a reason that the log does not show. */
export function isLoop(stops: UnaskedStop | undefined): stops is UnaskedStop {
  return stops !== undefined && stops.count >= 2;
}

/** `stopped 4 times within 2 min 59 s, no reason logged`. */
export function describeStops({ count, first, last }: UnaskedStop): string {
  if (count === 1) return 'stopped once, no reason logged';
  const us = (last.monotonicUs ?? 0n) - (first.monotonicUs ?? 0n);
  const lasted = us > 0n ? us * 1_000n : last.wallNs - first.wallNs;
  return `stopped ${count} times within ${describeDuration(lasted)}, no reason logged`;
}

/** The last part of a path: a unit's name with systemd's driver. */
export function lastPart(path: string): string {
  return path === '/' ? '/' : path.slice(path.lastIndexOf('/') + 1);
}

/** The directory whose children a pod's cgroup is one of. */
export function parentOf(tree: CgroupFacts, pod: PodCgroup): CgroupSlice | undefined {
  const path = pod.path.slice(0, pod.path.lastIndexOf('/'));
  return tree.slices.find((each) => each.path === path);
}

/** No process and no scope that could hold it up: systemd wants no cpuset for it. */
export function isEmpty(pod: PodCgroup): boolean {
  return pod.populated === false && (pod.scopes ?? []).length === 0;
}

/** An anchor of ours is in the directory above the pod's, and all that kubelet requires comes down. */
export function isAnchored(tree: CgroupFacts, pod: PodCgroup): boolean {
  const beside = parentOf(tree, pod)?.scopes ?? [];
  return pod.missing.length === 0 && beside.some((each) => isAnchor(each.path) && each.delegated !== false);
}

/** Scopes that keep the controllers of a pod's parent: of its neighbours, and beside them. Unknown counts as one. */
export function holdersOf(tree: CgroupFacts, pod: PodCgroup): { neighbours: CgroupScope[]; beside: CgroupScope[] } {
  const parent = `${pod.path.slice(0, pod.path.lastIndexOf('/'))}/`;
  const holds = (scope: CgroupScope) => scope.delegated !== false;
  return {
    neighbours: tree.pods
      .filter((each) => each.path !== pod.path && each.path.startsWith(parent))
      .flatMap((each) => each.scopes ?? [])
      .filter(holds),
    beside: tree.slices
      .filter((each) => `${each.path}/`.startsWith(parent))
      .flatMap((each) => each.scopes ?? [])
      .filter(holds),
  };
}

function inTree(view: PodView, tree: CgroupFacts, views: Views): PodInTree {
  const { node } = views;
  const settledNs = BigInt(limits.cgroupSettleMs) * 1_000_000n;
  const ready = view.sandboxes.filter((each) => each.ready);
  const running = view.containers.filter((each) => each.state === 'running');
  return {
    view,
    cgroup: cgroupOf(tree, view.uid),
    outside: tree.odd.filter((each) => each.uid === view.uid && each.processes.length > 0),
    runs: running.length > 0,
    settled: node !== undefined && [...ready, ...running].every((each) => node.wallNs - each.createdAtNs > settledNs),
    stops: stopsOf(views, view),
  };
}

function nameOf(view: PodView): string {
  return `${view.namespace}/${view.name}/${view.uid}`;
}
