import { setTimeout as sleepReally } from 'node:timers/promises';
import type { Clock } from '../model/clock.ts';
import { TimerQueue } from './timer-queue.ts';

/** A clock whose wall can be turned, whose uptime cannot, and which a reboot sets to zero. */
export interface TurnableClock extends Clock {
  /** The clock for whoever watches the node from outside: in simulated time its `sleep` lets time pass. */
  readonly foreground: Clock;
  /** Turns the wall clock by `ms`, backwards if negative. */
  step(ms: number): void;
  /** The count since boot begins again. */
  reboot(): void;
  /** Waits for `work`; simulated time passes until it is done. */
  drive<T>(work: Promise<T>): Promise<T>;
  /** Lets `ms` pass. */
  run(ms: number): Promise<void>;
}

/** A clock tied to real time, which starts `offsetMs` away from this machine's. */
export function realClock(offsetMs = 0): TurnableClock {
  const epochNs = BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1_000n;
  let wallNs = epochNs - process.hrtime.bigint() + BigInt(offsetMs) * 1_000_000n;
  let bootNs = process.hrtime.bigint();
  const clock: Clock = {
    wallNs: () => process.hrtime.bigint() + wallNs,
    uptimeNs: () => process.hrtime.bigint() - bootNs,
    sleep: async (ms, signal) => {
      signal?.throwIfAborted();
      try {
        await sleepReally(ms, undefined, signal ? { signal } : {});
      } catch (error) {
        // Node wraps the reason in an AbortError; the port promises the reason itself.
        if (signal?.aborted) throw signal.reason;
        throw error;
      }
    },
  };
  return {
    ...clock,
    foreground: clock,
    step: (ms) => {
      wallNs += BigInt(ms) * 1_000_000n;
    },
    reboot: () => {
      bootNs = process.hrtime.bigint();
    },
    drive: (work) => work,
    run: (ms) => clock.sleep(ms),
  };
}

/**
 * Simulated time: it stands still until somebody drives it, then jumps from sleeper to sleeper, as fast as the machine
 * can. Who sleeps until the same moment wakes in the order of falling asleep, so that a run depends on nothing else.
 */
export class SimulatedClock implements TurnableClock {
  readonly foreground: Clock;
  readonly #timers = new TimerQueue();
  readonly #onPause: () => void;
  #nowUs = 0;
  #bootUs = 0;
  #wallUs: number;
  #drivers = 0;
  #pumping = false;
  #somethingToDo: (() => void) | undefined;

  /** `startNs` is the wall clock at the beginning; `onPause` is called whenever time stops to pass. */
  constructor(startNs: bigint, onPause: () => void = () => {}) {
    this.#wallUs = Number(startNs / 1_000n);
    this.#onPause = onPause;
    this.foreground = {
      wallNs: () => this.wallNs(),
      uptimeNs: () => this.uptimeNs(),
      sleep: (ms, signal) => this.drive(this.sleep(ms, signal)),
    };
  }

  wallNs(): bigint {
    return BigInt(this.#wallUs + this.#nowUs) * 1_000n;
  }

  uptimeNs(): bigint {
    return BigInt(this.#nowUs - this.#bootUs) * 1_000n;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      const abort = () => {
        timer.cancelled = true;
        reject(signal?.reason);
        this.#somethingToDo?.();
      };
      const fire = () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      };
      const timer = this.#timers.add(this.#nowUs + Math.max(0, Math.round(ms * 1_000)), fire);
      signal?.addEventListener('abort', abort, { once: true });
      this.#somethingToDo?.();
    });
  }

  step(ms: number): void {
    this.#wallUs += Math.round(ms * 1_000);
  }

  reboot(): void {
    this.#bootUs = this.#nowUs;
  }

  run(ms: number): Promise<void> {
    return this.drive(this.sleep(ms));
  }

  async drive<T>(work: Promise<T>): Promise<T> {
    this.#drivers++;
    const pump = this.#pumping ? undefined : this.#pump();
    try {
      return await work;
    } finally {
      this.#drivers--;
      this.#somethingToDo?.();
      // Whoever started the pump waits for it, so that time stands still when the last driver is done.
      if (this.#drivers === 0) await pump;
    }
  }

  async #pump(): Promise<void> {
    this.#pumping = true;
    while (this.#drivers > 0) {
      await everybodyWaits();
      if (this.#drivers === 0) break;
      const next = this.#timers.pop();
      if (!next) {
        // Nobody sleeps: what is awaited hangs on something outside of simulated time.
        await new Promise<void>((resolve) => {
          this.#somethingToDo = resolve;
        });
        this.#somethingToDo = undefined;
        continue;
      }
      this.#nowUs = Math.max(this.#nowUs, next.atUs);
      next.fire();
    }
    this.#pumping = false;
    this.#onPause();
  }
}

/** Resolves when every promise that could go on has: a turn of the event loop drains the microtasks. */
function everybodyWaits(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
