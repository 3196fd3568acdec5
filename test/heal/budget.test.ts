/** The budgets of docs/safety.md, over journals of this boot, of others, and with clocks that jumped. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { applyBudget, removalsPerRun } from '../../src/heal/budget.ts';
import type { Entry, EntryBody, Stamp } from '../../src/heal/entries.ts';
import type { Action, ActionOutcome, Plan } from '../../src/model/plan.ts';
import { SECOND } from './sim-clock.ts';
import { killOf, removalOf, restartOf, SimWorld } from './sim-world.ts';

const MINUTE = 60n * SECOND;
const HOUR = 60n * MINUTE;
const now: Stamp = { wallNs: 1_760_000_000n * SECOND, uptimeNs: 40n * HOUR, bootId: 'this' };
const context = { now, mode: 'run', sandboxesOnNode: 1_000 } as const;

/** A journal of acts, each `ago` before now by uptime (of this boot) and wall clock unless `at` says else. */
function journal(...acts: { action: Action; result?: ActionOutcome['result']; ago?: bigint; at?: Partial<Stamp> }[]) {
  const entries: Entry[] = [];
  const add = (at: Stamp, body: EntryBody) => entries.push({ v: 1, seq: entries.length + 1, runId: 'r', at, ...body });
  for (const { action, result, ago = MINUTE, at } of acts) {
    const stamp = { wallNs: now.wallNs - ago, uptimeNs: now.uptimeNs - ago, bootId: 'this', ...at };
    add(stamp, { kind: 'intent', action, read: '' });
    if (result) add(stamp, { kind: 'outcome', of: entries.length, result, why: '', tookMs: 1, found: false });
  }
  return entries;
}

const planOf = (...actions: Action[]): Plan => ({ actions, refusals: [], pods: ['default/a'] });
const world = new SimWorld();
const removal = removalOf(world.sandbox('a', 0, 'notready', 0n));
const restart = restartOf('containerd.service');

describe('removals in one run', () => {
  test('the less of 200 and half the node at run time, the more of them at boot', () => {
    const cases = [
      ['run', 0, 0],
      ['run', 1, 1],
      ['run', 79, 40],
      ['run', 400, 200],
      ['run', 10_000, 200],
      ['boot', 10, 200],
      ['boot', 400, 200],
      ['boot', 401, 201],
      ['boot', 10_000, 5_000],
    ] as const;
    for (const [mode, sandboxes, most] of cases)
      assert.equal(removalsPerRun(mode, sandboxes), most, `${mode} ${sandboxes}`);
  });

  test('what is over is refused with the numbers', () => {
    const actions = Array.from({ length: 90 }, (_, index) => removalOf(world.sandbox(`p${index}`, 0, 'notready', 0n)));
    const plan = { actions, refusals: [], pods: actions.map((each) => each.object.slice(0, -2)) };
    const within = applyBudget(plan, [], { ...context, sandboxesOnNode: 80 });
    assert.equal(within.actions.length, 40);
    assert.equal(within.pods.length, 40);
    assert.equal(
      within.refusals[0]?.reason,
      "40 of 90 now: one run removes at most 40 sandboxes (the less of 200 and half of the node's 80); run `sandwarden heal` again when these pods are up",
    );
    assert.equal(within.refusals.length, 50);
  });

  test("a pod's removals are all done or none, and a pod that is too big alone is begun", () => {
    const [a, b] = ['a', 'b'].map((name) => [0, 1, 2].map((n) => removalOf(world.sandbox(name, n, 'notready', 0n))));
    const plan = planOf(...(a ?? []), ...(b ?? []));
    const targets = (sandboxesOnNode: number) =>
      applyBudget(plan, [], { ...context, sandboxesOnNode }).actions.map((each) => each.target);
    assert.deepEqual(targets(12), ['a-0', 'a-1', 'a-2', 'b-0', 'b-1', 'b-2']);
    assert.deepEqual(targets(10), ['a-0', 'a-1', 'a-2']);
    assert.deepEqual(targets(4), ['a-0', 'a-1']);
  });

  test('never more than the budget, and nothing is lost between actions and refusals', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 5 })), fc.nat(100), fc.boolean(), (pods, sandboxes, boot) => {
        const actions = pods.flatMap((count, index) =>
          Array.from({ length: count }, (_, attempt) => removalOf(world.sandbox(`p${index}`, attempt, 'notready', 0n))),
        );
        const mode = boot ? 'boot' : 'run';
        const within = applyBudget(planOf(...actions), [], { now, mode, sandboxesOnNode: sandboxes });
        assert.ok(within.actions.length <= removalsPerRun(mode, sandboxes));
        assert.equal(within.actions.length + within.refusals.length, actions.length);
      }),
      { numRuns: 500 },
    );
  });
});

describe('the same action on the same object', () => {
  const refused = (...acts: Parameters<typeof journal>) =>
    applyBudget(planOf(removal), journal(...acts), context).refusals;

  test('three attempts that failed or were cut off, also of other boots and of long ago, then a person', () => {
    const failed = { action: removal, result: 'failed', ago: 9_000n * HOUR } as const;
    const cutOff = { action: removal, at: { bootId: 'other' } };
    assert.deepEqual(refused(failed, cutOff), []);
    const [refusal] = refused(failed, cutOff, failed);
    assert.match(refusal?.reason ?? '', /^tried 3 times and failed, and 3 attempts are allowed.*crictl rmp a-0/);
  });

  test('what was done, found gone, or not begun is no attempt; other objects do not count', () => {
    const other = removalOf(world.sandbox('b', 0, 'notready', 0n));
    const results = (['done', 'already', 'skipped'] as const).map((result) => ({ action: removal, result }));
    assert.deepEqual(refused(...results, ...results, { action: other }, { action: other }, { action: other }), []);
  });

  test('a pid is the same process only within its boot', () => {
    const kill = killOf(412, 8812n);
    const thrice = (bootId: string) => journal(...[1, 2, 3].map(() => ({ action: kill, at: { bootId } })));
    assert.equal(applyBudget(planOf(kill), thrice('other'), context).refusals.length, 0);
    assert.equal(applyBudget(planOf(kill), thrice('this'), context).refusals.length, 1);
  });

  test('where one removal of a pod is for a person, the others would be of no use', () => {
    const second = removalOf(world.sandbox('a', 1, 'notready', 0n));
    const entries = journal(...[1, 2, 3].map(() => ({ action: removal, result: 'failed' as const })));
    const within = applyBudget(planOf(removal, second), entries, context);
    assert.deepEqual(within.actions, []);
    assert.match(within.refusals[1]?.reason ?? '', /of no use alone: default\/a\/0 would still block the pod/);
    assert.deepEqual(within.pods, []);
  });
});

describe('restarts of the runtime', () => {
  const allowed = (stamp: Stamp, ...acts: Parameters<typeof journal>) =>
    applyBudget(planOf(restart), journal(...acts), { ...context, now: stamp }).refusals.length === 0;
  const done = { action: restart, result: 'done' } as const;

  test('one in 30 minutes, three in a day', () => {
    assert.equal(allowed(now, { ...done, ago: 29n * MINUTE }), false);
    assert.equal(allowed(now, { ...done, ago: 31n * MINUTE }), true);
    assert.equal(allowed(now, ...[2n, 4n, 23n].map((hours) => ({ ...done, ago: hours * HOUR }))), false);
    assert.equal(allowed(now, ...[2n, 4n, 25n].map((hours) => ({ ...done, ago: hours * HOUR }))), true);
  });

  test('one that failed or was cut off counts, one that was not begun does not', () => {
    assert.equal(allowed(now, { action: restart, result: 'failed' }), false);
    assert.equal(allowed(now, { action: restart }), false);
    assert.equal(allowed(now, { action: restart, result: 'skipped' }), true);
  });

  test('within a boot a clock that jumps changes nothing', () => {
    for (const jump of [-10n * HOUR, 10_000n * HOUR]) {
      const jumped = { ...now, wallNs: now.wallNs + jump };
      assert.equal(allowed(jumped, { ...done, ago: 29n * MINUTE }), false);
      assert.equal(allowed(jumped, { ...done, ago: 31n * MINUTE }), true);
    }
  });

  test('of another boot: by date, and a date in the future counts as just before this boot', () => {
    const young = { ...now, uptimeNs: 5n * MINUTE };
    const other = (ago: bigint) => ({ ...done, at: { bootId: 'other', uptimeNs: 0n, wallNs: now.wallNs - ago } });
    assert.equal(allowed(young, other(10n * MINUTE)), false);
    assert.equal(allowed(young, other(40n * MINUTE)), true);
    assert.equal(allowed(young, other(-9_000n * HOUR)), false);
    // This boot is older than the window, so whatever the date says, it was before.
    assert.equal(allowed({ ...now, uptimeNs: 31n * MINUTE }, other(-9_000n * HOUR)), true);
    assert.equal(allowed({ ...now, uptimeNs: 31n * MINUTE }, ...[1, 2, 3].map(() => other(-9_000n * HOUR))), false);
    assert.equal(allowed({ ...now, uptimeNs: 25n * HOUR }, ...[1, 2, 3].map(() => other(-9_000n * HOUR))), true);
  });

  test('kubelet has a budget of its own, and taking back waits for neither', () => {
    const guard = { kind: 'restart-kubelet', unit: 'kubelet.service' } as const;
    const kubelet: Action = { ...restart, kind: 'restart-kubelet', target: guard.unit, object: guard.unit, guard };
    const plan = planOf(restart, kubelet);
    const left = (acts: Parameters<typeof journal>, isUndo = false) =>
      applyBudget(plan, journal(...acts), { ...context, isUndo }).actions.map((each) => each.kind);
    assert.deepEqual(left([]), ['restart-runtime', 'restart-kubelet']);
    assert.deepEqual(left([done]), ['restart-kubelet']);
    assert.deepEqual(left([{ action: kubelet, result: 'done' }]), ['restart-runtime']);
    const both = [done, { action: kubelet, result: 'done' }] as const;
    assert.deepEqual(left([...both]), []);
    assert.deepEqual(left([...both], true), ['restart-runtime', 'restart-kubelet']);
  });

  test('a plan with two: the second is refused', () => {
    const within = applyBudget(planOf(restart, restartOf('k3s.service')), [], context);
    assert.equal(within.actions.length, 1);
    assert.match(
      within.refusals[0]?.reason ?? '',
      /restarted 0 min ago, and at most once in 30 min is allowed; again in 30 min/,
    );
  });
});
