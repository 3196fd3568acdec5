import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SandwardenError } from '../../../src/model/errors.ts';
import type { NodeFacts } from '../../../src/model/node.ts';
import { valueOr } from '../../../src/model/observed.ts';
import type { Run } from '../../../src/observe/child.ts';
import { KernelLogReader } from '../../../src/observe/kernel/kernel-log.ts';
import { openKmsg, parseKmsg } from '../../../src/observe/kernel/kmsg.ts';
import { observeKernel } from '../../../src/observe/kernel/look.ts';
import { KmsgRing } from '../../helpers/kmsg-ring.ts';

const node: NodeFacts = {
  hostname: 'pi',
  kernel: '6.6.51',
  arch: 'arm64',
  bootId: 'b'.repeat(32),
  wallNs: 1_795_284_081n * 1_000_000_000n,
  uptimeNs: 7_200n * 1_000_000_000n,
};
const stall = 'rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D } 21 jiffies s: 5 root: 0x2/.';

function forbidden(): never {
  throw new SandwardenError('ERR_FORBIDDEN', 'no permission to read /dev/kmsg', { hint: 'Run it as root.' });
}

describe('parseKmsg', () => {
  test('a record with a dictionary, escapes, and who wrote it', () => {
    const record = '3,339,5140900,-;task:runc:\\x5b2:INIT] \\x1b\\x0a\n SUBSYSTEM=pci\n DEVICE=+pci:0\n';
    assert.deepEqual(parseKmsg(record), {
      sequence: 339,
      monotonicUs: 5_140_900,
      text: 'task:runc:[2:INIT] \\x1b\\x0a',
      byKernel: true,
    });
    assert.equal(parseKmsg('12,340,5140901,-,caller=T298;hello\n')?.byKernel, false);
    assert.equal(parseKmsg('30,341,5140902,-;systemd[1]: Started.\n')?.text, '');
    assert.equal(parseKmsg('no record'), undefined);
  });

  test('any bytes: a record or none', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.nat(255), (tail, level) => {
        parseKmsg(tail);
        assert.equal(parseKmsg(`${level},7,8,-;${tail}`)?.sequence, 7);
      }),
      { numRuns: 300 },
    );
  });
});

describe('observeKernel', () => {
  test('the ring: counts by kind and hour, the tasks of the dumps, what was overwritten', async () => {
    const ring = new KmsgRing(50);
    for (let n = 0; n < 5; n++) {
      const us = 3_600_000_000 + n * 60_000_000;
      ring.write(stall, us);
      ring.write('task:runc:[2:INIT]   state:R  running task     stack:0     pid:205   ppid:1', us + 100);
      ring.write('CPU: 1 PID: 205 Comm: containerd-shim Not tainted 6.6.51 #1', us + 20_000_000);
    }
    ring.write('INFO: task runc:[2:INIT]:4711 blocked for more than 122 seconds.', 7_199_000_000);
    const log = valueOr(await observeKernel({ node, open: () => ring.device() }), undefined);
    assert.ok(log);
    assert.deepEqual([log.from, log.lines, log.lost], ['kmsg', 16, 0]);
    assert.deepEqual(
      log.troubles.map(({ kind, count }) => [kind, count]),
      [
        ['rcu-expedited', 5],
        ['hung-task', 1],
      ],
    );
    assert.deepEqual(log.hours, [{ hour: 1, counts: { 'rcu-expedited': 5, 'hung-task': 1 } }]);
    // The shim's line comes twenty seconds after the stall: it is no part of its dump.
    assert.deepEqual(log.tasks, [{ task: 'runc:[2:INIT]', count: 6 }]);
    assert.equal(log.troubles[0]?.first.wallNs, node.wallNs - 3_600_000_000_000n);
    assert.ok(ring.closed);
  });

  test('no permission for the ring: the journal is asked; nor for that: the ring’s own reason', async () => {
    const record = { MESSAGE: stall, __REALTIME_TIMESTAMP: '1795284000000000', __MONOTONIC_TIMESTAMP: '99000000' };
    const run: Run = async (argv, options) => {
      assert.ok(argv.includes('-k') && argv.includes('-b'));
      options?.onLine?.(JSON.stringify(record));
      options?.onLine?.('half a li');
      return { stdout: '', stderr: '' };
    };
    const log = valueOr(await observeKernel({ node, open: forbidden, run }), undefined);
    assert.deepEqual([log?.from, log?.lines, log?.troubles[0]?.count], ['journal', 1, 1]);
    const none = await observeKernel({ node, open: forbidden, run: async () => forbidden() });
    assert.equal(none.known ? '' : none.code, 'ERR_FORBIDDEN');
  });

  test('the ring of this machine can be read to its end, or says why not', () => {
    try {
      const device = openKmsg();
      let read = device.read();
      for (let n = 0; n < 300_000 && read !== 'empty'; n++) read = device.read();
      assert.equal(read, 'empty');
      device.close();
    } catch (error) {
      assert.ok(error instanceof SandwardenError && error.hint !== '');
    }
    assert.throws(() => openKmsg('/nonexistent'), { code: 'ERR_NOT_SUPPORTED' });
  });
});

describe('KernelLogReader', () => {
  test('ever new names and hours stay bounded', () => {
    const reader = new KernelLogReader();
    for (let n = 0; n < 20_000; n++) {
      const text = `INFO: task evil${n}:${n} blocked for more than 122 seconds.`;
      reader.add({ text, wallNs: 0n, monotonicUs: n * 3.6e9, bootId: 'b' });
    }
    const log = reader.result('journal', 0);
    assert.equal(log.troubles[0]?.count, 20_000);
    assert.ok(log.hours.length <= 336 && log.tasks.length <= 8);
    assert.equal(log.hours.at(-1)?.hour, 19_999);
  });
});
