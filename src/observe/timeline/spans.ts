import { limits } from '../../model/limits.ts';
import type { Span } from '../../model/records.ts';
import { type Entry, momentOf } from './entry.ts';

/** Occurrences of things by their key: count, first and last; of a bounded number of things, but all are counted. */
export class Spans<T extends object> {
  readonly #known = new Map<string, { readonly of: T; readonly first: Entry; last: Entry; count: number }>();

  add(key: string, entry: Entry, of: T): void {
    const known = this.#known.get(key);
    if (known) {
      known.count++;
      known.last = bare(entry);
    } else if (this.#known.size < limits.incidentNames) {
      this.#known.set(key, { of, first: bare(entry), last: bare(entry), count: 1 });
    }
  }

  get size(): number {
    return this.#known.size;
  }

  /** In the order of their first occurrence. */
  list(): (T & Span)[] {
    return [...this.#known.values()].map(({ of, first, last, count }) => {
      return { ...of, count, first: momentOf(first), last: momentOf(last) };
    });
  }
}

/** Only the date is needed of it; its text would stay with it. */
function bare(entry: Entry): Entry {
  return { ...entry, text: '' };
}
