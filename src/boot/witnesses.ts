/**
 * Whether the wall clock is behind what the disk of the last boot tells, and how far it may be moved. Pure.
 *
 * Time only goes forward, so each honest date on the disk is a lower bound of now. A date may be wrong for two
 * reasons: one file is damaged or was written by another machine (then no other family says the same), or the clock
 * of the whole last boot was wrong (then all agree, and only the distance to now shows it).
 */

/** Who keeps a date apart from the others: a fault of one does not touch the next. */
export type Family = 'containerd' | 'journal' | 'heartbeat' | 'timesync';
export const families = ['containerd', 'journal', 'heartbeat', 'timesync'] as const satisfies readonly Family[];

/** One date of the last boot. */
export interface Witness {
  readonly family: Family;
  /** Where it was read: a path, a command. */
  readonly from: string;
  readonly dateNs: bigint;
  /** How much later the last write may have been that did not reach the disk: the file system's commit interval. */
  readonly slackNs: bigint;
}

export interface ClockNow {
  readonly wallNs: bigint;
  /** Nothing has set the clock since it lost its power: it stands at an epoch, or no hardware keeps it. */
  readonly neverSet: boolean;
}

export interface FloorBounds {
  /** How far a clock that was set may be moved. */
  readonly forwardNs: bigint;
  /** The latest date to which a clock that was never set may be moved. */
  readonly neverSetUntilNs: bigint;
  /** Two families whose newest dates are this close tell of one moment. */
  readonly agreeNs: bigint;
}

export interface Judgement {
  /** Where to move the clock; absent: it stays. Always after now. */
  readonly toNs?: bigint;
  /** The newest trusted date, where two families tell one. */
  readonly floorNs?: bigint;
  /** In plain words. */
  readonly why: string;
  /** The dates that were not taken, and why. */
  readonly distrusted: readonly { readonly witness: Witness; readonly why: string }[];
}

/** What to do with the clock. The same for any order of `witnesses`. */
export function judgeClock(witnesses: readonly Witness[], now: ClockNow, bounds: FloorBounds): Judgement {
  const ceilingNs = now.neverSet ? bounds.neverSetUntilNs : now.wallNs + bounds.forwardNs;
  const beyond = witnesses.filter((each) => targetOf(each) > ceilingNs).toSorted(newestFirst);
  const ranked = newestOfFamilies(witnesses.filter((each) => each.dateNs > 0n && targetOf(each) <= ceilingNs));
  const [first, second] = ranked;
  const distrusted = beyond.map((witness) => ({
    witness,
    why: now.neverSet ? 'it is too far ahead of this program' : 'it is too far ahead of now',
  }));
  if (first === undefined || second === undefined) {
    const why = first === undefined ? 'no credible date was found' : `only ${first.family} tells a credible date`;
    return { why, distrusted };
  }
  // Without a second family that was there within the bound, the newest date stands alone; the next one does not: the
  // newer family says that time had come that far at least.
  const isAlone = first.dateNs - second.dateNs > bounds.agreeNs;
  const trusted = isAlone ? second : first;
  if (isAlone && first.dateNs > now.wallNs) distrusted.push({ witness: first, why: 'nothing else tells of that time' });
  const floorNs = trusted.dateNs;
  if (floorNs <= now.wallNs) {
    const why = distrusted.length > 0 ? 'no date after now is confirmed by a second witness' : 'no date is after now';
    return { floorNs, why, distrusted };
  }
  const by = isAlone ? `${second.family}, and ${first.family} is later still` : `${first.family} and ${second.family}`;
  return { toNs: targetOf(trusted), floorNs, why: `the last boot went on until then by ${by}`, distrusted };
}

/** The newest witness of each family, newest first. */
export function newestOfFamilies(witnesses: readonly Witness[]): Witness[] {
  const sorted = witnesses.toSorted(newestFirst);
  return sorted.filter((each, index) => sorted.findIndex((other) => other.family === each.family) === index);
}

/** Just after the last write that the witness tells of or that was lost with the power. */
function targetOf({ dateNs, slackNs }: Witness): bigint {
  return dateNs + slackNs + SECOND_NS;
}

const SECOND_NS = 1_000_000_000n;

function newestFirst(a: Witness, b: Witness): number {
  return (
    compare(b.dateNs, a.dateNs) ||
    compare(b.slackNs, a.slackNs) ||
    compare(a.family, b.family) ||
    compare(a.from, b.from)
  );
}

function compare<T extends bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
