import type { ControllerChange, ControllerChanges, ControllerWriter } from '../model/controller-changes.ts';
import type { Moment } from '../model/records.ts';
import { describeDuration } from './time.ts';
import { times } from './words.ts';

/** Processes of one name that took a controller away, or put it back. */
export interface Party {
  /** Empty where nobody could be named. */
  readonly comm: string;
  /** Each once; several where it is a program that starts anew each time (runc). */
  readonly pids: readonly number[];
  readonly unit?: string;
  /** How many of the changes. */
  readonly count: number;
  /** Others wrote at the same moment: it was one of them. */
  readonly perhaps?: true;
}

/** One controller of one slice, over the time that was watched. */
export interface Fight {
  readonly path: string;
  readonly controller: string;
  /** How often it went, and came back. */
  readonly gone: number;
  readonly back: number;
  readonly takers: readonly Party[];
  readonly putters: readonly Party[];
  /** Who had written to the slices in the seconds before, in most of the times that it went: what was seen, no more. */
  readonly after?: Pick<Party, 'comm' | 'count'>;
  readonly first: Moment;
  readonly last: Moment;
  /** When it went the last time; as `last` where it never went. */
  readonly lastGone: Moment;
  /** It is gone at the end. */
  readonly missing: boolean;
  /** How long it was away, nanoseconds, the shortest and the longest; absent where it never came back. */
  readonly awayNs?: readonly [shortest: bigint, longest: bigint];
}

/** What went and came back, by slice and controller, in the order of the first change of each. */
export function fightsOf({ changes = [] }: Pick<ControllerChanges, 'changes'>): Fight[] {
  return [...Map.groupBy(changes, ({ path, controller }) => `${path} ${controller}`).values()].flatMap(fightOf);
}

/**
 * `cpuset left kubepods-burstable.slice 6 times in 3 min: taken by systemd (pid 1) after kubelet's writes, put back by
 * kubelet (pid 376)`.
 */
export function describeFight(fight: Fight, watchedNs: bigint): string {
  const { controller, path, gone, back, takers, putters, after, missing } = fight;
  const slice = sliceName(path);
  const within = describeDuration(watchedNs);
  if (gone === 0) return `${controller} came back to ${slice}, put there by ${describeParties(putters)}`;
  const returned = back === 0 ? '' : `, put back by ${describeParties(putters)}`;
  const now = missing ? '; it is missing now' : '';
  const left = `${controller} left ${slice} ${times(gone)} in ${within}`;
  const when = after === undefined ? '' : ` after ${after.comm}'s writes`;
  return `${left}: taken by ${describeParties(takers)}${when}${returned}${now}`;
}

/** `systemd (pid 1)`, `runc (12 processes)`, `systemd (pid 1) or kubelet (pid 376)`, `somebody who was not named`. */
export function describeParties(parties: readonly Party[]): string {
  const word = parties.some((each) => each.perhaps) ? ' or ' : ' and ';
  return parties.map(describeParty).join(word) || 'somebody who was not named';
}

/** The processes by name; the pid where it is one. */
export function partiesOf(writers: readonly ControllerWriter[]): Party[] {
  return [...Map.groupBy(writers, ({ comm, pid }) => `${comm} ${comm === '' ? pid : ''}`).values()].flatMap((group) => {
    const [first] = group;
    if (first === undefined) return [];
    const { comm, unit } = first;
    const pids = [...new Set(group.map((each) => each.pid))];
    return [{ comm, pids, ...(unit === undefined ? {} : { unit }), count: group.length }];
  });
}

/** The last part of a slice's path; the root is named as what it is. */
export function sliceName(path: string): string {
  return path === '/' ? 'the root' : path.slice(path.lastIndexOf('/') + 1);
}

/** The nanoseconds between two moments: by the kernel's count where both have it. */
export function betweenNs(from: Moment, to: Moment): bigint {
  if (from.bootId === to.bootId && from.monotonicUs !== undefined && to.monotonicUs !== undefined) {
    return (to.monotonicUs - from.monotonicUs) * 1_000n;
  }
  return to.wallNs - from.wallNs;
}

function fightOf(changes: readonly ControllerChange[]): Fight[] {
  const [first, last] = [changes[0], changes.at(-1)];
  if (first === undefined || last === undefined) return [];
  const went = changes.filter((each) => each.went === 'gone');
  const came = changes.filter((each) => each.went === 'back');
  const away = awayOf(changes);
  const after = provokerOf(went);
  return [
    {
      path: first.path,
      controller: first.controller,
      gone: went.length,
      back: came.length,
      takers: named(went),
      putters: named(came),
      first: first.at,
      last: last.at,
      lastGone: went.at(-1)?.at ?? last.at,
      ...(after === undefined ? {} : { after }),
      missing: last.went === 'gone',
      ...(away === undefined ? {} : { awayNs: away }),
    },
  ];
}

/** Who it was where one process alone had written; where that never was so, who it may have been. */
function named(changes: readonly ControllerChange[]): Party[] {
  const sure = changes.filter((each) => each.writers.length === 1);
  const parties = partiesOf((sure.length > 0 ? sure : changes).flatMap((each) => each.writers));
  const told = sure.length > 0 ? parties : parties.map((each) => ({ ...each, perhaps: true as const }));
  return told.toSorted((a, b) => b.count - a.count);
}

/** Once may be chance; and whoever takes it away some of the times is a party, not what provokes one. */
function provokerOf(went: readonly ControllerChange[]): Fight['after'] {
  const takers = new Set(went.flatMap((each) => each.writers.map(({ comm }) => comm)));
  const rounds = went.flatMap(({ after = [] }) => [...new Set(after.map((each) => each.comm))]);
  const counts = Map.groupBy(
    rounds.filter((comm) => comm !== '' && !takers.has(comm)),
    (comm) => comm,
  );
  const [most] = [...counts].toSorted(([, a], [, b]) => b.length - a.length);
  if (most === undefined || most[1].length < 2 || most[1].length * 2 <= went.length) return undefined;
  return { comm: most[0], count: most[1].length };
}

function awayOf(changes: readonly ControllerChange[]): [bigint, bigint] | undefined {
  let left: Moment | undefined;
  const spans: bigint[] = [];
  for (const { went, at } of changes) {
    if (went === 'back' && left !== undefined) spans.push(betweenNs(left, at));
    left = went === 'gone' ? (left ?? at) : undefined;
  }
  const [shortest, ...rest] = spans.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return shortest === undefined ? undefined : [shortest, rest.at(-1) ?? shortest];
}

function describeParty({ comm, pids }: Party): string {
  const who = comm === '' ? 'a process that was gone at once' : comm;
  if (pids.length === 1 && pids[0] === 0) return 'a process that is not visible from here';
  return pids.length === 1 ? `${who} (pid ${pids[0]})` : `${who} (${pids.length} processes)`;
}
