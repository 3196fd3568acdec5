import type { CriEvent } from '../cri/types.ts';

/** How a containerd gives its events to those who listen. */
export type Telling = 'to-all' | 'to-one';

/** 2.x: what nobody has heard is dropped when it is older than this (internal/eventq, NewCRIService: 5 min). */
const KEPT_NS = 300_000_000_000n;
/** 1.7: the channel's size; what comes when it is full is dropped (pkg/cri/server/service.go). */
const CHANNEL = 1_000;

/**
 * The events of GetContainerEvents. What comes while nobody listens waits for the first who does. From 2.0 on each
 * event goes to all listeners; in 1.7 they share one channel, and each event goes to one of them.
 */
export class Events {
  readonly #telling: Telling;
  readonly #listeners = new Set<(event: CriEvent) => void>();
  #kept: CriEvent[] = [];

  constructor(telling: Telling) {
    this.#telling = telling;
  }

  /** Gives the function that ends it. */
  listen(listener: (event: CriEvent) => void, nowNs: bigint): () => void {
    const kept = this.#kept;
    this.#kept = [];
    this.#listeners.add(listener);
    for (const each of kept) if (this.#telling === 'to-one' || nowNs - each.atNs <= KEPT_NS) listener(each);
    return () => this.#listeners.delete(listener);
  }

  tell(event: CriEvent): void {
    const [first] = this.#listeners;
    if (first === undefined) this.#keep(event);
    else if (this.#telling === 'to-one') first(event);
    else for (const listener of [...this.#listeners]) listener(event);
  }

  clear(): void {
    this.#listeners.clear();
  }

  #keep(event: CriEvent): void {
    if (this.#telling === 'to-all') {
      while (this.#kept[0] && event.atNs - this.#kept[0].atNs > KEPT_NS) this.#kept.shift();
      this.#kept.push(event);
    } else if (this.#kept.length < CHANNEL) this.#kept.push(event);
  }
}
