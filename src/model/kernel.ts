import type { Moment, Span } from './records.ts';

/**
 * What the kernel complains of, as far as it matters for a node that is churned by containers.
 * `rcu-*`, lock-ups and hung tasks are stalls of the kernel itself; the rest explains them or stands beside them.
 */
export const kernelKinds = [
  'rcu-stall',
  'rcu-expedited',
  'rcu-tasks',
  'rcu-starved',
  'soft-lockup',
  'hard-lockup',
  'hung-task',
  'oom-kill',
  'panic',
  'undervoltage',
  'nfs-silent',
] as const;
export type KernelKind = (typeof kernelKinds)[number];

/** The kinds that SW402 counts: the kernel waited for a processor or a task that did not come. */
export const stallKinds = [
  'rcu-stall',
  'rcu-expedited',
  'rcu-tasks',
  'rcu-starved',
  'soft-lockup',
  'hard-lockup',
  'hung-task',
] as const satisfies readonly KernelKind[];

/** One message of the kernel, understood. */
export interface KernelSign {
  readonly kind: KernelKind;
  /** The task it is about, by its name of at most 15 bytes (`runc:[2:INIT]`), where the line names one. */
  readonly task?: string;
  readonly pid?: number;
  readonly cpu?: number;
  /** How long it stood still, seconds, where the line says it in seconds. */
  readonly seconds?: number;
  /** Where the line counts in jiffies (100 to 1000 a second, by the kernel's configuration). */
  readonly jiffies?: number;
}

/** All messages of one kind of this boot, with the words of the first one of them. */
export interface KernelTrouble extends Span {
  readonly kind: KernelKind;
  readonly text: string;
}

/** The messages of one hour of the boot: the hour that begins `hour` hours after the start of the kernel. */
export interface KernelHour {
  readonly hour: number;
  readonly counts: Readonly<Partial<Record<KernelKind, number>>>;
}

/** What the kernel's log of this boot says. */
export interface KernelLog {
  /** `kmsg`: the kernel's own ring, of which the oldest part may be overwritten; `journal`: what journald kept. */
  readonly from: 'kmsg' | 'journal';
  readonly since: Moment | null;
  readonly lines: number;
  /** Lines that were overwritten before they were read, or left out for a limit. */
  readonly lost: number;
  readonly troubles: readonly KernelTrouble[];
  /** Hours with at least one message, oldest first. */
  readonly hours: readonly KernelHour[];
  /** The tasks that stalls and their dumps name, most often first. */
  readonly tasks: readonly { readonly task: string; readonly count: number }[];
}
