import { limits } from '../model/limits.ts';
import type { Moment, Span } from '../model/records.ts';
import { apartMs } from './log-line.ts';

/**
 * Folds occurrences of the same thing into one record with a count, first and last.
 * Lines within `limits.sameFailureMs` of the first line of an occurrence tell of the same occurrence: kubelet logs one
 * failure three or four times within 15 ms (remote_runtime.go, kuberuntime_sandbox.go, kuberuntime_manager.go,
 * pod_workers.go) and tries again 600 ms later at the earliest (recorded: clock-step/stuck).
 */
export class Fold<T extends object> {
  readonly #records = new Map<string, { record: T; span: Span; counted: Moment }>();

  /** Counts an occurrence. Words of a later line replace those of an earlier one where they are longer. */
  add(key: string, at: Moment, record: T, longer: (a: T, b: T) => T = (a) => a): void {
    const known = this.#records.get(key);
    if (!known) {
      // A hostile log may name ever new things; what is first is kept.
      if (this.#records.size < limits.logRecords) {
        this.#records.set(key, { record, span: { count: 1, first: at, last: at }, counted: at });
      }
      return;
    }
    known.record = longer(known.record, record);
    const same = apartMs(known.counted, at) <= limits.sameFailureMs;
    known.span = { count: known.span.count + (same ? 0 : 1), first: known.span.first, last: at };
    if (!same) known.counted = at;
  }

  /** Changes what is known of `key`, where something is. */
  amend(key: string, change: (record: T) => T): void {
    const known = this.#records.get(key);
    if (known) known.record = change(known.record);
  }

  get(key: string): T | undefined {
    return this.#records.get(key)?.record;
  }

  /** In the order of the first occurrence. */
  list(): (T & Span)[] {
    return [...this.#records.values()].map(({ record, span }) => ({ ...record, ...span }));
  }
}
