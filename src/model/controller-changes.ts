import type { Moment, Span } from './records.ts';

/** What a watch over the slices' `cgroup.subtree_control` saw. Slices are named by their path from the mount. */

/** How the kernel told: `fanotify` names the process that wrote, `inotify` does not. */
export type ToldBy = 'fanotify' | 'inotify';

/** A process that wrote to the `cgroup.subtree_control` of a slice, as it was when the kernel told of it. */
export interface ControllerWriter {
  /** 0: it lives outside of the pid namespace that was watched from. */
  readonly pid: number;
  /** Empty where it was gone before it could be asked. */
  readonly comm: string;
  /** The unit that it runs in (`kubelet.service`, `init.scope`), where it is in one. */
  readonly unit?: string;
  /** Nanoseconds since boot. */
  readonly startedUptimeNs?: bigint;
}

/**
 * The writes of one process to one slice, whether or not they changed something. The kernel folds what it has not
 * told yet of one process and one file, so `count` is at least so many.
 */
export interface SliceWriter extends Span {
  readonly path: string;
  readonly writer: ControllerWriter;
}

/** A controller that a slice does not hand down any more (`gone`), or hands down again (`back`). */
export interface ControllerChange {
  readonly at: Moment;
  readonly path: string;
  readonly controller: string;
  readonly went: 'gone' | 'back';
  /** Who wrote since the slice was read before: one as a rule, several in a burst, none where nobody told. */
  readonly writers: readonly ControllerWriter[];
  /** Of one that is gone: others that wrote to any of the slices within `limits.watchProvokedMs` before. */
  readonly after?: readonly ControllerWriter[];
}

/** What was seen from `since` to `until`. */
export interface ControllerChanges {
  readonly since: Moment;
  readonly until: Moment;
  readonly by: ToldBy;
  /** By slice and process, in the order of the first write of each. */
  readonly writers: readonly SliceWriter[];
  /** Oldest first; absent where only the writers were recorded and nobody read what they wrote. */
  readonly changes?: readonly ControllerChange[];
  /** How often the kernel's queue overflowed: what it had to tell meanwhile is lost. */
  readonly overflows: number;
  /** More was seen than the limits allow to keep. */
  readonly truncated: boolean;
}

/** Whether two writers are one process. A pid is given again: the start tells, where both are known. */
export function isSameWriter(a: ControllerWriter, b: ControllerWriter): boolean {
  if (a.pid !== b.pid) return false;
  if (a.startedUptimeNs === undefined || b.startedUptimeNs === undefined) return a.comm === b.comm;
  return a.startedUptimeNs === b.startedUptimeNs;
}

/** `systemd (pid 1)`; `a process that is gone (pid 575)`. */
export function describeWriter({ pid, comm }: ControllerWriter): string {
  if (pid === 0) return 'a process that is not visible from here';
  return `${comm === '' ? 'a process that is gone' : comm} (pid ${pid})`;
}
