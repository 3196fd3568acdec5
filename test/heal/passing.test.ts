import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { onceSettled } from '../../src/heal/passing.ts';
import { limits } from '../../src/model/limits.ts';
import { SimWorld } from './sim-world.ts';

/** A world in which the first ghost is left out of the first `passing` looks. */
function worldWith(passing: number, passes?: true): { world: SimWorld; looks: () => number } {
  const world = new SimWorld();
  world.addPod('a');
  let looks = 0;
  world.before = (call) => {
    if (call !== 'look') return;
    looks += 1;
    if (looks > passing) world.refused.clear();
    else world.refused.set('a-0', { reason: 'asked for just now', ...(passes ? { passes } : {}) });
  };
  return { world, looks: () => looks };
}

describe('a look before a plan is shown', () => {
  const cases: [name: string, passing: number, passes: true | undefined, looks: number, actions: number][] = [
    ['one look where nothing passes', 0, undefined, 1, 1],
    ['looks again while something passes', 2, true, 3, 1],
    ['does not look again for what stays', 9, undefined, 1, 0],
    ['gives up on what goes on passing', 9, true, 1 + limits.passingLooks, 0],
  ];
  for (const [name, passing, passes, count, actions] of cases) {
    test(name, async () => {
      const { world, looks } = worldWith(passing, passes);
      const started = world.clock.uptimeNs();
      const { plan } = await onceSettled(() => world.lookAgain(), world.clock);
      assert.equal(looks(), count);
      assert.equal(plan.actions.length, actions);
      assert.equal(world.clock.uptimeNs() - started, BigInt((count - 1) * limits.passingGapMs) * 1_000_000n);
    });
  }
});
