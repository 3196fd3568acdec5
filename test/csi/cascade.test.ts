import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { outcomeText } from '../../src/cli/render/plan-text.ts';
import { type CsiCluster, socket } from '../helpers/csi/cluster.ts';
import { breakCluster, databases, healerOf, job, nameOf, plugin, sidecars, startCluster } from './cascade.ts';

const plain = { width: 120, unicode: true, colour: false };

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
      /^SW302 The node plugin longhorn-system\/longhorn-csi-plugin-w6dd4 cannot start \(SW102\)/,
      /^SW301 The CSI socket .*csi\.sock refuses connections/,
      /^ 8 CSI pods crash-loop for want of that socket/,
    ];
    assert.ok(links.some((each) => /^ the runtime refused kubelet \d+ times/.test(each)));
    for (const [index, what] of told.entries()) assert.match(links[index] ?? 'nothing', what);
    assert.ok(links.some((each) => /^SW306 5 pods wait for their volumes/.test(each)));
    assert.ok(links.some((each) => /pods do not run$/.test(each)));
    // Each link from the reset on names one before, by the plugin itself and not by a pod that waits for it.
    const reasons = diagnosis.chain.flatMap((each) => (each.because === undefined ? [] : [each.because]));
    const held = [
      /^SW201: .*shared: end of the last boot/,
      /^SW102: .*shared: plugin longhorn-system\/longhorn-csi-plugin-w6dd4/,
      /^SW302: .*shared: driver driver\.longhorn\.io/,
      /^SW301: the sidecars of the driver .*shared: driver driver\.longhorn\.io/,
      /^SW301: the attacher .*shared: attacher driver\.longhorn\.io/,
      /^SW305: .*shared: waiting apps\/db-0/,
    ];
    for (const [index, what] of held.entries()) assert.match(reasons[index] ?? 'nothing', what);
    assert.ok(reasons.some((each) => /^SW102: a name is reserved .*shared: sandbox [0-9a-f]{13}/.test(each)));
    const timeless = diagnosis.chain.filter((each) => each.agoNs === null && each.at === null);
    // The embedded kubelet writes nothing of volumes that do not come; the sidecars missed the socket before the first
    // refusal of its plugin was seen, so since when that cannot start is not known.
    assert.deepEqual(
      timeless.flatMap((each) => each.code ?? each.text),
      ['SW302', 'SW306'],
    );
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
    const state = () => ({
      sandboxes: [...cluster.node.machine.disk.sandboxes.keys()].sort(),
      deleted: [...cluster.deleted],
      pods: cluster.objects('pods').map((each) => each.metadata.uid),
      attachments: cluster.objects('volumeattachments').map((each) => each.metadata.uid),
      written: cluster.api.asked.filter((each) => !['get', 'list', 'watch'].includes(each.verb)).length,
    });
    const then = state();
    const again = await healer.heal();
    assert.deepEqual(again.look.plan.actions, []);
    assert.deepEqual(again.outcome.actions, []);
    assert.equal(again.outcome.stopped, undefined);
    assert.deepEqual(state(), then);
    assert.equal(again.look.diagnosis.state === 'errors', false, again.look.diagnosis.verdict);
  });

  test('are healed in this order: the dead socket, the dead sandboxes, the pods once the driver answers', async () => {
    await using cluster = await startCluster();
    await breakCluster(cluster);
    cluster.leaveRegistration();
    using healer = healerOf(cluster);
    const { world } = healer;
    const { storage } = world;
    assert.ok(storage);
    const done: string[] = [];
    const { outcome } = await healer.heal({
      world: {
        ...world,
        removeSandbox: async (id) => {
          await world.removeSandbox(id);
          done.push('remove sandbox');
        },
        storage: {
          ...storage,
          unlinkSocket: async (path, file) => {
            const end = await storage.unlinkSocket(path, file);
            done.push(`unlink socket: ${end}`);
            return end;
          },
          deletePod: async (namespace, name, of) => {
            const state = cluster.driver(socket)?.state;
            await storage.deletePod(namespace, name, of);
            done.push(`delete pod: driver ${state}`);
          },
        },
      },
    });
    assert.equal(outcome.recovery.state, 'recovered');
    const steps = done.filter((each, index) => each !== done[index - 1]);
    assert.deepEqual(steps, ['unlink socket: removed', 'remove sandbox', 'delete pod: driver ready']);
    assert.equal(done.filter((each) => each.startsWith('delete pod')).length, sidecars.length);
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

  const application = (name: string, sync: string, health: string, ...resources: string[]) => ({
    kind: 'Application',
    metadata: { name, namespace: 'default' },
    status: {
      sync: { status: sync },
      health: { status: health },
      resources: resources.map((each) => ({ kind: 'StatefulSet', namespace: 'apps', name: each })),
    },
  });
  const listings = (cluster: CsiCluster) =>
    cluster.api.asked.filter((each) => each.resource.name === 'applications').length;

  test('are green only when Argo CD says so too of who hangs on it, and it is not asked at each look', async () => {
    await using cluster = await startCluster();
    cluster.api.add(application('longhorn', 'Synced', 'Healthy'));
    cluster.api.add(application('gitea', 'Synced', 'Degraded', 'gitea-http', 'db'));
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
    // Once before the acts, and in the 30 s of waiting once in 10 s.
    assert.ok(listings(cluster) >= 2 && listings(cluster) <= 5, `${listings(cluster)} listings`);
  });

  test('are green though Applications are red for something else since before, and that is said', async () => {
    await using cluster = await startCluster();
    cluster.api.add(application('longhorn', 'Synced', 'Healthy'));
    cluster.api.add(application('legacy', 'OutOfSync', 'Healthy', 'db'));
    cluster.api.add(application('shop', 'Synced', 'Degraded', 'shop'));
    await breakCluster(cluster);
    using healer = healerOf(cluster);
    const { outcome } = await healer.heal();
    assert.equal(outcome.recovery.state, 'recovered');
    const note = 'not waited for: legacy and 1 more, red before';
    assert.deepEqual(
      { ...outcome.recovery.stages?.at(-1), afterMs: 0 },
      {
        name: 'applications',
        state: 'green',
        green: 1,
        of: 1,
        red: [],
        note,
        afterMs: 0,
      },
    );
    assert.match(
      outcomeText(outcome, plain),
      /Argo CD applications: all 1; not waited for: legacy and 1 more, red before/,
    );
    assert.equal(listings(cluster), 2);
  });
});
