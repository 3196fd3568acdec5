/**
 * kill -9 at every byte of every write of the journal, in a simulation, then a second run: nothing is done twice,
 * nothing is lost. execute-killed-process.test.ts does the same with real processes at every write.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { history } from '../../src/heal/history.ts';
import { readJournal } from '../../src/heal/journal.ts';
import { openIntents } from '../../src/heal/leftovers.ts';
import { heal, simNode } from './sim-run.ts';
import { killOf, restartOf } from './sim-world.ts';

type Node = ReturnType<typeof simNode>;

const twoGhosts = () =>
  simNode((world) => {
    world.addPod('a');
    world.addPod('b');
    world.identity = { runtimePid: 10, runtimeStartedUptimeNs: 7n, kubeletRunning: false };
  });

/** A first run that dies after `afterBytes` of operation `at`; false where it ended before. */
async function dies(node: Node, at: number, afterBytes: number): Promise<boolean> {
  const { promise: death, resolve } = Promise.withResolvers<true>();
  node.disk.mishaps = [{ at, kind: 'die', afterBytes }];
  node.disk.onDeath = () => {
    // Nothing of the process goes on; what the runtime has begun, it ends.
    node.world.before = () => new Promise(() => undefined);
    resolve(true);
  };
  const died = await Promise.race([heal(node).then(() => false), death]);
  await node.world.clock.sleep(1_000);
  node.world.before = () => undefined;
  node.disk.mishaps = [];
  for (const pid of [...node.machine.alive.keys()]) node.machine.alive.delete(pid);
  return died;
}

async function checkSecondRun(node: Node, powerCut: boolean, where: string): Promise<void> {
  if (powerCut) {
    // What was not synced is gone or half there.
    const half = Math.floor((node.disk.current.length + node.disk.durable) / 2);
    node.disk.current = node.disk.current.subarray(0, half);
    node.machine.bootId = 'boot-2';
    node.world.clock.reboot();
  }
  const open = openIntents((await readJournal(node.disk)).entries);
  const { outcome, events } = await heal(node);
  assert.equal(outcome.stopped, undefined, where);
  assert.deepEqual(node.world.ghosts(), [], where);
  assert.deepEqual([...node.world.removed.values()], [1, 1], `${where}: once each`);
  assert.deepEqual(node.world.violations, [], where);
  const entries = await node.disk.durableEntries();
  assert.deepEqual(openIntents(entries), [], where);
  const done = entries.flatMap((each) => (each.kind === 'outcome' && each.result === 'done' ? [each.of] : []));
  assert.equal(new Set(done).size, 2, `${where}: both in the journal as done`);
  const resumed = events.find((each) => each.kind === 'resumed');
  assert.equal(resumed?.left.length ?? 0, open.length, `${where}: what was left is told`);
  assert.equal(history(entries).at(-1)?.end?.failed, 0);
}

describe('killed at every byte of every write, then run again', () => {
  for (const powerCut of [false, true]) {
    test(powerCut ? 'with a power cut that takes what was not synced' : 'the process alone', async () => {
      const undisturbed = twoGhosts();
      await heal(undisturbed);
      const operations = undisturbed.disk.operations;
      let deaths = 0;
      for (const [at, operation] of operations.entries()) {
        const bytes = Number(operation.split(' ')[1] ?? 0);
        // A power cut is about what is durable, which no byte in the middle changes.
        const step = powerCut ? Math.max(1, Math.floor(bytes / 4)) : 1;
        for (let after = 0; after <= bytes; after += step) {
          const node = twoGhosts();
          if (await dies(node, at, after)) deaths += 1;
          await checkSecondRun(node, powerCut, `${operation} (${at}) after ${after} bytes`);
        }
      }
      assert.ok(deaths >= operations.length, `${deaths}`);
    });
  }
});

describe('what an earlier run left open', () => {
  test('a killed restart is found done by the process that serves now, and not repeated', async () => {
    const node = simNode((world) => {
      world.extra = [restartOf('containerd.service')];
    });
    // Operations: run-start (0, 1), intent (2, 3), outcome (4).
    assert.equal(await dies(node, 4, 0), true);
    node.world.extra = [];
    const { events } = await heal(node);
    const resumed = events.find((each) => each.kind === 'resumed');
    assert.deepEqual(
      resumed?.left.map((each) => `${each.object} ${each.found}`),
      ['containerd.service done'],
    );
    assert.equal(node.world.calls.filter((each) => each.startsWith('restart ')).length, 1);
  });

  test('a kill that never came to be is an attempt, and done again where the plan asks for it', async () => {
    const node = simNode((world) => {
      world.processes.set('412@8812', 1);
      world.extra = [killOf(412, 8812n)];
    });
    assert.equal(await dies(node, 3, 0), true);
    const { events, results } = await heal(node);
    const resumed = events.find((each) => each.kind === 'resumed');
    assert.deepEqual(
      resumed?.left.map((each) => each.found),
      ['undone'],
    );
    assert.deepEqual(results, ['bridge (412) done']);
  });
});
