import type { Clock } from '../model/clock.ts';
import { limits } from '../model/limits.ts';
import type { Look } from './ports.ts';

/**
 * A look whose plan is left short by nothing that passes by itself within seconds: kubelet asks for a blocked pod again
 * and again, and each request that is open at the very moment of a look stands against a removal (safety.md, 6).
 * Looks again up to `limits.passingLooks` times, `limits.passingGapMs` apart; gives the last look and throws what it
 * throws.
 */
export async function onceSettled(look: () => Promise<Look>, clock: Clock): Promise<Look> {
  let seen = await look();
  for (let again = 0; again < limits.passingLooks && seen.plan.refusals.some((each) => each.passes); again += 1) {
    await clock.sleep(limits.passingGapMs);
    seen = await look();
  }
  return seen;
}
