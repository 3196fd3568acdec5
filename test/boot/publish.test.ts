/** A node tells its cluster of a boot that followed an unclean end, and `fleet` reads it. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { addNode } from '../../lab/kube-api/fleet.ts';
import type { KubeObject } from '../../lab/kube-api/objects.ts';
import { type KubeServer, kubeServer } from '../../lab/kube-api/server.ts';
import { publishUncleanBoot } from '../../src/boot/publish.ts';
import { fleetReport } from '../../src/diagnose/fleet.ts';
import type { Clock } from '../../src/model/clock.ts';
import { type FleetVerdict, uncleanBootAnnotation } from '../../src/model/fleet.ts';
import { limits } from '../../src/model/limits.ts';
import { readFleet } from '../../src/observe/fleet/read.ts';
import { findKubeAccess } from '../../src/observe/kube/credentials.ts';
import { tempDir } from '../helpers/temp.ts';

const bootId = '0123456789abcdef0123456789abcdef';
const asKubeletWritesIt = '01234567-89ab-cdef-0123-456789abcdef';

test('the node carries when the boot began, by the clock of the API, and what was done in it', async () => {
  await using api = await kubeServer();
  addNode(api, 'n1', Date.now());
  knowBoot(api, asKubeletWritesIt);
  const { told, sleptMs } = await publish(api, { uptimeS: 3_600 });
  assert.equal(told, `the cluster was told: ${uncleanBootAnnotation} on node n1`);
  assert.deepEqual(sleptMs, []);
  assert.deepEqual(api.permissions(), ['get nodes', 'patch nodes']);

  const node = await inFleet(api);
  const { atNs, ...rest } = node?.uncleanBoot ?? {};
  assert.deepEqual(rest, { removed: 36, left: 1 });
  const agoS = Date.now() / 1_000 - Number((atNs ?? 0n) / 1_000_000_000n);
  assert.ok(Math.abs(agoS - 3_600) < 60, `${agoS} s ago; the wall clock of the node stands at 1970`);
});

test('until the API knows this very boot nothing is written: the name may be that of another node', async () => {
  await using api = await kubeServer();
  addNode(api, 'n1', Date.now());
  const { told, sleptMs } = await publish(api, {
    onSleep: (count) => {
      if (count === 3) knowBoot(api, asKubeletWritesIt);
    },
  });
  assert.match(told ?? '', /^the cluster was told/);
  assert.deepEqual(sleptMs, [5_000, 10_000, 20_000]);
});

test('it gives up after ten minutes, with nothing written', async () => {
  await using api = await kubeServer();
  addNode(api, 'n1', Date.now());
  const { told, sleptMs } = await publish(api);
  assert.equal(told, 'the cluster was not told: the API does not know this boot of n1 yet');
  const sumMs = sleptMs.reduce((sum, ms) => sum + ms, 0);
  assert.ok(sumMs <= limits.publishMs && sumMs > limits.publishMs - limits.publishMaxPollMs, `${sumMs}`);
  assert.deepEqual(api.permissions(), ['get nodes']);
  assert.equal(nodeOf(api).metadata.annotations, undefined);
});

test('an API that is away, overloaded or has no such node yet is asked again', async () => {
  let asked = 0;
  await using api = await kubeServer({
    fault: (_, response) => {
      asked++;
      if (asked === 1) response.destroy();
      else if (asked === 2) response.writeHead(503).end();
      return asked <= 2;
    },
  });
  const { told, sleptMs } = await publish(api, {
    onSleep: (count) => {
      if (count !== 3) return;
      addNode(api, 'n1', Date.now());
      knowBoot(api, asKubeletWritesIt);
    },
  });
  assert.match(told ?? '', /^the cluster was told/);
  assert.equal(sleptMs.length, 3);
});

test('who may not write asks again, since roles come after the API server; and says it in the end', async () => {
  let mayWrite = false;
  await using api = await kubeServer({ allows: ({ verb }) => verb !== 'patch' || mayWrite });
  addNode(api, 'n1', Date.now());
  knowBoot(api, asKubeletWritesIt);
  const never = await publish(api);
  assert.match(never.told ?? '', /^the cluster was not told: .*cannot patch resource "nodes"/);
  const late = await publish(api, {
    onSleep: (count) => {
      mayWrite = count === 2;
    },
  });
  assert.match(late.told ?? '', /^the cluster was told/);
});

test('a kubeconfig that is broken is told at once', async () => {
  await using api = await kubeServer();
  const { told, sleptMs } = await publish(api, { text: '{' });
  assert.match(told ?? '', /^the cluster was not told: /);
  assert.deepEqual([sleptMs, api.asked], [[], []]);
});

test("none but kubelet's credentials are taken", async () => {
  await using api = await kubeServer();
  const { told } = await publish(api, { path: 'etc/kubernetes/admin.conf' });
  assert.equal(told, undefined);
  assert.deepEqual(api.asked, []);
});

test('what is no such annotation was not told', async () => {
  for (const value of ['', 'null', '{', '{"at":"yesterday","bootId":"x","removed":1,"left":0}', '{"at":1}', '[]']) {
    await using api = await kubeServer();
    addNode(api, 'n1', Date.now());
    annotate(api, value);
    const node = await inFleet(api);
    assert.deepEqual([node?.name, node?.uncleanBoot], ['n1', undefined], value);
  }
});

interface Over {
  readonly uptimeS?: number;
  /** Where the kubeconfig lies, and what it holds. */
  readonly path?: string;
  readonly text?: string;
  readonly onSleep?: (count: number) => void;
}

/** Tells `api` of a boot, by a clock that goes on by sleeping. */
async function publish(api: KubeServer, over: Over = {}) {
  const { uptimeS = 60, path = 'etc/kubernetes/kubelet.conf', text = kubeconfigOf(api), onSleep } = over;
  await using folder = await tempDir();
  const root = folder.path;
  await mkdir(dirname(join(root, path)), { recursive: true });
  await writeFile(join(root, path), text);
  let uptimeNs = BigInt(uptimeS) * 1_000_000_000n;
  const sleptMs: number[] = [];
  const clock: Clock = {
    wallNs: () => 0n,
    uptimeNs: () => uptimeNs,
    sleep: async (ms) => {
      sleptMs.push(ms);
      uptimeNs += BigInt(ms) * 1_000_000n;
      onSleep?.(sleptMs.length);
    },
  };
  const told = await publishUncleanBoot({ api: { hostname: 'n1', root }, clock, bootId, removed: 36, left: 1 });
  return { told, sleptMs };
}

/** Its one node, as `fleet` tells of it. */
async function inFleet(api: KubeServer): Promise<FleetVerdict | undefined> {
  await using folder = await tempDir();
  await writeFile(folder.join('config'), kubeconfigOf(api));
  const access = await findKubeAccess({ flag: folder.join('config') });
  assert.ok(access);
  const [node] = fleetReport(await readFleet(access)).nodes;
  return node;
}

function kubeconfigOf({ url }: KubeServer): string {
  const cluster = { name: 'lab', cluster: { server: url } };
  const context = { name: 'lab', context: { cluster: 'lab', user: 'me' } };
  return JSON.stringify({
    ...{ apiVersion: 'v1', kind: 'Config', 'current-context': 'lab' },
    ...{ clusters: [cluster], contexts: [context], users: [{ name: 'me', user: {} }] },
  });
}

function knowBoot(api: KubeServer, id: string): void {
  const { status, ...node } = nodeOf(api);
  const nodeInfo = { ...(status as { nodeInfo: object }).nodeInfo, bootID: id };
  api.store.update(api.resource('nodes'), undefined, 'n1', { ...node, status: { ...(status as object), nodeInfo } });
}

function annotate(api: KubeServer, value: string): void {
  const { metadata, ...node } = nodeOf(api);
  const annotations = { [uncleanBootAnnotation]: value };
  api.store.update(api.resource('nodes'), undefined, 'n1', { ...node, metadata: { ...metadata, annotations } });
}

function nodeOf(api: KubeServer): KubeObject {
  return api.store.get(api.resource('nodes'), undefined, 'n1');
}
