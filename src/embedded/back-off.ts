import type { Clock } from '../model/clock.ts';

const initialMs = 10_000;
const maxMs = 300_000;

/** kubelet's restart back-off of containers (client-go flowcontrol.Backoff): 10 s, doubled up to 300 s, in memory. */
export class BackOff {
  readonly #clock: Clock;
  readonly #entries = new Map<string, { delayMs: number; updatedNs: bigint }>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The back-off, milliseconds, that a container ended at `finishedAtNs` is still in; undefined: it may start. */
  check(key: string, finishedAtNs: bigint): number | undefined {
    const nowNs = this.#clock.wallNs();
    const entry = this.#entries.get(key);
    if (entry && nowNs - finishedAtNs < BigInt(entry.delayMs) * 1_000_000n) return entry.delayMs;
    const fresh = !entry || nowNs - entry.updatedNs > BigInt(2 * maxMs) * 1_000_000n;
    const delayMs = fresh ? initialMs : Math.min(maxMs, entry.delayMs * 2);
    this.#entries.set(key, { delayMs, updatedNs: nowNs });
    return undefined;
  }
}
