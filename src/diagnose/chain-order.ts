import type { Link } from '../model/finding.ts';
import { ghostCodes } from './causes.ts';

/**
 * The links, which come in the order of cause and effect, oldest first. A link without a time stands before all that
 * may have come of it. What is only dated by a wall clock is of before this boot, so it goes before all that has a
 * distance; where an earlier link caused it, it stays behind that one.
 */
export function oldestFirst(links: readonly Link[]): Link[] {
  const dated = withoutLateSightings(links);
  const ages = agesOf(dated);
  return dated
    .map((link, index) => ({ link, age: ages[index] ?? 0n, wallNs: isOfBefore(link) ? (link.at?.wallNs ?? 0n) : 0n }))
    .sort((a, b) => descending(a.age, b.age) || descending(b.wallNs, a.wallNs))
    .map(({ link }) => link);
}

/** Whether the code that a link gives as its reason is that of another link; dead sandboxes share one link. */
export function isReasonOf(cause: Link, effect: Link): boolean {
  const code = /^(SW\d{3}):/.exec(effect.because ?? '')?.[1];
  if (code === undefined || cause.code === undefined || cause === effect) return false;
  return cause.code === code || (ghostCodes.includes(code) && ghostCodes.includes(cause.code));
}

/**
 * A cause that was seen later than what came of it began before it was seen: since when is not known, and it has no
 * time then (kubelet tells of a failure at its next sync, a runtime that is started again lists its dead anew).
 */
function withoutLateSightings(links: readonly Link[]): Link[] {
  let dated = [...links];
  for (;;) {
    const ages = agesOf(dated);
    const late = dated.findIndex(
      (cause, at) =>
        cause.agoNs !== null &&
        dated.some((effect, other) => (ages[other] ?? 0n) > (ages[at] ?? 0n) && isReasonOf(cause, effect)),
    );
    if (late === -1) return dated;
    dated = dated.map((each, at) => (at === late ? { ...each, at: null, agoNs: null, lastedNs: null } : each));
  }
}

/** The age that each link is placed by: its own, else that of the oldest of all that follows it. */
function agesOf(links: readonly Link[]): bigint[] {
  let oldest = -BEFORE_THIS_BOOT;
  return links
    .toReversed()
    .map((link) => {
      const own = link.agoNs ?? (isOfBefore(link) ? BEFORE_THIS_BOOT : null);
      if (own !== null && own > oldest) oldest = own;
      return own ?? oldest;
    })
    .toReversed();
}

function isOfBefore({ agoNs, at, because }: Link): boolean {
  return agoNs === null && at !== null && because === undefined;
}

/** More than any distance within a boot: 30,000 years in nanoseconds. */
const BEFORE_THIS_BOOT = 10n ** 21n;

function descending(a: bigint, b: bigint): number {
  return a > b ? -1 : a < b ? 1 : 0;
}
