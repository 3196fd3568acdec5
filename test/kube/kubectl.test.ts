/** The API server of the laboratory, driven by the real kubectl: it is no mirror of our own client. */
import assert from 'node:assert/strict';
import { chmod, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { type KubeObject, listAt, textAt } from '../../lab/kube-api/objects.ts';
import { type KubeServer, kubeServer } from '../../lab/kube-api/server.ts';
import { tempDir } from '../helpers/temp.ts';
import { isKubectl, kubectl, kubectlVersion, runKubectl } from './kubectl.ts';

const skip = kubectlVersion === undefined ? 'kubectl is not installed' : false;
const now = () => new Date().toISOString().replace(/\.\d+/, '');

/** A server with a node, a pod on it that crashes, its event, and one object of each other kind. */
async function cluster(): Promise<KubeServer> {
  const api = await kubeServer();
  const ready = {
    type: 'Ready',
    status: 'True',
    lastHeartbeatTime: now(),
    lastTransitionTime: now(),
    reason: 'KubeletReady',
  };
  const nodeInfo = { kubeletVersion: 'v1.32.1', bootID: 'b0' };
  api.add({ kind: 'Node', metadata: { name: 'n1' }, spec: {}, status: { conditions: [ready], nodeInfo } });
  const state = { waiting: { reason: 'CrashLoopBackOff' } };
  const pod = api.add({
    kind: 'Pod',
    metadata: { name: 'web', labels: { app: 'web' } },
    spec: { nodeName: 'n1', containers: [{ name: 'c', image: 'i' }] },
    status: {
      phase: 'Running',
      containerStatuses: [{ name: 'c', ready: false, restartCount: 7, state, image: 'i', imageID: '' }],
    },
  });
  const involvedObject = { apiVersion: 'v1', kind: 'Pod', namespace: 'default', name: 'web', uid: pod.metadata.uid };
  api.add({
    kind: 'Event',
    metadata: { name: 'web.1' },
    involvedObject,
    reason: 'BackOff',
    message: 'Back-off restarting failed container c',
    type: 'Warning',
    firstTimestamp: now(),
    lastTimestamp: now(),
    count: 3,
    source: { component: 'kubelet', host: 'n1' },
  });
  api.add({
    kind: 'Application',
    metadata: { name: 'shop' },
    status: { sync: { status: 'Synced' }, health: { status: 'Healthy' } },
  });
  api.add({
    kind: 'PersistentVolume',
    metadata: { name: 'pv-1' },
    spec: { capacity: { storage: '1Gi' } },
    status: { phase: 'Bound' },
  });
  const source = { persistentVolumeName: 'pv-1' };
  api.add({
    kind: 'VolumeAttachment',
    metadata: { name: 'csi-1' },
    spec: { attacher: 'driver.longhorn.io', nodeName: 'n1', source },
  });
  api.add({
    kind: 'CSINode',
    metadata: { name: 'n1' },
    spec: { drivers: [{ name: 'driver.longhorn.io', nodeID: 'n1' }] },
  });
  api.add({ kind: 'CSIDriver', metadata: { name: 'driver.longhorn.io' }, spec: {} });
  api.add({
    kind: 'Lease',
    metadata: { name: 'n1', namespace: 'kube-node-lease' },
    spec: { holderIdentity: 'n1', renewTime: `${now().slice(0, -1)}.000000Z` },
  });
  api.add({
    kind: 'StatefulSet',
    metadata: { name: 'db' },
    spec: { replicas: 3 },
    status: { readyReplicas: 1, replicas: 3 },
  });
  return api;
}

async function says(api: KubeServer, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await kubectl(api.url, ...args);
  assert.equal(code, 0, `kubectl ${args.join(' ')}: ${stderr}`);
  return stdout;
}

/** What kubelet does with a pod that is being deleted: the processes end, and the object goes. */
function terminator(api: KubeServer): void {
  api.store.subscribe(({ resource, object: { metadata }, deleted }) => {
    if (deleted || metadata.deletionTimestamp === undefined || resource.name !== 'pods') return;
    queueMicrotask(() => api.store.delete(resource, metadata.namespace, metadata.name, { gracePeriodSeconds: 0 }));
  });
}

describe('the real kubectl', { skip, concurrency: false }, () => {
  test('get shows each kind as a table, and as the object', async () => {
    await using api = await cluster();
    const tables: [string, RegExp][] = [
      ['nodes', /^NAME +STATUS +ROLES +AGE +VERSION\nn1 +Ready +<none> +\d+s +v1\.32\.1\n$/],
      ['pods', /^NAME +READY +STATUS +RESTARTS +AGE\nweb +0\/1 +CrashLoopBackOff +7 +\d+s\n$/],
      ['applications', /shop +Synced +Healthy/],
      ['pv', /pv-1 +1Gi +Bound/],
      ['volumeattachments', /csi-1 +driver\.longhorn\.io +pv-1 +n1 +false/],
      ['csinodes', /n1 +1 /],
      ['csidrivers', /driver\.longhorn\.io/],
      ['sts', /db +1\/3/],
      ['ns', /kube-system +Active/],
    ];
    for (const [kind, expected] of tables) assert.match(await says(api, 'get', kind), expected);
    assert.match(await says(api, 'get', 'leases', '-n', 'kube-node-lease'), /n1 +n1/);
    const pod = JSON.parse(await says(api, 'get', 'pod', 'web', '-o', 'json')) as KubeObject;
    assert.equal(textAt(pod, 'spec', 'nodeName'), 'n1');
    assert.equal(await says(api, 'get', 'pods', '-o', 'name', '--field-selector', 'spec.nodeName=n2'), '');
    assert.equal(await says(api, 'get', 'pods', '-o', 'name', '--field-selector', 'spec.nodeName=n1'), 'pod/web\n');
    assert.equal(await says(api, 'get', 'pods', '-o', 'name', '-l', 'app!=web'), '');
  });

  test('get pages with --chunk-size, and says what is not there', async () => {
    await using api = await cluster();
    for (let index = 0; index < 25; index++) api.add({ kind: 'ConfigMap', metadata: { name: `c-${index}` } });
    const names = await says(api, 'get', 'configmaps', '-o', 'name', '--chunk-size=10');
    assert.equal(new Set(names.trim().split('\n')).size, 25);
    assert.equal(api.asked.filter(({ resource }) => resource.name === 'configmaps').length, 3);
    const none = await kubectl(api.url, 'get', 'pod', 'none');
    assert.match(none.stderr, /^Error from server \(NotFound\): pods "none" not found/);
  });

  test('describe tells of a pod with its events, and of a node with its pods', async () => {
    await using api = await cluster();
    const pod = await says(api, 'describe', 'pod', 'web');
    assert.match(pod, /Reason: +CrashLoopBackOff/);
    assert.match(pod, /Warning +BackOff .* kubelet +Back-off restarting failed container c/);
    const node = await says(api, 'describe', 'node', 'n1');
    assert.match(node, /Boot ID: +b0/);
    assert.match(node, /default +web /);
    assert.match(await says(api, 'get', 'events'), /Warning +BackOff +pod\/web/);
    if (isKubectl(26)) assert.match(await says(api, 'events', '--for', 'pod/web'), /Warning +BackOff +Pod\/web/i);
  });

  test('delete waits until kubelet has ended the pod', async () => {
    await using api = await cluster();
    terminator(api);
    assert.equal(await says(api, 'delete', 'pod', 'web'), 'pod "web" deleted\n');
    assert.equal(api.store.find(api.resource('pods'), 'default', 'web'), undefined);
    assert.equal(
      await says(api, 'delete', 'volumeattachment', 'csi-1'),
      'volumeattachment.storage.k8s.io "csi-1" deleted\n',
    );
  });

  test('delete without waiting leaves a pod that is being deleted, and one with a finalizer', async () => {
    await using api = await cluster();
    await says(api, 'delete', 'pod', 'web', '--wait=false');
    assert.match(await says(api, 'get', 'pod', 'web'), /Terminating/);
    await says(api, 'delete', 'pod', 'web', '--grace-period=0', '--force');
    assert.equal(api.store.find(api.resource('pods'), 'default', 'web'), undefined);
    await says(api, 'annotate', 'pv', 'pv-1', 'a=b');
    await says(
      api,
      'patch',
      'pv',
      'pv-1',
      '--type=merge',
      '-p',
      '{"metadata":{"finalizers":["kubernetes.io/pv-protection"]}}',
    );
    await says(api, 'delete', 'pv', 'pv-1', '--wait=false');
    assert.notEqual(
      textAt(
        await api.store.get(api.resource('persistentvolumes'), undefined, 'pv-1'),
        'metadata',
        'deletionTimestamp',
      ),
      '',
    );
    await says(api, 'patch', 'pv', 'pv-1', '--type=merge', '-p', '{"metadata":{"finalizers":[]}}');
    assert.equal(api.store.find(api.resource('persistentvolumes'), undefined, 'pv-1'), undefined);
  });

  test('label, cordon and a patch of a custom resource change what is stored', async () => {
    await using api = await cluster();
    await says(api, 'label', 'pod', 'web', 'tier=front');
    await says(api, 'cordon', 'n1');
    await says(
      api,
      'patch',
      'application',
      'shop',
      '--type=json',
      '-p',
      '[{"op":"replace","path":"/status/sync/status","value":"OutOfSync"}]',
    );
    assert.equal(textAt(api.store.get(api.resource('pods'), 'default', 'web'), 'metadata', 'labels', 'tier'), 'front');
    assert.match(await says(api, 'get', 'node', 'n1'), /Ready,SchedulingDisabled/);
    assert.match(await says(api, 'get', 'application'), /OutOfSync/);
  });

  test('get --watch shows a change', async () => {
    await using api = await cluster();
    let asked = 0;
    const stop = setInterval(() => {
      if (api.watches.count === 0 || asked++ > 0) return;
      const pods = api.resource('pods');
      const pod = api.store.get(pods, 'default', 'web');
      api.store.update(pods, 'default', 'web', { ...pod, status: { phase: 'Succeeded' } });
      api.watches.end();
    }, 20);
    try {
      assert.match(await says(api, 'get', 'pod', 'web', '--watch'), /CrashLoopBackOff[\s\S]*Succeeded/);
    } finally {
      clearInterval(stop);
    }
  });

  test('debug node/NAME makes the pod whose likeness `--node` makes', {
    skip: !isKubectl(27) && 'kubectl is too old',
  }, async () => {
    await using api = await cluster();
    const said = await says(
      api,
      'debug',
      'node/n1',
      '--image=busybox',
      '--profile=sysadmin',
      '-n',
      'kube-system',
      '--',
      'true',
    );
    const name = /Creating debugging pod (\S+) with container debugger on node n1/.exec(said)?.[1] ?? '';
    const pod = api.store.get(api.resource('pods'), 'kube-system', name);
    const { spec } = pod as unknown as { spec: Record<string, unknown> };
    assert.deepEqual([spec.nodeName, spec.hostPID, spec.hostNetwork, spec.hostIPC], ['n1', true, true, true]);
    assert.deepEqual(spec.volumes, [{ name: 'host-root', hostPath: { path: '/' } }]);
    assert.deepEqual(spec.tolerations, [{ operator: 'Exists' }]);
    const [container] = listAt(pod, 'spec', 'containers') as Record<string, unknown>[];
    assert.deepEqual(container?.volumeMounts, [{ name: 'host-root', mountPath: '/host' }]);
    assert.deepEqual(container?.securityContext, { privileged: true });
  });

  test('a namespace with restricted Pod Security refuses a debug pod', {
    skip: !isKubectl(27) && 'kubectl is too old',
  }, async () => {
    await using api = await cluster();
    await says(api, 'label', 'ns', 'default', 'pod-security.kubernetes.io/enforce=restricted');
    const { code, stderr } = await kubectl(
      api.url,
      'debug',
      'node/n1',
      '--image=busybox',
      '--profile=sysadmin',
      '--',
      'true',
    );
    assert.equal(code, 1);
    assert.match(stderr, /violates PodSecurity "restricted:latest": host namespaces \(hostNetwork=true, hostPID=true/);
  });

  test('logs prints what the pod wrote', async () => {
    const api = await kubeServer({
      logOf: async function* () {
        yield 'one\n';
        yield 'two\n';
      },
    });
    await using _api = api;
    api.add({
      kind: 'Pod',
      metadata: { name: 'p' },
      spec: { nodeName: 'n1', containers: [{ name: 'c' }] },
      status: { phase: 'Running' },
    });
    assert.equal(await says(api, 'logs', 'p', '--follow'), 'one\ntwo\n');
  });

  test('kubectl sandwarden is our plugin, with its arguments and its exit code', async () => {
    await using api = await cluster();
    await using folder = await tempDir();
    const main = resolve(import.meta.dirname, '../../src/main.ts');
    const plugin = folder.join('kubectl-sandwarden');
    await writeFile(plugin, `#!/bin/sh\nexec '${process.execPath}' '${main}' "$@"\n`);
    await chmod(plugin, 0o755);
    const contexts = [{ name: 'c', context: { cluster: 'c' } }];
    const config = { 'current-context': 'c', contexts, clusters: [{ name: 'c', cluster: { server: api.url } }] };
    await writeFile(folder.join('config'), JSON.stringify(config));
    const env = { PATH: `${folder.path}:${process.env.PATH}`, KUBECONFIG: folder.join('config') };
    const { code, stdout } = await runKubectl(['sandwarden', 'fleet', '-o', 'json'], env);
    const { nodes } = JSON.parse(stdout) as { nodes: { name: string; problems: { says: string }[] }[] };
    assert.deepEqual([code, nodes[0]?.name], [10, 'n1']);
    assert.match(nodes[0]?.problems[0]?.says ?? '', /1 CrashLoopBackOff/);
  });
});
