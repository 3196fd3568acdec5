/**
 * kill -9 at every write of the journal and at every call that changes the node, while files are written and while
 * they are taken back: after the next runs everything is as it should be, and no restart was made twice.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { openIntents } from '../../src/heal/leftovers.ts';
import { limits } from '../../src/model/limits.ts';
import { type ConfigNode, configNode, dropIn, entriesOf, main, runOf, undo, undoPlan } from './config-run.ts';
import { kubeletUnit, orderFile, runtimeUnit } from './config-world.ts';
import { Life } from './mortal.ts';
import { heal } from './sim-run.ts';

const whole = () =>
  configNode((world) => {
    world.isOrderWanted = true;
  });

/** Where a process dies: in an operation of its journal's disk, or when a call has reached the node. */
type Point = { readonly disk: number; readonly afterBytes: number } | { readonly call: number };

/** Runs `work` as a process that dies at `point`; false where it ended before. */
async function dies(node: ConfigNode, point: Point, work: (node: ConfigNode) => Promise<unknown>): Promise<boolean> {
  const { world, disk, machine } = node;
  const { promise: death, resolve } = Promise.withResolvers<true>();
  const life = new Life();
  const die = () => {
    life.end();
    resolve(true);
  };
  if ('disk' in point) {
    disk.mishaps = [{ at: disk.operations.length + point.disk, kind: 'die', afterBytes: point.afterBytes }];
    disk.onDeath = die;
  } else {
    const last = world.calls.length + point.call;
    world.before = () => {
      if (world.calls.length <= last) return undefined;
      die();
      return new Promise(() => undefined);
    };
  }
  const mortal = { ...node, world: life.of(world, ['changes', 'clock']), disk: life.of(disk) };
  const died = await Promise.race([work(mortal).then(() => false), death]);
  world.before = () => undefined;
  disk.mishaps = [];
  machine.alive.clear();
  return died;
}

/** Runs until nothing is left to be done, each time when the budget of restarts is free again. */
async function untilDone(
  node: ConfigNode,
  plans: () => Promise<{ actions: readonly unknown[] }>,
  run: () => Promise<unknown>,
) {
  for (let runs = 0; runs < 5; runs += 1) {
    const open = openIntents(await entriesOf(node));
    if (open.length === 0 && (await plans()).actions.length === 0) return;
    await node.world.clock.sleep(limits.runtimeRestartEveryMs);
    await run();
  }
  assert.fail('it does not come to an end');
}

async function points(run: (node: ConfigNode) => Promise<unknown>, prepare: (node: ConfigNode) => Promise<unknown>) {
  const node = whole();
  await prepare(node);
  const [operations, calls] = [node.disk.operations.length, node.world.calls.length];
  await run(node);
  const ofDisk = node.disk.operations.slice(operations).flatMap((operation, disk): Point[] => {
    const bytes = Number(operation.split(' ')[1] ?? 0);
    return bytes === 0
      ? [{ disk, afterBytes: 0 }]
      : [0, Math.floor(bytes / 2), bytes].map((afterBytes) => ({ disk, afterBytes }));
  });
  const ofNode = node.world.calls.slice(calls).map((_, call): Point => ({ call }));
  return [...ofDisk, ...ofNode];
}

describe('killed at every point', () => {
  test('while it heals: all is written, each unit is restarted once, no draft stays', async () => {
    const all = await points(
      (node) => heal(node),
      async () => undefined,
    );
    let deaths = 0;
    for (const point of all) {
      const node = whole();
      const { world } = node;
      const where = JSON.stringify(point);
      if (await dies(node, point, heal)) deaths += 1;
      await untilDone(
        node,
        async () => world.look().plan,
        () => heal(node),
      );
      assert.equal(world.files.get(main)?.text, 'on # secret', where);
      assert.equal(world.files.get(main)?.mode, 0o600, where);
      assert.ok(world.files.has(dropIn) && world.files.has(orderFile), where);
      assert.deepEqual([world.live, world.ordered, [...world.drafts]], [true, 'writer.service', []], where);
      assert.deepEqual(world.restarts, [runtimeUnit, kubeletUnit], where);
      assert.deepEqual(world.violations, [], where);
    }
    assert.ok(deaths >= all.length - 2 && deaths > 60, `${deaths} of ${all.length}`);
  });

  test('while it takes back: the tree is byte-identical, each unit is restarted once', async () => {
    const all = await points(undo, (node) => heal(node));
    const untouched = whole().world.tree();
    let deaths = 0;
    for (const point of all) {
      const node = whole();
      const { world } = node;
      await heal(node);
      const id = await runOf(node);
      const where = JSON.stringify(point);
      world.restarts = [];
      if (await dies(node, point, (mortal) => undo(mortal, id))) deaths += 1;
      await untilDone(
        node,
        async () => (await undoPlan(node, id)).plan,
        () => undo(node, id),
      );
      assert.equal(world.tree(), untouched, where);
      assert.deepEqual([world.live, world.ordered], [false, ''], where);
      assert.deepEqual(world.restarts, [runtimeUnit, kubeletUnit], where);
      assert.deepEqual(world.violations, [], where);
    }
    assert.ok(deaths >= all.length - 2 && deaths > 40, `${deaths} of ${all.length}`);
  });

  test('in the middle of a file that is then refused: it is put back', async () => {
    const broken = () => configNode((world) => world.wanted.set(dropIn, 'on BROKEN'));
    const calls = broken();
    await heal(calls);
    for (const call of calls.world.calls.keys()) {
      const node = broken();
      const before = node.world.tree();
      await dies(node, { call }, heal);
      await node.world.clock.sleep(limits.runtimeRestartEveryMs);
      await heal(node);
      assert.equal(node.world.tree(), before, `call ${call}`);
      assert.deepEqual(node.world.restarts, [], `call ${call}`);
      assert.deepEqual(openIntents(await entriesOf(node)), [], `call ${call}`);
    }
  });
});
