/** Only one holds the lock, however many try, and a dead one's is taken over. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type LockStore, type Processes, takeLock } from '../../src/heal/lock.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { SimClock } from './sim-clock.ts';
import { SimDisk, SimMachine } from './sim-state.ts';

const clock = new SimClock();
const machineWith = () => {
  const machine = new SimMachine();
  return { machine, start: () => machine.start(new SimDisk(clock)) };
};

describe('the lock', () => {
  test('of a living process is kept, and is free when it is released', async () => {
    const { start } = machineWith();
    const held = await start().state.lock(0n);
    await assert.rejects(start().state.lock(0n), /process 100, since 1970-01-01T00:00:00.000Z/);
    await held.release();
    await (await start().state.lock(0n)).release();
  });

  test('of a dead process is taken over; of one with the same pid and another start too', async () => {
    const { machine, start } = machineWith();
    const first = start();
    await first.state.lock(0n);
    first.kill();
    await start().state.lock(0n);
    machine.alive.set(101, 5);
    await start().state.lock(0n);
    assert.equal([...machine.files.keys()].length, 1);
  });

  test('of an earlier boot is taken over, though the pid lives', async () => {
    const { machine, start } = machineWith();
    await start().state.lock(0n);
    machine.bootId = 'boot-2';
    await start().state.lock(0n);
  });

  test('of another container counts as held, for its pid means nothing here', async () => {
    const { machine, start } = machineWith();
    const holder = { pid: 5, startTicks: 1, bootId: 'boot-1', pidNamespace: 'pid:[2]', sinceWallNs: '0' };
    machine.files.set('lock.3', `${JSON.stringify(holder)}\n`);
    await assert.rejects(start().state.lock(0n), (error) => {
      assert.ok(isSandwardenError(error, 'ERR_LOCKED'));
      assert.match(error.message, /process 5 of another container/);
      assert.match(error.hint, /rm \/sim\/lock\.3/);
      return true;
    });
  });

  test('that says nothing sensible is not taken over, and the hint says how to', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string(), async (text) => {
        const { machine, start } = machineWith();
        machine.files.set('lock.3', text);
        if (text === 'free\n') return;
        await assert.rejects(start().state.lock(0n), (error) => isSandwardenError(error, 'ERR_LOCKED'));
      }),
      { numRuns: 200 },
    );
  });

  test('is held by one at most, in every order of the steps of many, dead and alive', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(fc.boolean(), { minLength: 2, maxLength: 5 }),
        async (scheduler, dies) => {
          const machine = new SimMachine();
          const store = scheduled(machine.locks, scheduler);
          let holders = 0;
          const contend = async (pid: number, crashes: boolean) => {
            machine.alive.set(pid, pid);
            const processes: Processes = {
              self: () => Promise.resolve({ pid, startTicks: pid, bootId: 'b', pidNamespace: 'n' }),
              startTicks: (of) => scheduler.schedule(Promise.resolve(machine.alive.get(of))),
            };
            try {
              const held = await takeLock(store, processes, 0n);
              holders += 1;
              assert.equal(holders, 1, 'two hold the lock');
              await scheduler.schedule(Promise.resolve());
              holders -= 1;
              if (crashes) machine.alive.delete(pid);
              else await held.release();
            } catch (error) {
              if (!isSandwardenError(error, 'ERR_LOCKED')) throw error;
            }
          };
          const all = Promise.all(
            dies.flatMap((crashes, index) => [contend(index + 1, crashes), contend(index + 50, false)]),
          );
          await scheduler.waitFor(all);
          machine.alive.clear();
          await contendAlone(machine);
        },
      ),
      { numRuns: 300 },
    );
  });
});

async function contendAlone(machine: SimMachine): Promise<void> {
  await machine.start(new SimDisk(clock)).state.lock(0n);
}

function scheduled(store: LockStore, scheduler: fc.Scheduler): LockStore {
  const late = <T>(work: () => Promise<T>) => scheduler.schedule(Promise.resolve()).then(work);
  return {
    pathOf: store.pathOf,
    list: () => late(store.list),
    read: (name) => late(() => store.read(name)),
    create: (name, text) => late(() => store.create(name, text)),
    remove: (name) => late(() => store.remove(name)),
  };
}
