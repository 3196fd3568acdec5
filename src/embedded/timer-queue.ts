/** One sleeper of simulated time. */
export interface Timer {
  readonly atUs: number;
  readonly order: number;
  readonly fire: () => void;
  cancelled: boolean;
}

/** Sleepers by the moment they wake, and among equals by the order they fell asleep (a binary heap). */
export class TimerQueue {
  readonly #heap: Timer[] = [];
  #added = 0;

  add(atUs: number, fire: () => void): Timer {
    const timer: Timer = { atUs, order: this.#added++, fire, cancelled: false };
    let at = this.#heap.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#heap[parent];
      if (!above || isBefore(above, timer)) break;
      this.#heap[at] = above;
      at = parent;
    }
    this.#heap[at] = timer;
    return timer;
  }

  /** The next sleeper that was not cancelled, or undefined. */
  pop(): Timer | undefined {
    for (let first = this.#take(); first; first = this.#take()) {
      if (!first.cancelled) return first;
    }
    return undefined;
  }

  #take(): Timer | undefined {
    const first = this.#heap[0];
    const last = this.#heap.pop();
    if (!first || !last || first === last) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      const [left, right] = [this.#heap[child], this.#heap[child + 1]];
      if (!left) break;
      let lesser = left;
      if (right && isBefore(right, left)) {
        lesser = right;
        child++;
      }
      if (isBefore(last, lesser)) break;
      this.#heap[at] = lesser;
      at = child;
    }
    this.#heap[at] = last;
    return first;
  }
}

function isBefore(a: Timer, b: Timer): boolean {
  return a.atUs < b.atUs || (a.atUs === b.atUs && a.order < b.order);
}
