import type { Clock } from '../../src/model/clock.ts';

interface Timer {
  readonly dueNs: bigint;
  readonly wake: () => void;
}

/** A clock that jumps to the next thing anybody waits for as soon as nobody has anything else to do. */
export class SimClock implements Clock {
  #uptimeNs = 5_000n * SECOND;
  #wallOffsetNs = 1_760_000_000n * SECOND;
  #timers: Timer[] = [];
  #pumping = false;

  wallNs(): bigint {
    return this.#uptimeNs + this.#wallOffsetNs;
  }

  uptimeNs(): bigint {
    return this.#uptimeNs;
  }

  stepWall(seconds: number): void {
    this.#wallOffsetNs += BigInt(seconds) * SECOND;
  }

  reboot(): void {
    this.#uptimeNs = 60n * SECOND;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const stop = () => {
        this.#timers = this.#timers.filter((each) => each !== timer);
        reject(signal?.reason);
      };
      const wake = () => {
        signal?.removeEventListener('abort', stop);
        resolve();
      };
      const timer = { dueNs: this.#uptimeNs + BigInt(Math.round(ms * 1e6)), wake };
      signal?.addEventListener('abort', stop, { once: true });
      this.#timers.push(timer);
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    setImmediate(() => {
      this.#pumping = false;
      const first = this.#timers.reduce<Timer | undefined>(
        (least, each) => (least === undefined || each.dueNs < least.dueNs ? each : least),
        undefined,
      );
      if (!first) return;
      this.#timers = this.#timers.filter((each) => each !== first);
      if (first.dueNs > this.#uptimeNs) this.#uptimeNs = first.dueNs;
      first.wake();
      this.#pump();
    });
  }
}

export const SECOND = 1_000_000_000n;
