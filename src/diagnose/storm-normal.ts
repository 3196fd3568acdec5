import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { Creation } from '../model/records.ts';
import type { Facts } from './facts.ts';
import { agoNs } from './time.ts';

/**
 * What the node creates in a usual minute besides `looping` (`POD-UID CONTAINER`): the median of the minutes of this
 * boot's log, else of the last ones by the dates of CRI's records. After a reboot everything is made at once: with a
 * mean, that would be the node's normal for as long as the log is short, and hide a storm. The first minutes of the
 * boot are left out as soon as there are enough others; until then the median bears as much of it as the half.
 */
export function usualPerMinute(facts: Facts, looping: ReadonlySet<string>): number {
  const { node, snapshot } = facts;
  if (node === undefined) return 0;
  const log = valueOr(snapshot.runtimeLog, undefined);
  const startNs = BigInt(limits.stormStartMs) * 1_000_000n;
  const currentNs = BigInt(limits.loopCurrentForMs) * 1_000_000n;
  const sinceStartNs = node.uptimeNs - startNs;
  const longestNs = sinceStartNs >= currentNs ? sinceStartNs : node.uptimeNs;
  if (log?.since && log.creations !== undefined && log.creations.length > 0) {
    const again = madeAgain(facts, log.creations);
    const ages = log.creations.flatMap((each) => {
      const key = `${podUidOf(facts, each)} ${each.container}`;
      if (looping.has(key) || again.has(key)) return [];
      const [first, last] = [agoNs(each.first, node), agoNs(each.last, node)];
      return first === null || last === null ? [] : spread(first, last, each.count);
    });
    return medianOfMinutes(ages, smaller(longestNs, agoNs(log.since, node) ?? longestNs));
  }
  const ages = valueOr(snapshot.containers, [])
    .filter((each) => !looping.has(`${each.podUid} ${each.name}`))
    .map((each) => node.wallNs - each.createdAtNs);
  return medianOfMinutes(ages, smaller(longestNs, currentNs));
}

/** What was made again and again in new sandboxes of the same pod is no usual work either, also when that is over. */
function madeAgain(facts: Pick<Facts, 'sandboxById'>, creations: readonly Creation[]): ReadonlySet<string> {
  const told = creations.filter((each) => podUidOf(facts, each) !== undefined);
  const grouped = Map.groupBy(told, (each) => `${podUidOf(facts, each)} ${each.container}`);
  return new Set([...grouped].flatMap(([key, all]) => (all.length >= limits.loopCreations ? [key] : [])));
}

/** The pod of a creation: of its sandbox where that is listed, else as the log told it. */
export function podUidOf({ sandboxById }: Pick<Facts, 'sandboxById'>, { sandboxId, podUid }: Creation) {
  return sandboxById.get(sandboxId)?.uid ?? podUid;
}

/** The ages of `count` creations, of which the first and the last one are known. */
function spread(firstNs: bigint, lastNs: bigint, count: number): bigint[] {
  const steps = BigInt(Math.max(count - 1, 1));
  return Array.from({ length: count }, (_, index) => firstNs - ((firstNs - lastNs) * BigInt(index)) / steps);
}

/** The median of the whole minutes of a window that ends now. */
function medianOfMinutes(agesNs: readonly bigint[], windowNs: bigint): number {
  const minutes = new Array<number>(Math.max(Number(windowNs / MINUTE_NS), 1)).fill(0);
  for (const age of agesNs) {
    const minute = Number((age < 0n ? 0n : age) / MINUTE_NS);
    if (minute < minutes.length) minutes[minute] = (minutes[minute] ?? 0) + 1;
  }
  return minutes.sort((a, b) => a - b)[Math.floor(minutes.length / 2)] ?? 0;
}

const MINUTE_NS = 60_000_000_000n;

function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
