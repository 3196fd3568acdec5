import type { EndpointInfo } from './node.ts';
import type { Moment } from './records.ts';
import type { SnapshotSource } from './snapshot.ts';

/** error: pods are down because of it. warning: will be, or is fragile. info: explains. */
export type Severity = 'error' | 'warning' | 'info';
export const severities = ['error', 'warning', 'info'] as const satisfies readonly Severity[];

/** How much an action can hurt, and so who may allow it (docs/safety.md). */
export type Tier = 'safe' | 'disruptive' | 'destructive';

/**
 * What a finding is about. `name` is how a person says it (`default/web/0`, `containerd`), `id` the full id where there
 * is one.
 */
export interface ObjectRef {
  readonly kind: 'sandbox' | 'container' | 'pod' | 'runtime' | 'node' | 'network' | 'driver' | 'socket' | 'volume';
  readonly name: string;
  readonly id?: string;
}

/** A fact the finding rests on: where it was read, and what it says. */
export interface Evidence {
  readonly source: SnapshotSource;
  readonly text: string;
  readonly at?: Moment;
}

/** What mends it: a command that is exact and can be pasted, or why there can be none. */
export type Remedy = RemedyText & (RemedyCommand | NoCommand);

interface RemedyText {
  readonly tier: Tier | 'none';
  readonly text: string;
}
export interface RemedyCommand {
  readonly command: string;
  readonly noCommand?: undefined;
}
export interface NoCommand {
  readonly command?: undefined;
  /** Why only time or a person can help; the end of a sentence that begins with `no command: `. */
  readonly noCommand: string;
}

/** One thing that is wrong (or explained), by one rule. */
export interface Finding {
  readonly code: string;
  readonly severity: Severity;
  readonly object: ObjectRef;
  /** Why, in plain words, one or two sentences. */
  readonly why: string;
  readonly evidence: readonly Evidence[];
  readonly remedy: Remedy;
  /** The pods that are down or will be because of it, as `namespace/name`. */
  readonly pods: readonly string[];
}

/** A cause that the same facts allow, and that ranks below the one that the chain goes by. */
export interface OtherCause {
  readonly code: string;
  readonly text: string;
  /** What would prove or refute it. */
  readonly decidedBy: string;
}

/** A link of the causal chain, oldest first. */
export interface Link {
  /** When it happened, nanoseconds before (negative) the look by the kernel's count where that is known; else null. */
  readonly at: Moment | null;
  /** Nanoseconds before the look, by the monotonic clock of this boot where it reaches; null where no clock reaches. */
  readonly agoNs: bigint | null;
  /** How long it took or has been going on, nanoseconds; null where it is a moment. */
  readonly lastedNs: bigint | null;
  readonly text: string;
  readonly evidence: string;
  /** The finding this link stands for, where there is one. */
  readonly code?: string;
  /** Why an earlier link caused it: the rule, what the two share, how long it took. */
  readonly because?: string;
  readonly others?: readonly OtherCause[];
  /** Broken here, the chain ends: how, in plain words. At most one link of a chain has it. */
  readonly ends?: string;
}

/** What was not looked at, and why. */
export interface Gap {
  readonly source: SnapshotSource;
  readonly message: string;
  readonly hint: string;
}

/** A finding that can neither be told nor ruled out, because something that it needs was not seen. */
export interface NotJudged {
  readonly code: string;
  readonly source: SnapshotSource;
  readonly message: string;
}

export interface Diagnosis {
  /** One line in plain words: the first thing a person reads. */
  readonly verdict: string;
  readonly state: 'healthy' | 'warnings' | 'errors' | 'unobservable';
  readonly chain: readonly Link[];
  /** Ordered: errors first, then by code and object. */
  readonly findings: readonly Finding[];
  readonly gaps: readonly Gap[];
  /** Which runtime this is about, where there was more than one to look at. */
  readonly lookedAt?: EndpointInfo;
  /** By code. What is in neither list, and not found, is not there. */
  readonly notJudged: readonly NotJudged[];
}
