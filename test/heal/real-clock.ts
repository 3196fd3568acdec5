import { setTimeout } from 'node:timers/promises';
import type { Clock } from '../../src/model/clock.ts';

/** The clocks of this machine, for tests of real files and real processes. */
export const realClock: Clock = {
  wallNs: () => BigInt(Date.now()) * 1_000_000n,
  uptimeNs: () => process.hrtime.bigint(),
  sleep: async (ms, signal) => {
    await setTimeout(ms, undefined, signal ? { signal } : {});
  },
};
