import { type ControllerWriter, isSameWriter } from '../../model/controller-changes.ts';
import { limits } from '../../model/limits.ts';

/** Who wrote to any of the slices a moment ago: what may have made somebody else write. Holds each process once. */
export class RecentWriters {
  #recent: { readonly writer: ControllerWriter; readonly atNs: bigint }[] = [];

  /** `atNs`: of a clock that does not jump. */
  add(writer: ControllerWriter, atNs: bigint): void {
    const others = this.#within(atNs).filter((each) => !isSameWriter(each.writer, writer));
    this.#recent = [...others.slice(1 - limits.watchRecentWriters), { writer, atNs }];
  }

  /** Those that wrote shortly before, the newest last. */
  before(atNs: bigint): ControllerWriter[] {
    return this.#within(atNs).map((each) => each.writer);
  }

  #within(atNs: bigint) {
    return this.#recent.filter((each) => atNs - each.atNs <= BigInt(limits.watchProvokedMs) * 1_000_000n);
  }
}
