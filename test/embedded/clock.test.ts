import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { realClock, SimulatedClock } from '../../src/embedded/clock.ts';
import { TimerQueue } from '../../src/embedded/timer-queue.ts';

test('who sleeps until the same moment wakes in the order of falling asleep', async () => {
  const clock = new SimulatedClock(0n);
  const woke: string[] = [];
  const sleeper = (name: string, ms: number) => clock.sleep(ms).then(() => woke.push(`${name}@${clock.uptimeNs()}`));
  const all = [sleeper('b', 20), sleeper('a', 10), sleeper('c', 20)];
  await clock.run(20);
  await Promise.all(all);
  assert.deepEqual(woke, ['a@10000000', 'b@20000000', 'c@20000000']);
});

test('time stands still while nobody drives it', async () => {
  const clock = new SimulatedClock(5n);
  let woke = false;
  const asleep = clock.sleep(1).then(() => {
    woke = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(woke, false);
  assert.equal(clock.uptimeNs(), 0n);
  await clock.run(1);
  await asleep;
  assert.equal(woke, true);
});

test('the wall can be turned back, the uptime only begins again with a boot', async () => {
  const clock = new SimulatedClock(10_000_000_000n);
  await clock.run(1_000);
  clock.step(-5_000);
  assert.equal(clock.wallNs(), 6_000_000_000n);
  assert.equal(clock.uptimeNs(), 1_000_000_000n);
  clock.reboot();
  assert.equal(clock.uptimeNs(), 0n);
  assert.equal(clock.wallNs(), 6_000_000_000n);
});

for (const [name, clock] of [
  ['simulated', new SimulatedClock(0n)],
  ['real', realClock()],
] as const) {
  test(`an aborted sleep rejects with the signal's reason (${name})`, async () => {
    const abort = new AbortController();
    const reason = new Error('called off');
    const asleep = clock.sleep(1_000_000, abort.signal);
    abort.abort(reason);
    await assert.rejects(asleep, reason);
    await assert.rejects(clock.sleep(1, abort.signal), reason);
  });
}

test('a call that waits for something outside of simulated time does not move it', async () => {
  const clock = new SimulatedClock(0n);
  await clock.drive(new Promise((resolve) => setImmediate(() => setImmediate(resolve))));
  assert.equal(clock.uptimeNs(), 0n);
});

test('the real clock turns its wall alone', () => {
  const clock = realClock();
  const before = clock.uptimeNs();
  clock.step(-7_200_000);
  const behindMs = Date.now() - Number(clock.wallNs() / 1_000_000n);
  assert.ok(Math.abs(behindMs - 7_200_000) < 5_000, `${behindMs} ms behind`);
  assert.ok(clock.uptimeNs() - before < 5_000_000_000n);
});

test('a timer queue gives its timers by time and order, without those that were cancelled', () => {
  const times = fc.array(fc.tuple(fc.nat(20), fc.boolean()), { maxLength: 60 });
  const holds = fc.property(times, (list) => {
    const queue = new TimerQueue();
    const fired: number[] = [];
    list.forEach(([atUs, cancelled], index) => {
      queue.add(atUs, () => fired.push(index)).cancelled = cancelled;
    });
    for (let timer = queue.pop(); timer; timer = queue.pop()) timer.fire();
    const wanted = list
      .map(([atUs, cancelled], index) => ({ atUs, cancelled, index }))
      .filter((each) => !each.cancelled)
      .sort((a, b) => a.atUs - b.atUs || a.index - b.index);
    assert.deepEqual(
      fired,
      wanted.map((each) => each.index),
    );
  });
  fc.assert(holds, { numRuns: 200 });
});
