import type { Link } from './finding.ts';
import type { KernelLog } from './kernel.ts';
import type { Boot } from './node.ts';
import type { Moment, Span } from './records.ts';

/** The wall clock was set while a boot ran: the two clocks of neighbouring lines part by so much. */
export interface ClockStep {
  readonly at: Moment;
  /** Forward is positive, nanoseconds. */
  readonly byNs: bigint;
}

/** Dead sandboxes that held names which kubelet asked for. */
export interface GhostEpisode extends Span {
  /** Different sandboxes that held a name. */
  readonly holders: number;
  /** `namespace/name`, in the order in which they were refused first. */
  readonly pods: readonly string[];
}

/** kubelet did not find a CSI driver, or its socket was missing. */
export interface DriverEpisode extends Span {
  readonly driver: string;
  /** kubelet's own words, the first ones. */
  readonly text: string;
}

/** A container that kubelet held back because it ended each time. */
export interface LoopEpisode extends Span {
  readonly pod: string;
  readonly container: string;
}

/** The API did not answer this node's kubelet, or kubelet itself went silent. */
export interface FreezeEpisode {
  readonly first: Moment;
  /** Where it ended; the last line of the boot where it did not. */
  readonly last: Moment;
  readonly lastedNs: bigint;
  readonly failures: number;
  /** kubelet wrote nothing at all for the last part of it. */
  readonly silent: boolean;
  readonly untilTheEnd: boolean;
  readonly text: string;
}

/** One hour of a boot, counted from the start of the kernel. */
export interface TimelineHour {
  readonly hour: number;
  /** Containers (and sandboxes, where systemd's log counts) that were made. */
  readonly creations: number;
  /** RCU stalls, lock-ups and hung tasks. */
  readonly stalls: number;
}

/** One boot, as the journal tells it. */
export interface TimelineBoot {
  readonly bootId: string;
  readonly first: Moment;
  readonly last: Moment;
  readonly end: Boot['end'];
  /** Lines of kubelet, the runtime, the kernel and systemd that were looked at. */
  readonly lines: number;
  readonly clockSteps: readonly ClockStep[];
  readonly ghosts?: GhostEpisode;
  readonly drivers: readonly DriverEpisode[];
  readonly loops: readonly LoopEpisode[];
  /** Whose log the creations were counted in; `none` where no log tells. */
  readonly creationsFrom: 'the runtime' | 'systemd' | 'kubelet' | 'none';
  readonly creations: number;
  /** Only hours in which something was counted. */
  readonly hours: readonly TimelineHour[];
  readonly kernel: KernelLog;
  readonly freezes: readonly FreezeEpisode[];
}

/** What the kernel left of a crash (pstore). */
export interface CrashRecord {
  readonly file: string;
  /** The date of the file: of the boot after the crash. */
  readonly wallNs: bigint;
  /** The line that says why, or the last one. */
  readonly text: string;
}

/** A run of healing, by our own journal. */
export interface HealedRun {
  readonly wallNs: bigint;
  readonly bootId: string;
  readonly text: string;
}

/** What the cluster says of the node: an event of the API, by the clock of whoever wrote it. */
export interface NodeEvent {
  readonly lastNs: bigint;
  readonly count: number;
  /** `Normal` or `Warning`. */
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

/** Something that could not be read, and what to do about it. */
export interface TimelineGap {
  readonly source: string;
  readonly message: string;
  readonly hint: string;
}

/** All that was read, in the order of boots and of the kernel's count in each. */
export interface Timeline {
  readonly hostname?: string;
  /** From when on the journal was looked at, by the wall clock. */
  readonly sinceNs: bigint;
  readonly lines: number;
  readonly boots: readonly TimelineBoot[];
  readonly crashes: readonly CrashRecord[];
  readonly healed: readonly HealedRun[];
  /** Only where the API was asked. */
  readonly events?: readonly NodeEvent[];
  readonly gaps: readonly TimelineGap[];
}

/** What a timeline means. */
export interface Incident {
  /** The first thing a person reads. */
  readonly verdict: string;
  /** `loop`: a reset has led to the next one, link by link. `trouble`: something happened. `quiet`: nothing did. */
  readonly state: 'loop' | 'trouble' | 'quiet' | 'nothing-read';
  /** What happened, in the order in which it began; a link names its cause where one holds. */
  readonly chain: readonly Link[];
  /** The links of the newest closed round, by their place in `chain`; empty where there is none. */
  readonly loop: readonly number[];
  /** Rounds that are closed: each began and ended with dead sandboxes after a reset. */
  readonly rounds: number;
  /** What ends it, the best first. */
  readonly breaks: readonly string[];
  /** Creations a minute of hours in which nothing crash-looped, and where that comes from. */
  readonly normal: { readonly perMinute: number; readonly from: string };
}
