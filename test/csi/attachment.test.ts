import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { driverName } from '../helpers/csi/cluster.ts';
import { breakCluster, healerOf, startCluster } from './cascade.ts';

describe('a VolumeAttachment', () => {
  const name = 'csi-pvc-db-0';
  const destructive = (only: string) => ({
    allow: ['safe', 'disruptive', 'destructive'] as const,
    only: [{ code: 'SW305', object: only }],
    storage: true,
  });

  test('is never deleted unless a person names it and allows it', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    using healer = healerOf(cluster);
    const { plan } = await healer.look();
    assert.equal(
      plan.actions.some((each) => each.kind === 'delete-attachment'),
      false,
    );
    const refusals = plan.refusals.filter((each) => each.code === 'SW305');
    assert.ok(refusals.some((each) => each.lift === `--allow=destructive --only SW305/${refusals[0]?.object}`));
  });

  test('that is stuck, named, not in use and not mounted is deleted, with the risk said', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    using healer = healerOf(cluster, destructive(name));
    const { outcome } = await healer.heal({ verifyTimeoutMs: 4_000 });
    assert.deepEqual(
      outcome.actions.map((each) => [each.action.kind, each.result]),
      [['delete-attachment', 'done']],
    );
    assert.match(outcome.actions[0]?.action.reason ?? '', /RISK/);
    assert.equal(
      cluster.objects('volumeattachments').some((each) => each.metadata.name === name),
      false,
    );
    assert.equal(cluster.objects('volumeattachments').length, 4);
  });

  test('is refused where kubelet has the volume in use', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    const nodes = cluster.api.resource('nodes');
    const node = cluster.api.store.get(nodes, undefined, 'node-1');
    const status = { volumesInUse: [`kubernetes.io/csi/${driverName}^handle-pvc-db-0`] };
    cluster.api.store.update(nodes, undefined, 'node-1', { ...node, status });
    using healer = healerOf(cluster, destructive(name));
    const { outcome } = await healer.heal();
    assert.equal(outcome.stopped?.code, 'ERR_PRECONDITION');
    assert.match(outcome.stopped?.message ?? '', /kubelet has the volume in use/);
    assert.equal(cluster.objects('volumeattachments').length, 5);
  });

  test('is refused where it is attached: after a reboot of the same node it is valid', async () => {
    await using cluster = await startCluster();
    await cluster.node.run(60_000);
    const resource = cluster.api.resource('volumeattachments');
    for (const each of cluster.objects('volumeattachments')) {
      cluster.api.store.update(resource, undefined, each.metadata.name, { ...each, status: { attached: true } });
    }
    using healer = healerOf(cluster, destructive(name));
    const { plan } = await healer.look();
    assert.deepEqual(plan.actions, []);
    assert.match(plan.refusals.find((each) => each.object === name)?.reason ?? '', /it is attached: after a reboot/);
  });
});
