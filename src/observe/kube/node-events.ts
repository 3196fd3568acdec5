import type { NodeEvent } from '../../model/incident.ts';
import { limits } from '../../model/limits.ts';
import type { Observed } from '../../model/observed.ts';
import { member } from '../json.ts';
import { momentOfText } from '../kubelet-log.ts';
import { askNodeApi, type NodeApiOptions } from './node-api.ts';

/**
 * The events that the cluster keeps about this node (an hour of them, by default), oldest first. One request; whatever
 * goes wrong is Unknown with its reason. kubelet's own credentials may write events and not read them.
 */
export function observeNodeEvents(options: NodeApiOptions): Promise<Observed<NodeEvent[]>> {
  return askNodeApi(options, async (client, { name }) => {
    const events = await client.list('/api/v1/events', {
      kind: 'EventList',
      itemsOf: eventsOfList,
      query: { fieldSelector: `involvedObject.kind=Node,involvedObject.name=${name}` },
      ...(options.signal ? { signal: options.signal } : {}),
    });
    const sorted = events.sort((a, b) => (a.lastNs < b.lastNs ? -1 : a.lastNs > b.lastNs ? 1 : 0));
    return sorted.slice(-limits.incidentNames);
  });
}

/** The events of an EventList (parsed JSON); what is no event, or has no date, is left out. */
export function eventsOfList(list: unknown): NodeEvent[] {
  const items = member(list, 'items');
  return Array.isArray(items) ? items.flatMap(eventOf) : [];
}

function eventOf(item: unknown): NodeEvent[] {
  const text = (value: unknown) => (typeof value === 'string' ? value : undefined);
  // Events of core/v1 by client-go's old recorder have first and last; newer ones one date and a series.
  const dates = [member(item, 'lastTimestamp'), member(member(item, 'series'), 'lastObservedTime')];
  const date = [...dates, member(item, 'eventTime'), member(item, 'firstTimestamp')].map(text).find((each) => each);
  const at = date === undefined ? undefined : momentOfText(date);
  const count = Number(member(item, 'count') ?? member(member(item, 'series'), 'count') ?? 1);
  if (at === undefined) return [];
  return [
    {
      lastNs: at.wallNs,
      count: Number.isSafeInteger(count) && count > 0 ? count : 1,
      type: text(member(item, 'type'))?.slice(0, 64) ?? '',
      reason: text(member(item, 'reason'))?.slice(0, 128) ?? '',
      message: text(member(item, 'message'))?.slice(0, 1_024) ?? '',
    },
  ];
}
