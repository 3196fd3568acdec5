import { type KernelKind, type KernelLog, type KernelTrouble, stallKinds } from '../model/kernel.ts';
import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { Moment } from '../model/records.ts';
import type { Facts } from './facts.ts';
import { isCurrent } from './time.ts';

/** The stalls of this boot. */
export interface Stalls {
  readonly log: KernelLog;
  readonly troubles: readonly KernelTrouble[];
  readonly total: number;
  readonly first: Moment;
  readonly last: Moment;
  /** A stall was told of within the last hour. */
  readonly isCurrent: boolean;
  /** A processor or a task stood still for long, not only RCU. */
  readonly hasLockup: boolean;
  /** Stalls an hour since the first one. */
  readonly perHour: number;
  /** The last three hours against the three before; `new` where there is nothing to compare with. */
  readonly trend: 'rising' | 'falling' | 'steady' | 'new';
}

/** What the kernel's log says of stalls; undefined where it says of none, or could not be read. */
export function stallsOf(facts: Facts): Stalls | undefined {
  const { node } = facts;
  const log = facts.snapshot.kernelLog === undefined ? undefined : valueOr(facts.snapshot.kernelLog, undefined);
  const troubles = log?.troubles.filter((each) => isStallKind(each.kind)) ?? [];
  const [any] = troubles;
  if (node === undefined || log === undefined || any === undefined) return undefined;
  const us = (at: Moment) => at.monotonicUs ?? 0n;
  const first = troubles.reduce((a, b) => (us(b.first) < us(a) ? b.first : a), any.first);
  const last = troubles.reduce((a, b) => (us(b.last) > us(a) ? b.last : a), any.last);
  const total = troubles.reduce((sum, each) => sum + each.count, 0);
  const hours = Math.max(Number(node.uptimeNs / 1_000n - us(first)) / 3.6e9, 1);
  return {
    log,
    troubles,
    total,
    first,
    last,
    isCurrent: isCurrent(last, node, limits.stallsCurrentForMs),
    hasLockup: troubles.some((each) => /^(?:soft|hard|hung)-/.test(each.kind)),
    perHour: total / hours,
    trend: trendOf(log, Math.floor(Number(node.uptimeNs) / 3.6e12)),
  };
}

/** What a kind is called, for one or for several. */
export const stallNames: Readonly<Record<KernelKind, readonly [one: string, many: string]>> = {
  'rcu-stall': ['RCU stall', 'RCU stalls'],
  'rcu-expedited': ['expedited RCU stall', 'expedited RCU stalls'],
  'rcu-tasks': ['RCU tasks stall', 'RCU tasks stalls'],
  'rcu-starved': ['starved RCU thread', 'starved RCU threads'],
  'soft-lockup': ['soft lock-up', 'soft lock-ups'],
  'hard-lockup': ['hard lock-up', 'hard lock-ups'],
  'hung-task': ['hung task', 'hung tasks'],
  'oom-kill': ['OOM kill', 'OOM kills'],
  panic: ['kernel panic', 'kernel panics'],
  undervoltage: ['undervoltage warning', 'undervoltage warnings'],
  'nfs-silent': ['silent NFS server', 'silent NFS servers'],
};

/** `1,191 expedited RCU stalls, 2 hung tasks`. */
export function countsInWords(counts: readonly { readonly kind: KernelKind; readonly count: number }[]): string {
  return counts
    .toSorted((a, b) => b.count - a.count || (a.kind < b.kind ? -1 : 1))
    .map(({ kind, count }) => `${thousands(count)} ${stallNames[kind][count === 1 ? 0 : 1]}`)
    .join(', ');
}

/** `1191` as `1,191`. */
export function thousands(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

function trendOf(log: KernelLog, thisHour: number): Stalls['trend'] {
  const between = (from: number, to: number) =>
    log.hours
      .filter(({ hour }) => hour > from && hour <= to)
      .reduce((sum, { counts }) => sum + stallKinds.reduce((all, kind) => all + (counts[kind] ?? 0), 0), 0);
  const [now, before] = [between(thisHour - 3, thisHour), between(thisHour - 6, thisHour - 3)];
  if (before === 0) return 'new';
  if (now >= before * 1.5) return 'rising';
  return now * 1.5 <= before ? 'falling' : 'steady';
}

/** Whether SW402 counts a kind. */
export function isStallKind(kind: KernelKind): boolean {
  return (stallKinds as readonly KernelKind[]).includes(kind);
}
