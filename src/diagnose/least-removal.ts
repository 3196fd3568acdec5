import type { Candidate, SandboxOrder } from '../model/kubelet-choice.ts';
import { foresee } from '../model/kubelet-choice.ts';

/**
 * The fewest of `removable` without which the pod settles under `order`, or undefined where no removal helps.
 * Among equally few, those with the least cost. All subsets are tried, smallest first: a pod has a handful of
 * sandboxes.
 */
export function leastRemoval<T extends Candidate>(
  sandboxes: readonly T[],
  removable: readonly T[],
  order: SandboxOrder,
  nowNs: bigint,
  costOf: (sandbox: T) => number,
): T[] | undefined {
  const settles = (without: readonly T[]) =>
    foresee(
      sandboxes.filter((each) => !without.includes(each)),
      order,
      nowNs,
    ).kind === 'settles';
  if (removable.length > exhaustiveUpTo) return greedy(sandboxes, removable, order, nowNs);
  for (let size = 0; size <= removable.length; size++) {
    const best = subsets(removable, size)
      .filter(settles)
      .map((subset) => ({ subset, cost: subset.reduce((sum, each) => sum + costOf(each), 0) }))
      .sort((a, b) => a.cost - b.cost || (key(a.subset) < key(b.subset) ? -1 : 1))[0];
    if (best !== undefined) return best.subset;
  }
  return undefined;
}

/** 2^10 replays of a rule over ten entries take about a millisecond; a pod with more leftovers is beyond counting. */
const exhaustiveUpTo = 10;

/**
 * One step at a time: what outsorts the next sandbox goes, or else what holds the name. Few, though perhaps not the
 * fewest.
 */
function greedy<T extends Candidate>(
  sandboxes: readonly T[],
  removable: readonly T[],
  order: SandboxOrder,
  nowNs: bigint,
): T[] | undefined {
  const removed: T[] = [];
  let left = [...sandboxes];
  for (let step = 0; step <= removable.length; step++) {
    const fate = foresee(left, order, nowNs);
    if (fate.kind === 'settles') return removed;
    const wanted = fate.kind === 'name-held' ? [fate.head, fate.holder] : [fate.head];
    const next = wanted.find((each): each is T => each !== undefined && removable.includes(each));
    if (next === undefined) return undefined;
    removed.push(next);
    left = left.filter((each) => each !== next);
  }
  return undefined;
}

function subsets<T>(of: readonly T[], size: number): T[][] {
  if (size === 0) return [[]];
  return of.flatMap((first, index) => subsets(of.slice(index + 1), size - 1).map((rest) => [first, ...rest]));
}

function key(subset: readonly Candidate[]): string {
  return subset
    .map((each) => each.id)
    .sort()
    .join();
}
