import type { Link } from '../model/finding.ts';
import type { Moment } from '../model/records.ts';
import type { Facts } from './facts.ts';
import { agoNs } from './time.ts';

/** When the first of some records was written, and how long they went on. */
export function spanOf(
  facts: Facts,
  spans: readonly { first: Moment; last: Moment }[],
): Pick<Link, 'at' | 'agoNs' | 'lastedNs'> {
  const node = facts.node;
  if (node === undefined || spans.length === 0) return { at: null, agoNs: null, lastedNs: null };
  const firsts = spans.map((each) => agoNs(each.first, node)).filter((each) => each !== null);
  const lasts = spans.map((each) => agoNs(each.last, node)).filter((each) => each !== null);
  if (firsts.length === 0 || lasts.length === 0) return { at: null, agoNs: null, lastedNs: null };
  const first = firsts.toSorted(byNumber).at(-1) ?? 0n;
  const last = lasts.toSorted(byNumber)[0] ?? 0n;
  return { at: null, agoNs: first, lastedNs: first > last ? first - last : null };
}

function byNumber(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
