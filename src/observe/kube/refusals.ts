import type { Clock } from '../../model/clock.ts';
import type { Observed } from '../../model/observed.ts';
import type { NameHeld } from '../../model/records.ts';
import { parseSandboxName } from '../../model/sandbox.ts';
import { at, listOf, member, textOf } from '../json.ts';
import { findHeld } from '../name-held.ts';
import { eventNode, eventSpan } from './event-fields.ts';
import { askNodeApi, asksAgain, type NodeApiOptions } from './node-api.ts';

/**
 * The sandboxes that kubelet of this node was refused for want of a name, by its events, oldest first: what its log
 * says where that cannot be read. One list of all events of that reason (the API cannot choose by node) and its
 * pages; the API keeps them for an hour. Whatever goes wrong is Unknown with its reason. Its dates are by the node's
 * clock.
 */
export function observeRefusals(options: NodeApiOptions): Promise<Observed<readonly NameHeld[]>> {
  return askNodeApi(options, async (client, { name }) => {
    const found = await client.list('/api/v1/events', {
      kind: 'EventList',
      itemsOf: (page) => refusalsOfPage(page, name),
      query: { fieldSelector: 'reason=FailedCreatePodSandBox' },
      ...(options.signal ? { signal: options.signal } : {}),
    });
    return found.sort((a, b) => (a.last.wallNs < b.last.wallNs ? -1 : a.last.wallNs > b.last.wallNs ? 1 : 0));
  });
}

/** `observeRefusals` for one that looks again and again; see askerAgain. */
export function refusalsAsker(
  options: Omit<NodeApiOptions, 'hostname'>,
  clock: Clock,
): (hostname: string) => Promise<Observed<readonly NameHeld[]>> {
  return asksAgain(observeRefusals, options, clock);
}

/**
 * The refusals of `node` on a page of events. Who may write events may write anything: one that is not about the very
 * pod whose name it quotes is left out. Source: kubelet kuberuntime_manager.go (FailedCreatePodSandBox); a recorder
 * folds equal events into one with a count (client-go tools/record EventCorrelator).
 */
export function refusalsOfPage(page: unknown, node: string): NameHeld[] {
  return listOf(member(page, 'items')).flatMap((item): NameHeld[] => {
    const held = findHeld(textOf(member(item, 'message'), 4_000) ?? '');
    const asked = held?.kind === 'sandbox' ? parseSandboxName(held.name) : undefined;
    const span = eventSpan(item);
    if (eventNode(item) !== node || !held || !asked || span === undefined) return [];
    if (textOf(at(item, 'involvedObject', 'uid'), 100) !== asked.uid) return [];
    const { name, holderId } = held;
    return [
      {
        kind: 'sandbox',
        asked,
        holderId,
        text: `failed to reserve sandbox name "${name}": name "${name}" is reserved for "${holderId}"`,
        count: span.count,
        first: { wallNs: span.firstNs },
        last: { wallNs: span.lastNs },
      },
    ];
  });
}
