import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { builtIn } from '../../../lab/kube-api/resources.ts';
import { type KubeServerOptions, kubeServer } from '../../../lab/kube-api/server.ts';
import { storageOverKube } from '../../../src/cli/storage-world.ts';
import { SandwardenError } from '../../../src/model/errors.ts';
import { limits } from '../../../src/model/limits.ts';
import type { Pod } from '../../../src/model/node.ts';
import { observeVolumes } from '../../../src/observe/kube/volumes.ts';
import { decodeSnapshot, encodeSnapshot } from '../../../src/observe/snapshot-file.ts';
import { pod as podOf, snapshotOf } from '../../diagnose/build.ts';
import { kubeconfigOf } from '../../helpers/csi/cluster.ts';
import { tempDir } from '../../helpers/temp.ts';

const driver = 'driver.longhorn.io';

/** An API server with two nodes' attachments, and a kubeconfig for it. */
async function cluster(options: KubeServerOptions = {}) {
  const dir = await tempDir();
  const api = await kubeServer(options);
  const flag = dir.join('kubeconfig');
  await writeFile(flag, kubeconfigOf(api.url));
  const attach = (name: string, nodeName: string, status: object, metadata: object = {}) =>
    api.add({
      kind: 'VolumeAttachment',
      metadata: { name, ...metadata },
      spec: { attacher: driver, nodeName, source: { persistentVolumeName: `pv-${name}` } },
      status,
    });
  attach('a', 'node-1', { attached: true });
  attach('b', 'node-1', { attached: false, attachError: { message: 'faulted', time: '2026-11-21T19:00:00Z' } });
  attach('c', 'node-2', { attached: true });
  const csi = { driver, volumeHandle: 'handle-b' };
  api.add({ kind: 'PersistentVolume', metadata: { name: 'pv-b' }, spec: { csi } });
  api.add({ kind: 'CSINode', metadata: { name: 'node-1' }, spec: { drivers: [{ name: driver, nodeID: 'x' }] } });
  return {
    api,
    asking: { flag, hostname: 'node-1', nodeName: 'node-1' },
    root: dir.path,
    [Symbol.asyncDispose]: async () => {
      await api[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

describe('the volumes of a node by the API', () => {
  test('are its own attachments and its registered drivers, in two requests, with the API’s own clock', async () => {
    await using at = await cluster();
    const { volumes, csiNode } = await observeVolumes(at.asking);
    assert.ok(volumes.known && csiNode.known);
    assert.deepEqual(csiNode.value, [driver]);
    assert.deepEqual(
      volumes.value.attachments.map((each) => [each.name, each.attached, each.volume]),
      [
        ['a', true, 'pv-a'],
        ['b', false, 'pv-b'],
      ],
    );
    assert.equal(volumes.value.attachments[1]?.attachError?.message, 'faulted');
    const skewMs = Math.abs(Number((volumes.value.asOfNs ?? 0n) / 1_000_000n) - Date.now());
    assert.ok(skewMs < 120_000, `${skewMs} ms`);
    assert.deepEqual(at.api.permissions(), ['get csinodes.storage.k8s.io', 'list volumeattachments.storage.k8s.io']);
  });

  test('that may not be listed are unknown, and what may be read is known', async () => {
    await using at = await cluster({ allows: ({ resource }) => resource.name !== 'volumeattachments' });
    const { volumes, csiNode } = await observeVolumes(at.asking);
    assert.equal(volumes.known ? 'known' : volumes.code, 'ERR_FORBIDDEN');
    assert.ok(csiNode.known);
  });

  test('of a node without a CSINode: no driver is registered', async () => {
    await using at = await cluster();
    const { csiNode } = await observeVolumes({ ...at.asking, nodeName: 'node-3' });
    assert.deepEqual(csiNode.known && csiNode.value, []);
  });

  test('survive a snapshot file', async () => {
    await using at = await cluster();
    const { volumes, csiNode } = await observeVolumes(at.asking);
    const socket = { path: '/a/plugins/d/csi.sock', device: '1', inode: '2', madeAtNs: 3n, says: 'ECONNREFUSED' };
    const owner = { pid: 4, comm: 'd', startedUptimeNs: 5n };
    const csi = {
      known: true,
      value: {
        kubeletDirs: ['/a'],
        drivers: [{ ...socket, name: 'd', nameFrom: 'folder', state: 'refuses', owned: true, owner } as const],
        registrations: [{ ...socket, state: 'refuses', owned: false } as const],
        truncated: false,
      },
    } as const;
    const container = { name: 'c', state: 'waiting', reason: 'CrashLoopBackOff', ready: false, restarts: 3 } as const;
    const lastExit = { exitCode: 1, reason: 'Error', finishedAtNs: 7n };
    const paths = { kubeletPaths: ['/a/plugins/d'], mountsForOthers: true } as const;
    const pod: Pod = {
      ...podOf('p'),
      owner: { kind: 'DaemonSet', name: 'd' },
      claims: ['x'],
      inlineDrivers: ['y'],
      containers: [{ ...container, lastExit, ...paths }],
    };
    const snapshot = snapshotOf({ pods: [pod], more: { csi, volumes, csiNode } });
    assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot);
  });
});

describe('the API as healing uses it', () => {
  test('gives a pod with its version, and refuses the deletion of another state of it', async () => {
    await using at = await cluster();
    at.api.add({ kind: 'Pod', metadata: { name: 'p', namespace: 'default', uid: 'u1' }, spec: {}, status: {} });
    const storage = storageOverKube(at.asking);
    const found = await storage.readPodObject('default', 'p');
    assert.equal(found?.pod.uid, 'u1');
    assert.equal(await storage.readPodObject('default', 'q'), undefined);
    const version = { uid: 'u1', resourceVersion: found?.resourceVersion ?? '' };
    await assert.rejects(storage.deletePod('default', 'p', { ...version, uid: 'u2' }), { code: 'ERR_KUBE_CONFLICT' });
    await assert.rejects(storage.deletePod('default', 'p', { ...version, resourceVersion: '7' }), {
      code: 'ERR_KUBE_CONFLICT',
    });
    await storage.deletePod('default', 'p', version);
    storage.close();
  });

  test('looks for the credentials again after it found none', async () => {
    await using at = await cluster();
    const flag = join(at.root, 'later');
    const storage = storageOverKube({ ...at.asking, flag });
    await assert.rejects(storage.readNodeObject(), (error) => error instanceof SandwardenError);
    await writeFile(flag, kubeconfigOf(at.api.url));
    assert.equal(await storage.readNodeObject(), undefined);
    storage.close();
  });

  test('tells which nodes have a volume in use or attached, over all pages', async () => {
    await using at = await cluster();
    const volume = `kubernetes.io/csi/${driver}^h`;
    const node = (name: string, status: object) => at.api.add({ kind: 'Node', metadata: { name }, status });
    node('node-1', { volumesInUse: [`${volume}2`], volumesAttached: [{ name: `${volume}2`, devicePath: '' }] });
    node('node-2', { volumesInUse: [volume, `${volume}2`] });
    for (let index = 0; index < limits.kubePageItems; index++) node(`other-${index}`, {});
    node('z', { volumesAttached: [{ name: volume, devicePath: '' }] });
    const storage = storageOverKube(at.asking);
    assert.deepEqual(await storage.readVolumeUse(volume), {
      knowsThisNode: true,
      inUseOn: ['node-2'],
      attachedTo: ['z'],
    });
    storage.close();
    const elsewhere = storageOverKube({ ...at.asking, nodeName: 'nobody' });
    assert.equal((await elsewhere.readVolumeUse(volume)).knowsThisNode, false);
    elsewhere.close();
  });

  test('finds a mounted volume by the kernel’s list, and takes one that it cannot read for mounted', async () => {
    await using at = await cluster();
    const storage = storageOverKube({ ...at.asking, root: at.root });
    const found = await storage.readAttachment('b');
    assert.equal(found?.handle, 'handle-b');
    assert.ok(found);
    assert.equal(await storage.isMounted(found), true);
    await mkdir(join(at.root, 'proc/1'), { recursive: true });
    const mounts = (line: string) =>
      writeFile(join(at.root, 'proc/1/mountinfo'), `22 1 0:20 / /sys rw - sysfs\n${line}\n`);
    await mounts('');
    assert.equal(await storage.isMounted(found), false);
    await mounts('99 1 8:1 / /var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/pv-b/mount rw - ext4 /dev/sda rw');
    assert.equal(await storage.isMounted(found), true);
    const hash = '0f18cd7d9a2b4e1f';
    await mounts(
      `99 1 8:1 / /var/lib/kubelet/plugins/kubernetes.io/csi/${driver}/${hash}/globalmount rw - ext4 /dev/sda rw`,
    );
    assert.equal(await storage.isMounted(found), false);
    storage.close();
  });

  test('gives each Application that is not green, with what it is made of', async () => {
    await using at = await cluster();
    const app = (name: string, sync: string, health: string, more: object = {}) => {
      const status = { sync: { status: sync }, health: { status: health }, ...more };
      const spec = { destination: { namespace: 'apps' } };
      at.api.add({ kind: 'Application', metadata: { name, namespace: 'argocd' }, spec, status });
    };
    app('well', 'Synced', 'Healthy');
    const made = { kind: 'StatefulSet', namespace: 'apps', name: 'db' };
    app('db', 'OutOfSync', 'Degraded', {
      resources: [made, { ...made, kind: 'Service' }, { kind: 'Node', name: 'n' }],
    });
    const storage = storageOverKube(at.asking);
    const said = await storage.applications();
    storage.close();
    const db = { namespace: 'argocd', name: 'db', sync: 'OutOfSync', health: 'Degraded', destination: 'apps' };
    assert.deepEqual(said?.known && said.value, { total: 2, red: [{ ...db, resources: ['apps/db'] }] });
  });

  test('tells a cluster without Argo CD from one that does not say', async () => {
    await using without = await cluster({ resources: builtIn });
    const storage = storageOverKube(without.asking);
    assert.equal(await storage.applications(), undefined);
    storage.close();
    await using forbidden = await cluster({ allows: ({ resource }) => resource.name !== 'applications' });
    const other = storageOverKube(forbidden.asking);
    const said = await other.applications();
    assert.equal(said?.known === false && said.code, 'ERR_FORBIDDEN');
    other.close();
  });
});
