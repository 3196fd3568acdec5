import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type ClusterOptions, type CsiCluster, driverName } from '../helpers/csi/cluster.ts';
import { breakCluster, healerOf, startCluster } from './cascade.ts';

describe('a VolumeAttachment', () => {
  const name = 'csi-pvc-db-0';
  const destructive = (only: string) => ({
    allow: ['safe', 'disruptive', 'destructive'] as const,
    only: [{ code: 'SW305', object: only }],
    storage: true,
  });

  /** Its attacher tried, and the volume is not there any more. */
  const attachFails = (cluster: CsiCluster) => {
    const resource = cluster.api.resource('volumeattachments');
    const before = cluster.api.store.get(resource, undefined, name);
    const status = { attached: false, attachError: { message: 'rpc error: no such volume' } };
    cluster.api.store.update(resource, undefined, name, { ...before, status });
  };
  const broken = async (over: Partial<ClusterOptions> = {}) => {
    const cluster = await startCluster(over);
    await breakCluster(cluster);
    attachFails(cluster);
    return cluster;
  };

  test('is never deleted unless a person names it and allows it', async () => {
    await using cluster = await broken();
    using healer = healerOf(cluster);
    const { plan } = await healer.look();
    assert.equal(
      plan.actions.some((each) => each.kind === 'delete-attachment'),
      false,
    );
    const refusals = plan.refusals.filter((each) => each.code === 'SW305');
    assert.ok(refusals.some((each) => each.lift === `--allow=destructive --only SW305/${refusals[0]?.object}`));
  });

  test('whose attach failed, named, in use nowhere and not mounted is deleted, with the risk said', async () => {
    await using cluster = await broken();
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

  for (const [what, node, status, why] of [
    ['kubelet has the volume in use', 'node-1', 'volumesInUse', /kubelet of node-1 has the volume in use/],
    ['another node has it in use', 'node-7', 'volumesInUse', /kubelet of node-7 has the volume in use/],
    ['the controller has it attached to another node', 'node-7', 'volumesAttached', /is attached to node-7/],
  ] as const) {
    test(`is refused where ${what}`, async () => {
      await using cluster = await broken();
      cluster.api.add({ kind: 'Node', metadata: { name: 'node-7' }, status: {} });
      const volume = `kubernetes.io/csi/${driverName}^handle-pvc-db-0`;
      const said = status === 'volumesInUse' ? [volume] : [{ name: volume, devicePath: '' }];
      const nodes = cluster.api.resource('nodes');
      const before = cluster.api.store.get(nodes, undefined, node);
      cluster.api.store.update(nodes, undefined, node, { ...before, status: { [status]: said } });
      using healer = healerOf(cluster, destructive(name));
      const { outcome } = await healer.heal();
      assert.equal(outcome.stopped?.code, 'ERR_PRECONDITION');
      assert.match(outcome.stopped?.message ?? '', why);
      assert.equal(cluster.objects('volumeattachments').length, 5);
    });
  }

  test('is refused where the nodes may not be listed: nobody can say who uses the volume', async () => {
    const allows = ({ verb, resource }: { verb: string; resource: { name: string } }) =>
      verb !== 'list' || resource.name !== 'nodes';
    await using cluster = await broken({ allows });
    using healer = healerOf(cluster, destructive(name));
    const { outcome } = await healer.heal();
    assert.equal(outcome.stopped?.code, 'ERR_FORBIDDEN');
    assert.equal(cluster.objects('volumeattachments').length, 5);
  });

  test('is refused where its attacher has not failed with it: it goes on by itself', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    using healer = healerOf(cluster, destructive(name));
    const { plan } = await healer.look();
    assert.deepEqual(plan.actions, []);
    assert.match(plan.refusals.find((each) => each.object === name)?.reason ?? '', /has not tried and failed/);
  });

  test('is refused where it is being deleted: only its finalizer is left', async () => {
    await using cluster = await broken();
    const resource = cluster.api.resource('volumeattachments');
    const before = cluster.api.store.get(resource, undefined, name);
    const metadata = { ...before.metadata, finalizers: ['external-attacher/driver-longhorn-io'] };
    cluster.api.store.update(resource, undefined, name, { ...before, metadata });
    cluster.api.store.delete(resource, undefined, name);
    await cluster.node.run(6 * 60_000);
    using healer = healerOf(cluster, destructive(name));
    const { plan } = await healer.look();
    assert.deepEqual(plan.actions, []);
    assert.match(plan.refusals.find((each) => each.object === name)?.reason ?? '', /being deleted already/);
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
