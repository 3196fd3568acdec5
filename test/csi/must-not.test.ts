import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { EmbeddedNode } from '../../src/embedded/node.ts';
import type { Outcome } from '../../src/model/plan.ts';
import { breakCluster, healerOf, job, nameOf, options, sidecars, startCluster } from './cascade.ts';

const deletions = (outcome: Outcome) => outcome.actions.filter((each) => each.action.kind === 'delete-pod');

describe('what must not be done', () => {
  test('a CSI pod that crashes for its own reason is left alone', async () => {
    await using cluster = await startCluster();
    const [first] = sidecars;
    assert.ok(first);
    const containers = [{ name: 'csi-attacher', runs: { exitsAfterMs: 500, code: 1 } }];
    await cluster.node.run(60_000);
    cluster.add({ ...first, spec: { ...first.spec, containers } });
    await cluster.node.run(10 * 60_000);
    using healer = healerOf(cluster);
    const { plan, diagnosis } = await healer.look();
    assert.deepEqual(plan.actions, []);
    const refusal = plan.refusals.find((each) => each.object === nameOf(first));
    assert.match(refusal?.reason ?? '', /it ended again while the socket answered/);
    assert.equal(
      diagnosis.findings.some((each) => each.code === 'SW303'),
      false,
    );
  });

  test('nor one whose last words tell of something else, though it ended before the socket came', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    cluster.lastWords.set('csi-resizer', false).set('csi-attacher', true);
    using healer = healerOf(cluster);
    const { outcome } = await healer.heal({ verifyTimeoutMs: 4_000 });
    const left = deletions(outcome).filter((each) => each.result === 'skipped');
    assert.deepEqual(
      left.map((each) => each.action.object.includes('csi-resizer')),
      [true, true],
    );
    assert.match(left[0]?.why ?? '', /its last words tell of something else/);
    assert.equal(cluster.deleted.length, 6);
  });

  test('without the API the dead sandboxes go, and nothing else', async () => {
    let isDown = false;
    await using cluster = await startCluster({
      fault: (_asked, response) => {
        if (isDown) response.destroy();
        return isDown;
      },
    });
    await breakCluster(cluster);
    isDown = true;
    using healer = healerOf(cluster);
    const { outcome, look } = await healer.heal();
    assert.ok(look.plan.actions.length > 0);
    assert.ok(look.plan.actions.every((each) => each.kind === 'remove-sandbox'));
    assert.deepEqual(deletions(outcome), []);
    assert.deepEqual(cluster.deleted, []);
  });

  test('an API that does not answer in time counts as down', async () => {
    let isSlow = false;
    await using cluster = await startCluster({ fault: () => isSlow });
    await breakCluster(cluster);
    isSlow = true;
    using healer = healerOf(cluster, options, 1_000);
    const { plan, snapshot } = await healer.look();
    assert.equal(snapshot.pods.known, false);
    assert.ok(plan.actions.every((each) => each.kind === 'remove-sandbox'));
  });

  for (const [what, seconds, isSlow] of [
    ['that takes a second for each answer', 1, () => true],
    ['that takes 20 s for each deletion', 20, (verb: string) => verb === 'delete'],
  ] as const) {
    test(`an API ${what} is waited for, and nothing else is touched`, async () => {
      let node: EmbeddedNode | undefined;
      await using cluster = await startCluster({
        delay: async ({ verb }) => {
          if (isSlow(verb)) await node?.run(seconds * 1_000);
        },
      });
      await breakCluster(cluster);
      node = cluster.node;
      using healer = healerOf(cluster);
      const { outcome } = await healer.heal({ verifyTimeoutMs: 180_000 });
      assert.equal(outcome.stopped, undefined);
      const results = deletions(outcome).map((each) => each.result);
      // A sidecar that kubelet has started meanwhile, since the socket is there, needs no deletion.
      assert.ok(results.length === 8 && results.every((each) => each === 'done' || each === 'already'), `${results}`);
      assert.equal(cluster.deleted.length, results.filter((each) => each === 'done').length);
      assert.ok(cluster.deleted.every((each) => sidecars.map(nameOf).includes(each)));
      assert.ok(outcome.recovery.tookMs >= seconds * 1_000 * cluster.deleted.length, `${outcome.recovery.tookMs} ms`);
      const kept = [...cluster.node.machine.disk.containers.values()].some((each) => each.podUid === job.spec.uid);
      assert.ok(kept, 'the finished pod keeps its logs');
      assert.equal(outcome.recovery.state, 'recovered');
    });
  }

  test('an API that fails at the deletion stops the run; what was not begun is said', async () => {
    await using cluster = await startCluster({
      fault: (asked, response) => {
        if (asked.verb !== 'delete') return false;
        response
          .writeHead(500, { 'content-type': 'application/json' })
          .end('{"kind":"Status","message":"etcd is gone"}');
        return true;
      },
    });
    await breakCluster(cluster);
    using healer = healerOf(cluster);
    const { outcome } = await healer.heal();
    assert.equal(outcome.stopped?.code, 'ERR_KUBE_FAILED');
    assert.deepEqual(
      deletions(outcome).map((each) => each.result),
      ['failed', ...Array(7).fill('skipped')],
    );
    assert.deepEqual(cluster.deleted, []);
  });

  test('on a node that is being deleted no pod is deleted', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    const nodes = cluster.api.resource('nodes');
    const node = cluster.api.store.get(nodes, undefined, 'node-1');
    const metadata = { ...node.metadata, finalizers: ['keep'] };
    cluster.api.store.update(nodes, undefined, 'node-1', { ...node, metadata });
    cluster.api.store.delete(nodes, undefined, 'node-1');
    using healer = healerOf(cluster);
    const { outcome } = await healer.heal({ verifyTimeoutMs: 10_000 });
    assert.ok(deletions(outcome).length === 8);
    assert.ok(deletions(outcome).every((each) => each.result === 'skipped' && /being deleted/.test(each.why)));
    assert.deepEqual(cluster.deleted, []);
  });

  test('a pod that somebody changes in the last moment is judged again, and only that state is deleted', async () => {
    let changes = 0;
    await using cluster = await startCluster({
      fault: (asked) => {
        if (asked.verb !== 'delete' || changes > 0) return false;
        changes += 1;
        const pods = cluster.api.resource('pods');
        const before = cluster.api.store.get(pods, asked.namespace, asked.name ?? '');
        const metadata = { ...before.metadata, labels: { touched: 'yes' } };
        cluster.api.store.update(pods, asked.namespace, asked.name ?? '', { ...before, metadata });
        return false;
      },
    });
    await breakCluster(cluster);
    using healer = healerOf(cluster);
    const { outcome } = await healer.heal();
    assert.ok(deletions(outcome).every((each) => each.result === 'done'));
    assert.equal(cluster.api.asked.filter((each) => each.verb === 'delete').length, 9);
  });

  test('two at once: the second finds the lock and does nothing', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    using one = healerOf(cluster);
    using two = healerOf(cluster);
    const [look, other] = [await one.look(), await two.look()];
    const ends = await Promise.allSettled([one.heal({ look }), two.heal({ look: other })]);
    const refused = ends.filter((each) => each.status === 'rejected');
    assert.deepEqual(
      refused.map((each) => each.reason.code),
      ['ERR_LOCKED'],
    );
    assert.equal(cluster.deleted.length, 8);
  });

  for (const hours of [2, -3]) {
    test(`the clock is turned by ${hours} h during the run: no healthy pod is deleted`, async () => {
      await using cluster = await startCluster();
      await breakCluster(cluster);
      using healer = healerOf(cluster);
      let turned = false;
      const { outcome } = await healer.heal({
        verifyTimeoutMs: 20_000,
        onProgress: (event) => {
          if (turned || event.kind !== 'acted') return;
          turned = true;
          cluster.node.machine.clock.step(hours * 3_600_000);
        },
      });
      assert.ok(turned);
      assert.ok(outcome.actions.every((each) => each.result !== 'failed'));
      assert.ok(cluster.deleted.every((each) => sidecars.map(nameOf).includes(each)));
      assert.equal(new Set(cluster.deleted).size, cluster.deleted.length);
      assert.equal(outcome.stopped, undefined);
    });
  }
});
