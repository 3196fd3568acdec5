import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { outcomeText } from '../../src/cli/render/plan-text.ts';
import type { Outcome } from '../../src/model/plan.ts';
import { driverName } from '../helpers/csi/cluster.ts';
import { breakCluster, databases, healerOf, job, options, plugin, sidecars, startCluster } from './cascade.ts';

const nameOf = ({ spec }: { spec: { namespace: string; name: string } }) => `${spec.namespace}/${spec.name}`;
const plain = { width: 120, unicode: true, colour: false, hostile: false } as never;

describe('power cut, dead sandboxes, CSI blocked, sidecars in back-off, volumes, StatefulSets', () => {
  test('are told as one chain that says which link, broken, ends it', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    using healer = healerOf(cluster);
    cluster.api.store.compact();
    const before = cluster.api.asked.length;
    const { diagnosis } = await healer.look();
    const asked = cluster.api.asked.slice(before).map((each) => `${each.verb} ${each.resource.name}`);
    assert.deepEqual(asked.sort(), ['get csinodes', 'list pods', 'list volumeattachments']);
    const links = diagnosis.chain.map((each) => `${each.code ?? ''} ${each.text}`);
    const told = [
      /^ the last boot ended without a shutdown/,
      /^ the node booted with its clock at least .* behind/,
      /^SW102 8 dead sandboxes came back/,
      /^ kubelet v1\.34\.9 started/,
      /^ the runtime refused kubelet \d+ times/,
      /^SW302 The node plugin longhorn-system\/longhorn-csi-plugin-w6dd4 cannot start \(SW102\)/,
      /^SW301 The CSI socket .*csi\.sock refuses connections/,
      /^ 8 CSI pods crash-loop for want of that socket/,
    ];
    for (const [index, what] of told.entries()) assert.match(links[index] ?? 'nothing', what);
    assert.ok(links.some((each) => /^SW306 5 pods wait for their volumes/.test(each)));
    assert.ok(links.some((each) => /pods do not run$/.test(each)));
    const ends = diagnosis.chain.filter((each) => each.ends !== undefined);
    assert.deepEqual(
      ends.map((each) => each.code),
      ['SW102'],
    );
  });

  test('are healed to green in the right order, and the second run does nothing', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    using healer = healerOf(cluster);
    const records = new Set(cluster.node.machine.disk.containers.keys());
    const { outcome, events, look } = await healer.heal();
    assert.equal(outcome.stopped, undefined);
    assert.equal(outcome.recovery.state, 'recovered');
    const kinds = outcome.actions.map((each) => each.action.kind);
    assert.deepEqual([...new Set(kinds)], ['remove-sandbox', 'delete-pod']);
    assert.ok(outcome.actions.every((each) => each.result === 'done'));
    assert.deepEqual(cluster.deleted.sort(), sidecars.map(nameOf).sort());
    assert.equal(cluster.deleted.includes(nameOf(plugin)), false);
    // The finished pod keeps its sandbox, its container and with it its logs.
    const ofJob = [...cluster.node.machine.disk.containers.values()].filter((each) => each.podUid === job.spec.uid);
    assert.ok(ofJob.length === 1 && ofJob.every((each) => records.has(each.id)));
    const stages = outcome.recovery.stages ?? [];
    assert.deepEqual(
      stages.map((each) => `${each.name} ${each.state} ${each.of}`),
      [
        'sockets green 1',
        'registration green 1',
        'sidecars green 9',
        'attachments green 5',
        `pods green ${look.plan.storage?.waiting.length}`,
        'applications green 0',
      ],
    );
    assert.ok(databases.every(({ spec }) => cluster.node.pods().some((each) => each.uid === spec.uid && each.running)));
    assert.ok(outcome.recovery.tookMs < 90_000, `${outcome.recovery.tookMs} ms`);
    assert.ok(events.some((each) => each.kind === 'stages'));
    const text = outcomeText(outcome, plain);
    assert.match(text, /All green after [\d.]+s/);
    await cluster.node.run(120_000);
    const again = await healer.look();
    assert.deepEqual(again.plan.actions, []);
    assert.equal(again.diagnosis.state === 'errors', false, again.diagnosis.verdict);
  });

  test('need no more of the API than docs/kubernetes-access.md says', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    using healer = healerOf(cluster);
    await healer.heal();
    assert.deepEqual(cluster.api.permissions(), [
      'delete pods',
      'get csinodes.storage.k8s.io',
      'get nodes',
      'get pods',
      'list applications.argoproj.io',
      'list pods',
      'list volumeattachments.storage.k8s.io',
    ]);
  });

  test('are green only when Argo CD says so too', async () => {
    await using cluster = await startCluster();
    const app = (name: string, sync: string, health: string) => {
      const status = { sync: { status: sync }, health: { status: health } };
      cluster.api.add({ kind: 'Application', metadata: { name, namespace: 'default' }, status });
    };
    app('longhorn', 'Synced', 'Healthy');
    app('gitea', 'Synced', 'Degraded');
    await breakCluster(cluster);
    using healer = healerOf(cluster);
    const { outcome } = await healer.heal({ verifyTimeoutMs: 30_000 });
    const last = outcome.recovery.stages?.at(-1);
    assert.deepEqual(last, {
      name: 'applications',
      state: 'red',
      green: 1,
      of: 2,
      red: [{ object: 'gitea', why: 'Synced, Degraded' }],
    });
    assert.equal(outcome.recovery.state, 'partly');
    assert.match(outcomeText(outcome, plain), /Argo CD applications: 1 of 2; gitea \(Synced, Degraded\)/);
  });
});

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
