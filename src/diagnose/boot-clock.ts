import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import { programEpochNs } from '../model/version.ts';
import { describeDate, describeDuration } from './time.ts';
import type { Views } from './views.ts';

/** How far the wall clock was behind when this boot began, at least, and what shows it. */
export interface BootClock {
  readonly behindNs: bigint;
  readonly evidence: string;
}

/**
 * A boot cannot begin before the last one ended. Two witnesses: the journal (the first entry of this boot is dated
 * before the last of the boot before) and the sandboxes (some are dated after now).
 */
export function bootClock(views: Views): BootClock | undefined {
  const found = byJournal(views) ?? bySandboxes(views);
  return found === undefined || isLastBootsFault(found, views) ? undefined : found;
}

/**
 * The last boot is dated so far after this one that its clock was wrong, not this one's: a board whose empty battery
 * said
 * 2099 for once.
 */
export function lastBootAhead(views: Views): BootClock | undefined {
  const found = byJournal(views) ?? bySandboxes(views);
  return found !== undefined && isLastBootsFault(found, views) ? found : undefined;
}

/** The same bound as for moving the clock (src/boot/witnesses.ts): a clock that was set is not a month behind. */
function isLastBootsFault({ behindNs }: BootClock, { node }: Views): boolean {
  const wasSet = node !== undefined && node.wallNs - node.uptimeNs >= programEpochNs;
  return wasSet && behindNs > BigInt(limits.clockForwardDays) * 86_400_000_000_000n;
}

function byJournal(views: Views): BootClock | undefined {
  const boots = valueOr(views.snapshot.boots, []);
  const [last, current] = [boots.at(-2), boots.at(-1)];
  if (last === undefined || current === undefined) return undefined;
  const behindNs = last.lastNs - current.firstNs;
  if (behindNs < slackNs) return undefined;
  return {
    behindNs,
    evidence:
      `the last boot's journal ends ${describeDate(last.lastNs)}, ` +
      `this one begins ${describeDate(current.firstNs)}`,
  };
}

function bySandboxes(views: Views): BootClock | undefined {
  const node = views.node;
  if (node === undefined) return undefined;
  const newest = [...views.sandboxById.values()].reduce(
    (max, each) => (each.createdAtNs > max ? each.createdAtNs : max),
    0n,
  );
  const behindNs = newest - node.wallNs;
  if (behindNs < slackNs) return undefined;
  return {
    behindNs,
    evidence: `now is ${describeDate(node.wallNs)}, the newest sandbox is dated ${describeDuration(behindNs)} later`,
  };
}

const slackNs = BigInt(limits.clockSlackMs) * 1_000_000n;
