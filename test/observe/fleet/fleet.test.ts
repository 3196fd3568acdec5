/** `fleet`: what the API tells about nodes, from the answers of a server to the verdicts. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { addEvent, addNode, fillFleet } from '../../../lab/kube-api/fleet.ts';
import { type KubeServer, type KubeServerOptions, kubeServer } from '../../../lab/kube-api/server.ts';
import { fleetReport } from '../../../src/diagnose/fleet.ts';
import type { FleetReport, FleetVerdict } from '../../../src/model/fleet.ts';
import { limits } from '../../../src/model/limits.ts';
import { readFleet } from '../../../src/observe/fleet/read.ts';
import { accessTo } from '../../kube/client-of.ts';

const nowMs = Date.now();
const minute = 60_000;

async function report(api: KubeServer): Promise<FleetReport> {
  return fleetReport(await readFleet(accessTo(api.url)));
}

function says(node: FleetVerdict | undefined): string[] {
  return node?.problems.map((each) => each.says) ?? [];
}

/** One node, and what `prepare` adds to it. */
async function one(prepare: (api: KubeServer) => void, options: KubeServerOptions = {}): Promise<FleetVerdict> {
  await using api = await kubeServer(options);
  addNode(api, 'n1', nowMs);
  prepare(api);
  const [node] = (await report(api)).nodes;
  assert.ok(node);
  return node;
}

interface PodOver {
  readonly status?: object;
  readonly ageMs?: number;
  readonly ready?: boolean;
  readonly phase?: string;
  readonly namespace?: string;
}

function addPod(
  api: KubeServer,
  name: string,
  { status = {}, ageMs = 60 * minute, ready = false, phase = 'Running', namespace = 'default' }: PodOver,
) {
  api.add({
    kind: 'Pod',
    metadata: { name, namespace, creationTimestamp: new Date(nowMs - ageMs).toISOString() },
    spec: { nodeName: 'n1', containers: [{ name: 'c' }] },
    status: { phase, containerStatuses: [{ name: 'c', ready, restartCount: 0, ...status }] },
  });
}
const waiting = (reason: string) => ({ state: { waiting: { reason } } });
const holding = (pod: string, id: string) =>
  `failed to reserve sandbox name "${pod}_default_u_1": name "${pod}_default_u_1" is reserved for "${id}"`;

describe('fleet', () => {
  test('one node of twelve with ghosts after a power cut: named first, with its ghosts, its boot and its CSI plugin', async () => {
    await using api = await kubeServer();
    fillFleet(api, { nodes: 12, podsPerNode: 40, ghosts: ['node-0007'], nowMs });
    const { nodes, counts, missing } = await report(api);
    assert.deepEqual(counts, { errors: 1, warnings: 0, healthy: 11 });
    assert.deepEqual(missing, []);
    const [first] = nodes;
    assert.equal(first?.name, 'node-0007');
    assert.equal(first?.ghosts, 36);
    assert.deepEqual(first?.uncleanBoot, { atNs: first?.rebootedNs }, 'its ghosts give it away');
    assert.equal(first?.podsNotReady, 36);
    assert.equal(Math.round((nowMs - Number((first?.rebootedNs ?? 0n) / 1_000_000n)) / minute), 38);
    assert.deepEqual(says(first), [
      '36 pods cannot start: 36 old sandboxes hold the name',
      'CSI plugin longhorn-csi-plugin-00070: ContainerCreating',
      '35 pods are not well: 35 ContainerCreating',
    ]);
    assert.equal(first?.problems[0]?.suspects, 'SW101');
  });

  test('it costs eight requests and needs to list five resources', async () => {
    await using api = await kubeServer();
    fillFleet(api, { nodes: 3, podsPerNode: 2, nowMs });
    await report(api);
    assert.equal(api.asked.length, 8);
    const needed = [
      'list daemonsets.apps',
      'list events',
      'list leases.coordination.k8s.io',
      'list nodes',
      'list pods',
    ];
    assert.deepEqual(api.permissions(), needed);
  });

  test('a node that is not heard of, one that is not ready, and one whose kubelet froze a minute ago', async () => {
    await using api = await kubeServer();
    addNode(api, 'a', nowMs, 'Unknown');
    addNode(api, 'b', nowMs, 'False');
    addNode(api, 'c', nowMs - 2 * minute);
    addNode(api, 'd', nowMs);
    const { nodes } = await report(api);
    assert.deepEqual(
      nodes.map((each) => [each.name, ...says(each)]),
      [
        ['a', 'the node is not heard of'],
        ['b', 'the node is not ready (NodeStatusUnknown)'],
        ['c', 'its kubelet has stopped to renew the lease'],
        ['d'],
      ],
    );
  });

  test('a refusal that is over does not count: an old event, or a pod that runs again', async () => {
    const blocked = { reason: 'FailedCreatePodSandBox', node: 'n1', message: holding('web', 'a'.repeat(64)), count: 3 };
    const recent = { firstMs: nowMs - 9 * minute, lastMs: nowMs - minute };
    const sick = await one((api) => {
      addPod(api, 'web', { status: waiting('ContainerCreating') });
      addEvent(api, { name: 'web', ...blocked, ...recent });
    });
    assert.equal(sick.ghosts, 1);
    const well = await one((api) => {
      addPod(api, 'web', { ready: true, status: { state: { running: {} } } });
      addEvent(api, { name: 'web', ...blocked, ...recent });
    });
    assert.deepEqual([well.ghosts, well.state], [0, 'healthy']);
    const old = await one((api) => {
      addPod(api, 'web', { status: waiting('ContainerCreating') });
      const lastMs = nowMs - limits.fleetEventMs - minute;
      addEvent(api, { name: 'web', ...blocked, firstMs: lastMs - minute, lastMs });
    });
    assert.deepEqual([old.ghosts, old.state], [0, 'warnings']);
  });

  test('a pod that runs again is told from one of the same name on that node in another namespace', async () => {
    const message = holding('db-0', 'a'.repeat(64));
    const when = { firstMs: nowMs - 9 * minute, lastMs: nowMs - minute, count: 3 };
    const refused = { reason: 'FailedCreatePodSandBox', node: 'n1', message, ...when };
    for (const [isWell, ghosts] of [
      [true, 0],
      [false, 1],
    ] as const) {
      await using api = await kubeServer();
      addNode(api, 'n1', nowMs);
      const state = isWell ? { state: { running: {} } } : waiting('ContainerCreating');
      addPod(api, 'db-0', { ready: isWell, status: state });
      addPod(api, 'db-0', { namespace: 'kube-system', status: waiting('ImagePullBackOff') });
      addEvent(api, { name: 'db-0', ...refused });
      const [node] = (await report(api)).nodes;
      assert.deepEqual([node?.ghosts, node?.podsNotReady], [ghosts, ghosts + 1]);
      // One more, for the pods of this name.
      assert.deepEqual([api.asked.length, api.permissions().length], [9, 5]);
    }
  });

  test('of a boot more than an hour ago the API tells since when the node is ready, and its id', async () => {
    await using api = await kubeServer();
    addNode(api, 'n1', nowMs);
    addNode(api, 'n2', nowMs, 'Unknown');
    const [lost, back] = (await report(api)).nodes;
    assert.deepEqual([back?.name, back?.rebootedNs, back?.bootId], ['n1', undefined, 'boot-of-n1']);
    assert.equal(Math.round((nowMs - Number((back?.readySinceNs ?? 0n) / 1_000_000n)) / minute), 38);
    // Since when it is not ready says nothing of that.
    assert.deepEqual([lost?.name, lost?.readySinceNs], ['n2', undefined]);
  });

  test('sandboxes that are made again and again are an error, once after a reboot is not', async () => {
    const change = {
      reason: 'SandboxChanged',
      node: 'n1',
      message: 'Pod sandbox changed, it will be killed and re-created.',
    };
    const when = { firstMs: nowMs - 30 * minute, lastMs: nowMs - minute };
    const often = await one((api) => addEvent(api, { name: 'web', ...change, ...when, count: 14 }));
    assert.deepEqual(says(often), ['sandboxes of 1 pod are made anew again and again (14 times)']);
    assert.equal((await one((api) => addEvent(api, { name: 'web', ...change, ...when, count: 1 }))).state, 'healthy');
  });

  test('a CSI driver that is not registered is named', async () => {
    const message =
      'MountVolume.MountDevice failed: driver name driver.longhorn.io not found in the list of registered CSI drivers';
    const event = {
      node: 'n1',
      reason: 'FailedMount',
      message,
      count: 3,
      firstMs: nowMs - 9 * minute,
      lastMs: nowMs - minute,
    };
    const node = await one((api) => {
      for (const name of ['db-0', 'db-1']) addEvent(api, { name, ...event });
    });
    assert.deepEqual(says(node), ['CSI driver driver.longhorn.io is not registered, 2 pods wait']);
  });

  test('pods that start, end or have ended are nobody’s problem; those that hang are counted by their state', async () => {
    const calm = await one((api) => {
      addPod(api, 'new', { status: waiting('ContainerCreating'), phase: 'Pending', ageMs: 20_000 });
      addPod(api, 'job', {
        phase: 'Succeeded',
        status: { state: { terminated: { reason: 'Completed', exitCode: 0 } } },
      });
      addPod(api, 'failed', { phase: 'Failed', status: { state: { terminated: { reason: 'Error', exitCode: 1 } } } });
      addPod(api, 'fine', { ready: true, status: { state: { running: {} } } });
    });
    assert.equal(calm.state, 'healthy', says(calm).join());
    const sick = await one((api) => {
      for (const name of ['a', 'b']) addPod(api, name, { status: waiting('CrashLoopBackOff') });
      addPod(api, 'c', { status: { state: { running: {} } } });
      addPod(api, 'd', { status: waiting('ImagePullBackOff'), ageMs: 30_000, phase: 'Pending' });
    });
    assert.deepEqual(says(sick), ['4 pods are not well: 2 CrashLoopBackOff, 1 not ready, 1 ImagePullBackOff']);
    assert.equal(sick.state, 'warnings');
  });

  test('what has lasted longest comes first', async () => {
    await using api = await kubeServer();
    for (const [name, since] of [
      ['n1', 5],
      ['n2', 50],
      ['n3', 20],
    ] as const) {
      addNode(api, name, nowMs);
      const message = holding(`web-${name}`, name.padEnd(64, '0'));
      const when = { firstMs: nowMs - since * minute, lastMs: nowMs - minute };
      addEvent(api, { name: `web-${name}`, node: name, reason: 'FailedCreatePodSandBox', message, count: 9, ...when });
      api.add({
        kind: 'Pod',
        metadata: { name: `web-${name}` },
        spec: { nodeName: name, containers: [{}] },
        status: { phase: 'Pending' },
      });
    }
    assert.deepEqual(
      (await report(api)).nodes.map(({ name }) => name),
      ['n2', 'n3', 'n1'],
    );
  });

  test('what may not be read narrows the answer and is named; without nodes there is none', async () => {
    await using api = await kubeServer({ allows: ({ resource }) => ['nodes', 'pods'].includes(resource.name) });
    fillFleet(api, { nodes: 3, podsPerNode: 40, ghosts: ['node-0002'], nowMs });
    const { nodes, missing } = await report(api);
    assert.deepEqual([nodes[0]?.name, nodes[0]?.state, nodes[0]?.ghosts], ['node-0002', 'warnings', 0]);
    assert.equal(missing.length, 3);
    assert.match(missing[2]?.what ?? '', /^events \(ghosts, reboots and churn are not seen\)/);
    assert.match(missing[2]?.hint ?? '', /may list events:/);
  });

  test('pages of a table, whose columns only the first describes, add up', async () => {
    await using api = await kubeServer();
    addNode(api, 'n1', nowMs);
    for (let index = 0; index < limits.fleetPageItems + 3; index++) {
      addPod(api, `p-${String(index).padStart(5, '0')}`, { status: waiting('CrashLoopBackOff') });
    }
    const { nodes } = await report(api);
    assert.equal(nodes[0]?.podsNotReady, limits.fleetPageItems + 3);
    assert.equal(api.asked.length, 9);
  });
});
