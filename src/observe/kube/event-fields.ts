import { at, countOf, dateOf, member, textOf } from '../json.ts';

/** How often something was told of by an event, and when, nanoseconds since 1970 by the clock of who wrote it. */
export interface EventSpan {
  readonly count: number;
  readonly firstNs: bigint;
  readonly lastNs: bigint;
}

/**
 * The count and the dates of an event of core/v1; undefined where it has no date. client-go's old recorder has first
 * and last, the newer one a date and a series.
 */
export function eventSpan(item: unknown): EventSpan | undefined {
  const lastNs =
    dateOf(at(item, 'series', 'lastObservedTime')) ??
    dateOf(member(item, 'lastTimestamp')) ??
    dateOf(member(item, 'eventTime'));
  if (lastNs === undefined) return undefined;
  const firstNs = dateOf(member(item, 'firstTimestamp')) ?? dateOf(member(item, 'eventTime')) ?? lastNs;
  return { count: Math.max(countOf(at(item, 'series', 'count')), countOf(member(item, 'count')), 1), firstNs, lastNs };
}

/** The node whose kubelet wrote an event. */
export function eventNode(item: unknown): string | undefined {
  return textOf(at(item, 'source', 'host'), 253) ?? textOf(member(item, 'reportingInstance'), 253);
}
