import type { ControllerWriter } from '../../model/controller-changes.ts';
import { limits } from '../../model/limits.ts';

/** Who wrote to any of the slices a moment ago: what may have made somebody else write. Holds each process once. */
export class RecentWriters {
  #recent: { readonly writer: ControllerWriter; readonly atNs: bigint }[] = [];

  /** `atNs`: of a clock that does not jump. */
  add(writer: ControllerWriter, atNs: bigint): void {
    const others = this.#within(atNs).filter((each) => !isSameNow(each.writer, writer));
    this.#recent = [...others.slice(1 - limits.watchRecentWriters), { writer, atNs }];
  }

  /** Those that wrote shortly before, the newest last. */
  before(atNs: bigint): ControllerWriter[] {
    return this.#within(atNs).map((each) => each.writer);
  }

  /**
   * `writer`, or what was known of it a moment ago: a process that has written twice and ended is gone when it is asked
   * the second time.
   */
  known(writer: ControllerWriter, atNs: bigint): ControllerWriter {
    if (writer.comm !== '' || writer.pid === 0) return writer;
    return this.#within(atNs).findLast((each) => isSameNow(each.writer, writer))?.writer ?? writer;
  }

  #within(atNs: bigint) {
    return this.#recent.filter((each) => atNs - each.atNs <= BigInt(limits.watchProvokedMs) * 1_000_000n);
  }
}

/**
 * Whether two writers of one moment are one process: within seconds no pid is given again, so of one that is gone, or
 * that has become another program, the pid alone tells.
 */
export function isSameNow(a: ControllerWriter, b: ControllerWriter): boolean {
  if (a.pid !== b.pid) return false;
  return a.startedUptimeNs === undefined || b.startedUptimeNs === undefined || a.startedUptimeNs === b.startedUptimeNs;
}
