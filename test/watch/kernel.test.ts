import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Clock } from '../../src/model/clock.ts';
import { limits } from '../../src/model/limits.ts';
import { followKernel, type KernelEvent } from '../../src/watch/kernel.ts';
import { KmsgRing } from '../helpers/kmsg-ring.ts';

const stall = (n: number) =>
  `rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { ${n % 4}-...D } 21 jiffies s: ${n} root: 0x2/.`;

/** A clock that stands still but for sleeping, and lets others act at each sleep. */
function clockOf(atSleep: (sleeps: number) => void): Clock {
  let [uptimeNs, sleeps] = [60_000_000_000n, 0];
  return {
    wallNs: () => 1_795_284_081n * 1_000_000_000n + uptimeNs,
    uptimeNs: () => uptimeNs,
    sleep: async (ms) => {
      uptimeNs += BigInt(ms) * 1_000_000n;
      atSleep(++sleeps);
    },
  };
}

describe('followKernel', () => {
  test('1,000 lines a second for five minutes: every stall is told, nothing is kept of the rest', async () => {
    const ring = new KmsgRing(4_000);
    const end = new AbortController();
    const perSleep = 1_000 * (limits.kmsgPollMs / 1_000);
    const sleepsWanted = (300_000 / limits.kmsgPollMs) | 0;
    let [written, stalls, told, lost] = [0, 0, 0, 0];
    const clock = clockOf((sleeps) => {
      if (sleeps > sleepsWanted) return end.abort();
      for (let n = 0; n < perSleep; n++) {
        written++;
        const us = 60_000_000 + written * 1_000;
        if (written % 251 === 0) ring.write(stall(++stalls), us);
        else ring.write(`cni0: port ${written}(veth${written}) entered blocking state`, us);
      }
    });
    const log = await followKernel({
      clock,
      bootId: 'b'.repeat(32),
      signal: end.signal,
      open: () => ring.device(),
      onSign: () => told++,
      onLost: (records) => {
        lost += records;
      },
    });
    assert.equal(written, 300_000);
    assert.deepEqual([told, lost, log.lost], [stalls, 0, 0]);
    assert.equal(stalls, 1_195);
    assert.deepEqual(
      log.troubles.map(({ kind, count }) => [kind, count]),
      [['rcu-expedited', stalls]],
    );
    // What is kept: one record a kind and an hour, whatever came.
    assert.ok(JSON.stringify(log, (_, each) => (typeof each === 'bigint' ? String(each) : each)).length < 2_000);
    assert.ok(ring.closed);
  });

  test('what was in the ring before is not told, what a process writes is, and says so', async () => {
    const ring = new KmsgRing(100);
    ring.write(stall(1), 1_000_000);
    const end = new AbortController();
    const events: KernelEvent[] = [];
    const clock = clockOf((sleeps) => {
      if (sleeps === 1) {
        ring.write(stall(2), 61_000_000, 1);
        ring.write('systemd[1]: rcu: INFO: rcu_sched self-detected stall on CPU', 61_000_001, 3);
      } else end.abort();
    });
    await followKernel({
      clock,
      bootId: 'b',
      signal: end.signal,
      open: () => ring.device(),
      onSign: (e) => events.push(e),
    });
    assert.deepEqual(
      events.map(({ sign, byKernel }) => [sign.kind, sign.cpu, byKernel]),
      [['rcu-expedited', 2, false]],
    );
  });

  test('a ring that goes round is said with its number', async () => {
    const ring = new KmsgRing(10);
    const end = new AbortController();
    let lost = 0;
    const clock = clockOf((sleeps) => {
      if (sleeps > 2) return end.abort();
      for (let n = 0; n < 25; n++) ring.write(stall(n), 61_000_000 + n);
    });
    const log = await followKernel({
      ...{ clock, bootId: 'b', signal: end.signal, open: () => ring.device(), fromStart: true },
      onSign: () => {},
      onLost: (records) => {
        lost += records;
      },
    });
    // The first 15 of the first burst were gone before anything had been read: nobody can count those.
    assert.deepEqual([lost, log.lines], [15, 20]);
  });
});
