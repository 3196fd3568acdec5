import type { ControllerChanges } from '../model/controller-changes.ts';
import type { Moment } from '../model/records.ts';
import { isLoop, type PodInTree, parentOf, podsInTree, treeOf } from './cgroup-facts.ts';
import { type Fight, fightsOf, type Party, partiesOf } from './controller-fight.ts';
import type { Facts } from './facts.ts';

/** A controller that comes and goes at a slice, with pods in it, and what shows it. */
export interface Flap {
  readonly path: string;
  readonly controller: string;
  /** The running pods directly in the slice that were there when it went. */
  readonly pods: readonly PodInTree[];
  /** It is not there at the look. */
  readonly missing: boolean;
  readonly takers: readonly Party[];
  readonly putters: readonly Party[];
  readonly seen: FlapEvidence;
}

export type FlapEvidence =
  /** Each change was seen. */
  | { readonly how: 'changes'; readonly fight: Fight }
  /** Who wrote was seen, and not what; it is missing at the look, so the last one took it. */
  | { readonly how: 'writers'; readonly first: Moment; readonly last: Moment }
  /** Nobody watched: it is missing, and kubelet, which puts it back after each stop, has stopped its pods before. */
  | { readonly how: 'stops' };

/** What flaps, by the changes that were seen; else by who wrote; else by what kubelet did. */
export function flapsOf(facts: Facts): Flap[] {
  const tree = treeOf(facts);
  if (tree === undefined || tree.mode !== 'v2') return [];
  const pods = Map.groupBy(podsInTree(facts), ({ cgroup }) => (cgroup && parentOf(tree, cgroup)?.path) ?? '');
  const watched = watchedOf(facts);
  if (watched?.changes !== undefined) {
    return fightsOf(watched).flatMap((fight) => byChanges(fight, pods.get(fight.path) ?? []));
  }
  return tree.slices.flatMap(({ path, subtreeControl }) => {
    const victims = (pods.get(path) ?? []).filter((each) => isLoop(each.stops));
    if (subtreeControl === undefined || victims.length === 0) return [];
    const missing = tree.required.filter((each) => !subtreeControl.includes(each));
    const parties = writersOf(facts, path);
    return missing.map((controller) => ({ path, controller, pods: victims, missing: true, ...parties }));
  });
}

function watchedOf({ snapshot }: Facts): ControllerChanges | undefined {
  return snapshot.controllerChanges?.known ? snapshot.controllerChanges.value : undefined;
}

function byChanges(fight: Fight, pods: readonly PodInTree[]): Flap[] {
  if (fight.gone === 0) return [];
  const went = fight.lastGone.wallNs;
  // A pod that is only being made is hurt by nothing: kubelet looks at pods of which something runs.
  const victims = pods.filter(({ view, runs, stops }) => {
    return isLoop(stops) || (runs && view.sandboxes.some((each) => each.ready && each.createdAtNs < went));
  });
  if (victims.length === 0) return [];
  const { path, controller, takers, putters, missing } = fight;
  return [{ path, controller, pods: victims, missing, takers, putters, seen: { how: 'changes', fight } }];
}

/** The last who wrote has taken what is missing since; who else wrote there put it back before. */
function writersOf(facts: Facts, path: string): Pick<Flap, 'takers' | 'putters' | 'seen'> {
  const watched = watchedOf(facts);
  const mine = (watched?.writers ?? []).filter((each) => each.path === path);
  const byEnd = mine.toSorted((a, b) => (a.last.wallNs < b.last.wallNs ? 1 : -1));
  const [taker, ...others] = byEnd;
  if (taker === undefined || others.length === 0) return { takers: [], putters: [], seen: { how: 'stops' } };
  const first = mine.reduce((min, each) => (each.first.wallNs < min.wallNs ? each.first : min), taker.first);
  const party = (of: typeof mine) => partiesOf(of.map((each) => each.writer)).map((each) => withWrites(each, of));
  return { takers: party([taker]), putters: party(others), seen: { how: 'writers', first, last: taker.last } };
}

function withWrites(
  party: Party,
  of: readonly { readonly writer: { readonly pid: number }; readonly count: number }[],
) {
  const mine = of.filter((each) => party.pids.includes(each.writer.pid));
  return { ...party, count: mine.reduce((sum, each) => sum + each.count, 0) };
}
