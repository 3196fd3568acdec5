// Goal: each change is told once, with who wrote and who loses by it, at the price of a few reads; slices that come and
// go are followed. Method: a tree in memory that is changed by hand, and a kernel that tells what the test says.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { SandwardenError } from '../../../src/model/errors.ts';
import { limits } from '../../../src/model/limits.ts';
import type { WatchEvent } from '../../../src/watch/controllers/watch.ts';
import { allControllers, besteffort, burstable, kubepods, ToldWatch, WatchedTree } from '../../helpers/watched-tree.ts';

const withoutCpuset = 'cpu io memory hugetlb pids';

function brief(events: readonly WatchEvent[]): string[] {
  return events.map((event) => {
    if (event.kind === 'overflow') return 'overflow';
    if (event.kind === 'slice') return `${event.path} ${event.went}`;
    const { path, controller, went, writers } = event.change;
    return `${path} ${controller} ${went} ${writers.map((each) => `${each.comm}/${each.pid}`).join('+')}`;
  });
}

describe('a write', () => {
  test('that takes a controller, and one that brings it back', () => {
    const told = new ToldWatch();
    told.tree.pod(besteffort, 'a-1');
    told.write(besteffort, withoutCpuset, 1);
    told.write(besteffort, allControllers, 376);
    assert.deepEqual(brief(told.events), [
      `${besteffort} cpuset gone systemd/1`,
      `${besteffort} cpuset back kubelet/376`,
    ]);
    const [first, second] = told.events;
    assert.ok(first?.kind === 'change' && second?.kind === 'change');
    assert.deepEqual(first.pods, ['a-1']);
    assert.deepEqual(first.change.writers, [
      { pid: 1, comm: 'systemd', unit: 'init.scope', startedUptimeNs: 10_000_000n },
    ]);
    assert.equal(second.change.writers[0]?.unit, 'kubelet.service');
  });
  test('that takes a controller away shortly after others wrote: who they were; later they do not count', () => {
    const told = new ToldWatch();
    const afters = () =>
      told.events.map((each) => (each.kind === 'change' ? (each.change.after ?? []).map(({ comm }) => comm) : []));
    told.write(kubepods, allControllers, 376);
    told.nowNs += 150_000_000n;
    told.write(besteffort, withoutCpuset, 1);
    told.write(besteffort, allControllers, 376);
    told.nowNs += BigInt(limits.watchProvokedMs + 1) * 1_000_000n;
    told.write(besteffort, withoutCpuset, 1);
    assert.deepEqual(afters(), [['kubelet'], [], []]);
    told.write(besteffort, allControllers, 376);
    told.nowNs += BigInt(limits.watchProvokedMs + 1) * 1_000_000n;
    told.events.splice(0);
    told.tree.write(besteffort, withoutCpuset);
    told.tell({ kind: 'write', path: '/', pid: 376 }, { kind: 'write', path: besteffort, pid: 1 });
    assert.deepEqual(afters(), [['kubelet']]);
  });
  test('a process that writes twice and ends has not provoked itself, and keeps its name', () => {
    for (const inOneBatch of [false, true]) {
      const told = new ToldWatch();
      told.tree.process(29372, 'bash', '/user.slice/session-1.scope');
      told.write(kubepods, allControllers, 29372);
      for (const file of ['stat', 'cgroup']) told.tree.files.delete(`/proc/29372/${file}`);
      told.nowNs += 100_000_000n;
      told.tree.write(besteffort, withoutCpuset);
      const write = { kind: 'write', path: besteffort, pid: 29372 } as const;
      told.tell(...(inOneBatch ? [write, write] : [write]));
      const [event] = told.events;
      assert.ok(event?.kind === 'change');
      assert.deepEqual([event.change.writers.map((each) => each.comm), event.change.after], [['bash'], undefined]);
      // A pid that is given again long after is another process.
      told.nowNs += BigInt(limits.watchProvokedMs + 1) * 1_000_000n;
      told.write(besteffort, allControllers, 29372);
      assert.deepEqual(brief(told.events).slice(1), [`${besteffort} cpuset back /29372`]);
    }
  });
  test('that changes nothing kubelet requires is counted and not told', () => {
    const told = new ToldWatch();
    told.write('/', allControllers, 376);
    told.write(besteffort, 'cpuset cpu memory hugetlb pids', 1);
    assert.deepEqual(told.events, []);
    const writers = told.watch.result().writers.map((each) => `${each.path} ${each.writer.comm} ${each.count}`);
    assert.deepEqual(writers, ['/ kubelet 1', `${besteffort} systemd 1`]);
  });
  test('by a process that is gone, and by one outside of this pid namespace', () => {
    const told = new ToldWatch();
    told.write(burstable, withoutCpuset, 575);
    told.write(burstable, allControllers, 0);
    assert.deepEqual(brief(told.events), [`${burstable} cpuset gone /575`, `${burstable} cpuset back /0`]);
  });
  test('by a process that has the pid of another one', () => {
    const told = new ToldWatch();
    told.tree.process(700, 'runc', '/system.slice/containerd.service');
    told.write('/', allControllers, 700);
    told.tree.process(700, 'bash', '/user.slice/session-1.scope', 900);
    told.write('/', allControllers, 700);
    const writers = told.watch.result().writers.map(({ writer, count }) => `${writer.comm} ${writer.unit} ${count}`);
    assert.deepEqual(writers, ['runc containerd.service 1', 'bash session-1.scope 1']);
  });
  test('of several in one batch: one of them', () => {
    const told = new ToldWatch();
    told.tree.write(besteffort, withoutCpuset);
    told.tell(
      { kind: 'write', path: besteffort, pid: 1 },
      { kind: 'write', path: besteffort, pid: 376 },
      { kind: 'write', path: besteffort, pid: 1 },
    );
    assert.deepEqual(brief(told.events), [`${besteffort} cpuset gone systemd/1+kubelet/376`]);
    assert.equal(told.watch.result().writers.find((each) => each.writer.pid === 1)?.count, 2);
  });
  test('on a node with 250 pods costs at most 10 reads', () => {
    const tree = new WatchedTree();
    for (let index = 0; index < 250; index++) tree.pod(besteffort, `0000-${index}`);
    const told = new ToldWatch(tree);
    tree.asked = 0;
    told.write(besteffort, withoutCpuset, 1);
    assert.ok(tree.asked <= 10, `${tree.asked} reads`);
    const [event] = told.events;
    assert.ok(event?.kind === 'change');
    assert.equal(event.pods.length, 250);
  });
  test('and without one nothing is read', () => {
    const told = new ToldWatch();
    told.tree.asked = 0;
    told.changed(kubepods, 'kubepods-pod0a1b_2c3d.slice');
    assert.equal(told.tree.asked, 0);
  });
});

describe('what is lost', () => {
  test('an overflow is told, and what differs is told by nobody', () => {
    const told = new ToldWatch();
    told.tree.write(besteffort, withoutCpuset);
    told.tell({ kind: 'overflow' });
    assert.deepEqual(brief(told.events), ['overflow', `${besteffort} cpuset gone `]);
    assert.equal(told.watch.result().overflows, 1);
  });
  test('more than is kept is told, and the result says that it is not all', () => {
    const told = new ToldWatch();
    for (let index = 0; index <= limits.watchChanges / 2; index++) {
      told.write(besteffort, withoutCpuset, 1);
      told.write(besteffort, allControllers, 376);
    }
    assert.equal(told.events.length, limits.watchChanges + 2);
    const { changes, truncated } = told.watch.result();
    assert.equal(changes?.length, limits.watchChanges);
    assert.equal(truncated, true);
  });
  test('an error of who listens ends the watch, and not the program', () => {
    const told = new ToldWatch(new WatchedTree(), {
      onEvent: () => {
        throw new Error('full');
      },
    });
    told.write(besteffort, withoutCpuset, 1);
    assert.deepEqual(
      told.errors.map((each) => each.message),
      ['full'],
    );
  });
});

describe('slices that come and go', () => {
  test('one that is made anew is armed again, and its first content is no change', () => {
    const told = new ToldWatch();
    told.tree.remove(besteffort);
    told.changed(kubepods, 'kubepods-besteffort.slice');
    told.tree.make(besteffort, '');
    told.changed(kubepods, 'kubepods-besteffort.slice');
    told.write(besteffort, allControllers, 376);
    assert.deepEqual(brief(told.events), [
      `${besteffort} removed`,
      `${besteffort} made`,
      ...['cpu', 'cpuset', 'memory', 'hugetlb', 'pids'].map((each) => `${besteffort} ${each} back kubelet/376`),
    ]);
    assert.deepEqual(told.armed.slice(-1), [besteffort]);
  });
  test('removed and made between two looks', () => {
    const told = new ToldWatch();
    told.tree.make(besteffort, allControllers);
    told.changed(kubepods, 'kubepods-besteffort.slice');
    assert.deepEqual(brief(told.events), [`${besteffort} removed`, `${besteffort} made`]);
    assert.deepEqual(told.armed.slice(-1), [besteffort]);
  });
  test('kubepods itself, with all below it', () => {
    const told = new ToldWatch(new WatchedTree(['/']));
    assert.deepEqual(told.armed, ['/']);
    for (const each of [kubepods, besteffort, burstable]) told.tree.make(each, allControllers);
    told.changed('', 'kubepods.slice');
    assert.deepEqual(new Set(told.armed), new Set(['/', kubepods, besteffort, burstable]));
    told.tree.remove(kubepods);
    told.changed('', 'kubepods.slice');
    assert.equal(told.events.filter((each) => each.kind === 'slice' && each.went === 'removed').length, 3);
    assert.deepEqual(
      told.watch.slices().map((each) => each.path),
      ['/'],
    );
  });
  test("with the cgroupfs driver's names", () => {
    const told = new ToldWatch(new WatchedTree(['/', '/kubepods', '/kubepods/besteffort', '/kubepods/burstable']));
    assert.deepEqual(told.armed, ['/', '/kubepods', '/kubepods/burstable', '/kubepods/besteffort']);
    told.tree.files.set('/sys/fs/cgroup/kubepods/besteffort/poda-1/cgroup.events', '');
    told.write('/kubepods/besteffort', withoutCpuset, 1);
    const [event] = told.events;
    assert.ok(event?.kind === 'change');
    assert.deepEqual(event.pods, ['a-1']);
  });
  test('one that vanishes while it is read', () => {
    const told = new ToldWatch();
    told.tree.remove(besteffort);
    told.tell({ kind: 'write', path: besteffort, pid: 1 });
    assert.deepEqual(brief(told.events), [`${besteffort} removed`]);
    assert.deepEqual(told.errors, []);
  });
  test('where directories cannot be watched, the next write finds it, and the watch says so', () => {
    const told = new ToldWatch(new WatchedTree(), {
      watchDirectory: () => {
        throw new SandwardenError('ERR_NOT_SUPPORTED', 'no more watches', { hint: 'Raise it.' });
      },
    });
    assert.equal(told.watch.whyLate, 'no more watches');
    told.tree.make(besteffort, allControllers);
    told.write(kubepods, allControllers, 376);
    assert.deepEqual(brief(told.events), [`${besteffort} removed`, `${besteffort} made`]);
  });
  test('what pods lack at the end', () => {
    const told = new ToldWatch();
    told.write(burstable, withoutCpuset, 1);
    assert.deepEqual(told.watch.missing(), [], 'a slice without pods lacks nothing that anybody needs');
    told.tree.pod(burstable, 'a-1');
    assert.deepEqual(told.watch.missing(), [{ path: burstable, controllers: ['cpuset'], pods: ['a-1'] }]);
  });
});

test('whatever is written, by whomever: the changes lead from the first content to the last', () => {
  const slice = fc.constantFrom('/', kubepods, besteffort, burstable);
  const content = fc.subarray(['cpuset', 'cpu', 'io', 'memory', 'hugetlb', 'pids']).map((each) => each.join(' '));
  const write = fc.record({ slice, content, pid: fc.constantFrom(0, 1, 376, 575) });
  fc.assert(
    fc.property(fc.array(fc.array(write, { minLength: 1, maxLength: 3 }), { maxLength: 12 }), (batches) => {
      const told = new ToldWatch();
      const has = new Map<string, boolean>();
      for (const batch of batches) {
        for (const each of batch) told.tree.write(each.slice, each.content);
        told.tell(...batch.map((each) => ({ kind: 'write' as const, path: each.slice, pid: each.pid })));
      }
      for (const event of told.events) {
        assert.ok(event.kind === 'change');
        const key = `${event.change.path} ${event.change.controller}`;
        const before = has.get(key) ?? true;
        assert.equal(event.change.went, before ? 'gone' : 'back', key);
        has.set(key, !before);
      }
      for (const { path, handsDown } of told.watch.slices()) {
        const now = told.tree.files.get(`/sys/fs/cgroup${path === '/' ? '' : path}/cgroup.subtree_control`) ?? '';
        for (const controller of told.watch.required) {
          assert.equal(handsDown?.includes(controller), now.trim().split(' ').includes(controller));
          assert.equal(has.get(`${path} ${controller}`) ?? true, handsDown?.includes(controller));
        }
      }
      const writes = told.watch.result().writers.reduce((sum, each) => sum + each.count, 0);
      assert.equal(writes, batches.flat().length);
    }),
    { numRuns: 150 },
  );
});
