/**
 * The two clocks of a node and the way to wait, as a port: the embedded node has clocks that can be turned.
 * Durations and orders come from `uptimeNs`, dates for people from `wallNs`, which may be wrong and may jump.
 */
export interface Clock {
  /** The wall clock, nanoseconds since 1970. */
  wallNs(): bigint;
  /** Nanoseconds since boot by CLOCK_BOOTTIME: never stepped. */
  uptimeNs(): bigint;
  /** Resolves after `ms`, or rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Waits for `ms`, or until `signal` is aborted, which is no error. */
export async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  try {
    await clock.sleep(ms, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}
