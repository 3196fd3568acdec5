import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import {
  credentialOrder,
  findKubeAccess,
  knownKubeconfigs,
  serviceAccountFolder,
} from '../../../src/observe/kube/credentials.ts';
import { observePods } from '../../../src/observe/kube/pods.ts';
import { apiPod, hasOpenssl, kubeApi, kubeconfigOf, makePki, type Pki } from '../../helpers/kube-api.ts';
import { tempDir } from '../../helpers/temp.ts';

type Folder = Awaited<ReturnType<typeof tempDir>>;

describe('the credentials of a node', { skip: hasOpenssl ? false : 'openssl is not installed' }, () => {
  let folder: Folder;
  let pki: Pki;
  before(async () => {
    folder = await tempDir();
    await mkdir(folder.join('pki'));
    pki = makePki(folder.join('pki'));
  });
  after(() => folder[Symbol.asyncDispose]());
  beforeEach(() => rm(folder.join('node'), { recursive: true, force: true }));

  /** Writes a file of the node. */
  async function put(path: string, text: string): Promise<void> {
    const full = folder.join(`node${path}`);
    await mkdir(dirname(full), { recursive: true });
    await writeFile(full, text);
  }
  const config = (server = 'https://10.0.0.1:6443') => kubeconfigOf(server, pki.ca, pki.node);
  const find = (options: Parameters<typeof findKubeAccess>[0] = {}) =>
    findKubeAccess({ root: folder.join('node'), env: {}, ...options });
  const pod = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' };

  test('nothing there', async () => {
    assert.equal(await find(), undefined);
    assert.equal(await find({ env: { KUBECONFIG: `::${folder.join('none')}`, ...pod } }), undefined);
  });

  test('the first of the documented order is taken', async () => {
    const given = folder.join('given');
    await writeFile(given, config());
    await put(`${serviceAccountFolder}/token`, 'opensesame\n');
    await put(`${serviceAccountFolder}/ca.crt`, pki.ca);
    for (const { path } of knownKubeconfigs) await put(path, config());

    const env = { KUBECONFIG: `${folder.join('none')}:${given}:${folder.join('other')}`, ...pod };
    const from = async (options: Parameters<typeof findKubeAccess>[0]) => (await find(options))?.from;
    assert.equal(await from({ flag: given, env }), `--kubeconfig ${given}`);
    assert.equal(await from({ env }), `KUBECONFIG (${env.KUBECONFIG})`);
    assert.equal(await from({ env: pod }), 'the service account of this pod');
    const order: string[] = ['--kubeconfig', 'KUBECONFIG', serviceAccountFolder];
    for (const { path } of knownKubeconfigs) {
      assert.equal(await from({}), path);
      order.push(path);
      await rm(folder.join(`node${path}`));
    }
    assert.equal(await from({}), undefined);
    assert.deepEqual(order, credentialOrder);
  });

  test('a flag that names nothing is said, not passed over', async () => {
    await put('/etc/kubernetes/kubelet.conf', config());
    await assert.rejects(find({ flag: folder.join('none') }), {
      code: 'ERR_CONFIG',
      message: /there is no kubeconfig/,
    });
  });

  test('a broken file is said, not passed over', async () => {
    await put('/etc/kubernetes/kubelet.conf', 'broken');
    await put('/etc/kubernetes/admin.conf', config());
    await assert.rejects(find(), { code: 'ERR_CONFIG' });
  });

  test('in the files of a node that is mounted elsewhere, paths are that node’s', async () => {
    await put('/var/lib/kubelet/pki/current.pem', pki.node.cert + pki.node.key);
    const path = '/var/lib/kubelet/pki/current.pem';
    const text = config()
      .replace(/client-certificate-data: .*/, `client-certificate: ${path}`)
      .replace(/client-key-data: .*/, `client-key: ${path}`);
    await put('/etc/kubernetes/kubelet.conf', text);
    assert.equal((await find())?.clientCertificate, pki.node.cert + pki.node.key);
  });

  test('in a pod: its variables and its token, which is read for each request', async () => {
    await using api = await kubeApi({ pki, pods: [apiPod('web')], token: 'second' });
    const url = new URL(api.url);
    const env = { KUBERNETES_SERVICE_HOST: url.hostname, KUBERNETES_SERVICE_PORT: url.port };
    const root = folder.join('node');
    const ask = () => observePods({ root, env, hostname: 'my-pod', nodeName: 'node-1' });
    await put(`${serviceAccountFolder}/ca.crt`, pki.ca);
    for (const [token, code] of [
      ['', 'ERR_CONFIG'],
      ['two words', 'ERR_CONFIG'],
      ['first\n', 'ERR_FORBIDDEN'],
      ['second\n', undefined],
    ] as const) {
      await put(`${serviceAccountFolder}/token`, token);
      const seen = await ask();
      assert.equal(seen.known ? undefined : seen.code, code);
    }
    assert.deepEqual(api.authorizations, ['Bearer first', 'Bearer second']);
    assert.equal((await find({ env: { ...pod, KUBERNETES_SERVICE_HOST: 'fd00::1' } }))?.server.host, '[fd00::1]');
    await assert.rejects(find({ env: { ...pod, KUBERNETES_SERVICE_PORT: 'x' } }), { code: 'ERR_CONFIG' });
  });
});
