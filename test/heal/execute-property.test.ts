/** Random worlds, random surprises, random failures of the disk: the laws hold in all of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { removalsPerRun } from '../../src/heal/budget.ts';
import { openIntents } from '../../src/heal/leftovers.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { limits } from '../../src/model/limits.ts';
import { heal, simNode } from './sim-run.ts';
import { criError, type SimWorld } from './sim-world.ts';

const ghosts = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 8 });

/** Something that happens at the nth call to the node. */
const event = fc.record({
  at: fc.integer({ min: 1, max: 120 }),
  what: fc.constantFrom(
    'ready',
    'vanish',
    'container',
    'date',
    'pause',
    'runtime-restart',
    'kubelet-up',
    'hang',
    'cni-fails',
    'abort',
    'clock-jump',
  ),
});

const mishap = fc.record({
  at: fc.integer({ min: 0, max: 40 }),
  kind: fc.constant('error' as const),
  code: fc.constantFrom('ENOSPC', 'EIO'),
  afterBytes: fc.integer({ min: 0, max: 300 }),
  for: fc.constantFrom(1, 2, 1_000),
});

const scenario = fc.record({
  ghosts,
  kubeletDown: fc.boolean(),
  knowsPids: fc.boolean(),
  events: fc.array(event, { maxLength: 3 }),
  mishaps: fc.array(mishap, { maxLength: 1 }),
  removeMs: fc.integer({ min: 0, max: 400 }),
});
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never;

function arrange({ ghosts: counts, kubeletDown, knowsPids, events, mishaps, removeMs }: Scenario) {
  const controller = new AbortController();
  const node = simNode((world) => {
    for (const [index, count] of counts.entries()) world.addPod(`p${index}`, count);
    world.removeMs = removeMs;
    world.knowsPids = knowsPids;
    if (kubeletDown) world.identity = { runtimePid: 10, runtimeStartedUptimeNs: 7n, kubeletRunning: false };
  });
  node.disk.mishaps = mishaps;
  const { world } = node;
  world.before = (call, id) => {
    for (const each of events) {
      if (each.at === world.calls.length) return happen(each.what, { world, call, id, controller });
    }
  };
  return { node, controller };
}

/** What changes a sandbox happens as its pod is read: a change between a read and its act nobody can see. */
function happen(
  what: string,
  { world, call, id, controller }: { world: SimWorld; call: string; id: string; controller: AbortController },
): void | Promise<void> {
  const own = call === 'read' ? world.ghosts().find((each) => each.uid === id)?.id : undefined;
  if (what === 'hang') return new Promise(() => undefined);
  if (what === 'abort') return controller.abort();
  if (what === 'clock-jump') return world.clock.stepWall(-7_200);
  if (what === 'cni-fails' && (call === 'stop' || call === 'remove')) throw criError('failed to destroy network');
  if (what === 'runtime-restart' && call === 'identity') world.identity = { ...world.identity, runtimePid: 99 };
  if (what === 'kubelet-up' && call === 'identity') world.identity = { ...world.identity, kubeletRunning: true };
  if (own === undefined) return;
  if (what === 'ready') world.change(own, { state: 'ready' });
  if (what === 'vanish') world.vanish(own);
  if (what === 'container') world.startContainer(own);
  if (what === 'date') world.change(own, { createdAtNs: 1n });
  if (what === 'pause') world.pauses.set(own, true);
}

test('never a READY one, never without a durable intent, never over the budget, always an outcome or a reason', async () => {
  let acted = 0;
  let stopped = 0;
  await fc.assert(
    fc.asyncProperty(scenario, async (of) => {
      const { node, controller } = arrange(of);
      const { world, disk } = node;
      const planned = world.plan().actions;
      const budget = removalsPerRun(of.kubeletDown ? 'boot' : 'run', world.sandboxes.length);
      const ran = await heal(node, { signal: controller.signal }).catch((error: unknown) => {
        assert.ok(isSandwardenError(error), `${error}`);
        return undefined;
      });
      assert.deepEqual(world.violations, []);
      assert.ok(world.mostInFlight <= limits.removalsInFlight);
      assert.ok(world.removed.size <= budget);
      assert.ok([...world.removed.keys()].every((id) => planned.some((each) => each.target === id)));
      assert.ok([...world.removed.values()].every((times) => times === 1));
      if (!ran) return assert.equal(world.removed.size, 0);
      const { outcome } = ran;
      assert.deepEqual(
        outcome.actions.map((each) => each.action.target),
        planned.map((each) => each.target),
      );
      const failed = outcome.actions.some((each) => each.result === 'failed');
      if (failed) assert.ok(outcome.stopped, 'a failure stops the run');
      const entries = await disk.durableEntries().catch(() => []);
      if (openIntents(entries).length > 0) assert.ok(outcome.stopped, 'an open intent only where the run stopped');
      acted += world.removed.size;
      stopped += outcome.stopped ? 1 : 0;
    }),
    { numRuns: 600 },
  );
  assert.ok(
    acted > 500 && stopped > 60,
    `${acted} removals and ${stopped} stops: the worlds are not what they should be`,
  );
});

test('a disturbed run and then an undisturbed one end where one undisturbed run ends', async () => {
  await fc.assert(
    fc.asyncProperty(scenario, async (of) => {
      const harmless = of.events.filter((each) =>
        ['hang', 'abort', 'cni-fails', 'clock-jump', 'vanish'].includes(each.what),
      );
      const { node, controller } = arrange({ ...of, kubeletDown: true, events: harmless });
      const unless = (error: unknown) => assert.ok(isSandwardenError(error), `${error}`);
      await heal(node, { signal: controller.signal }).catch(unless);
      node.world.before = () => undefined;
      node.disk.mishaps = [];
      const { outcome } = await heal(node);
      assert.equal(outcome.stopped, undefined);
      assert.deepEqual(node.world.ghosts(), []);
      assert.ok([...node.world.removed.values()].every((times) => times === 1));
      assert.deepEqual(openIntents(await node.disk.durableEntries()), []);
    }),
    { numRuns: 250 },
  );
});
