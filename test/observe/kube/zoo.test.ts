/** The kubeconfig zoo: each kind that is met in the wild reads the pods of one API, or says why it cannot. */
import assert from 'node:assert/strict';
import { chmod, chown, mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import * as http from 'node:http';
import * as net from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import type { TLSSocket } from 'node:tls';
import { type KubeServer, kubeServer } from '../../../lab/kube-api/server.ts';
import { connectKube } from '../../../src/kube/client.ts';
import { isSandwardenError, type SandwardenError } from '../../../src/model/errors.ts';
import { limits } from '../../../src/model/limits.ts';
import { type CredentialOptions, findKubeAccess } from '../../../src/observe/kube/credentials.ts';
import { hasOpenssl, makePki, type Pki } from '../../helpers/kube-api.ts';
import { tempDir } from '../../helpers/temp.ts';

type Folder = Awaited<ReturnType<typeof tempDir>>;

describe('the kubeconfig zoo', { skip: hasOpenssl ? false : 'openssl is not installed' }, () => {
  let folder: Folder;
  let pki: Pki;
  let api: KubeServer;
  /** Tokens that are let in, besides certificates of the CA. */
  const tokens = new Set<string>();
  /** What was shown, one for each request. */
  let shown: string[];

  before(async () => {
    folder = await tempDir();
    await mkdir(folder.join('pki'));
    pki = makePki(folder.join('pki'));
    await writeFile(folder.join('ca.crt'), pki.ca);
    const tls = { ...pki.server, ca: pki.ca, requestCert: true, rejectUnauthorized: false };
    api = await kubeServer({ tls, authenticates });
    api.add({ kind: 'Node', metadata: { name: 'n1' } });
  });
  after(async () => {
    await api[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });
  beforeEach(() => {
    tokens.clear();
    shown = [];
  });

  function authenticates(request: IncomingMessage): boolean {
    const { authorization } = request.headers;
    const certificate = (request.socket as TLSSocket).getPeerCertificate().subject?.CN;
    shown.push(authorization ?? String(certificate ?? 'nothing'));
    return (request.socket as TLSSocket).authorized || tokens.has(authorization?.replace('Bearer ', '') ?? '');
  }

  const cluster = (more = {}) => ({ server: api.url, 'certificate-authority': 'ca.crt', ...more });
  /** A kubeconfig of one cluster `c`, one user `u` and a context of both. */
  const config = (user: object, more: object = {}) => ({
    'current-context': 'x',
    contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: cluster(more) }],
    users: [{ name: 'u', user }],
  });

  async function write(name: string, content: object): Promise<string> {
    await writeFile(folder.join(name), JSON.stringify(content));
    return folder.join(name);
  }

  /** Names of the nodes that are seen with a kubeconfig. */
  async function nodes(options: CredentialOptions, timeoutMs = 5_000): Promise<string[]> {
    const access = await findKubeAccess({ env: process.env, ...options });
    assert.ok(access);
    const client = connectKube(access, { timeoutMs });
    try {
      const itemsOf = (page: unknown) => (page as { items: { metadata: { name: string } }[] }).items;
      const list = () => client.list('/api/v1/nodes', { kind: 'NodeList', itemsOf });
      await list();
      return (await list()).map(({ metadata }) => metadata.name);
    } finally {
      client.close();
    }
  }

  async function refusal(options: CredentialOptions, timeoutMs?: number): Promise<SandwardenError> {
    const error = await nodes(options, timeoutMs).then(
      () => assert.fail('it was taken'),
      (reason: unknown) => reason,
    );
    assert.ok(isSandwardenError(error), String(error));
    return error;
  }

  /** A program that prints what `status` says, and counts how often it was run. */
  async function plugin(name: string, body: string): Promise<string> {
    const path = folder.join(name);
    await writeFile(path, `#!/bin/sh\necho "$KUBERNETES_EXEC_INFO|$*|$ZOO" >> ${path}.calls\n${body}\n`);
    await chmod(path, 0o755);
    return path;
  }

  const calls = async (path: string) => (await readFile(`${path}.calls`, 'utf8')).trim().split('\n');
  const credential = (status: object, version = 'v1') =>
    JSON.stringify({ apiVersion: `client.authentication.k8s.io/${version}`, kind: 'ExecCredential', status });
  const exec = (command: string, more = {}) => ({
    exec: { apiVersion: 'client.authentication.k8s.io/v1', interactiveMode: 'Never', command, ...more },
  });

  test('kubeadm’s: a client certificate in files beside it', async () => {
    await writeFile(folder.join('client.pem'), pki.admin.cert + pki.admin.key);
    const user = { 'client-certificate': 'client.pem', 'client-key': 'client.pem' };
    assert.deepEqual(await nodes({ flag: await write('kubeadm', config(user)) }), ['n1']);
    assert.deepEqual(shown, ['admin', 'admin']);
  });

  test('a service account’s: a token', async () => {
    tokens.add('sesame');
    assert.deepEqual(await nodes({ flag: await write('token', config({ token: 'sesame' })) }), ['n1']);
  });

  test('EKS’s: an exec plugin with arguments and variables, told of the cluster, run once for a token', async () => {
    tokens.add('from-aws');
    const path = await plugin('aws', `echo '${credential({ token: 'from-aws' })}'`);
    const more = { args: ['eks', 'get-token', '--cluster-name', "it's $HOME"], env: [{ name: 'ZOO', value: 'otter' }] };
    const user = exec(path, { ...more, provideClusterInfo: true, interactiveMode: 'IfAvailable' });
    assert.deepEqual(await nodes({ flag: await write('eks', config(user)) }), ['n1']);
    const [call = '', ...others] = await calls(path);
    assert.deepEqual(others, []);
    const [info = '', args, variable] = call.split('|');
    assert.equal(args, "eks get-token --cluster-name it's $HOME");
    assert.equal(variable, 'otter');
    const { spec } = JSON.parse(info) as { spec: { interactive: boolean; cluster: Record<string, string> } };
    assert.equal(spec.interactive, false);
    assert.equal(spec.cluster.server, api.url);
    assert.equal(Buffer.from(spec.cluster['certificate-authority-data'] ?? '', 'base64').toString('utf8'), pki.ca);
  });

  test('GKE’s: a plugin of v1beta1 beside the kubeconfig, with a token that expires', async () => {
    tokens.add('from-gke');
    const past = new Date(Date.now() - 60_000).toISOString();
    const soon = new Date(Date.now() + 3_600_000).toISOString();
    for (const [expirationTimestamp, runs] of [
      [soon, 1],
      // A clock that is ahead calls each credential expired: it is used all the same, once for each request.
      [past, 1],
    ] as const) {
      const path = await plugin('gke', `echo '${credential({ token: 'from-gke', expirationTimestamp }, 'v1beta1')}'`);
      await writeFile(`${path}.calls`, '');
      const user = exec('./gke', { apiVersion: 'client.authentication.k8s.io/v1beta1' });
      assert.deepEqual(await nodes({ flag: await write('gke-config', config(user)) }), ['n1']);
      assert.equal((await calls(path)).length, runs);
    }
  });

  test('a plugin that gives a client certificate', async () => {
    const { cert, key } = pki.admin;
    const text = credential({ clientCertificateData: cert, clientKeyData: key });
    await writeFile(folder.join('status.json'), text);
    const path = await plugin('certify', `cat ${folder.join('status.json')}`);
    assert.deepEqual(await nodes({ flag: await write('certify-config', config(exec(path))) }), ['n1']);
    assert.deepEqual(shown, ['admin', 'admin']);
  });

  test('a token that is refused is asked for again, once', async () => {
    const path = await plugin(
      'turned',
      `echo '{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t'$(wc -l < ${folder.join('turned')}.calls)'"}}'`,
    );
    tokens.add('t2');
    assert.deepEqual(await nodes({ flag: await write('turned-config', config(exec(path))) }), ['n1']);
    assert.deepEqual(shown, ['Bearer t1', 'Bearer t2', 'Bearer t2']);
    tokens.clear();
    assert.equal((await refusal({ flag: folder.join('turned-config') })).code, 'ERR_FORBIDDEN');
    assert.equal((await calls(path)).length, 4);
  });

  test('plugins that give nothing: each says why, none of its secrets', async () => {
    const cases: [body: string, code: string, message: RegExp][] = [
      ['echo hunter2', 'ERR_CONFIG', /printed no JSON/],
      ['echo "{}"', 'ERR_CONFIG', /printed no ExecCredential of client.authentication.k8s.io\/v1$/],
      [`echo '${credential({ token: 'hunter2' }, 'v1beta1')}'`, 'ERR_CONFIG', /printed no ExecCredential of/],
      [`echo '${credential({})}'`, 'ERR_CONFIG', /neither a token nor a client certificate/],
      [`echo '${credential({ token: 'hunter2 x' })}'`, 'ERR_CONFIG', /printed a token that is none/],
      [`echo '${credential({ clientKeyData: 'hunter2' })}'`, 'ERR_CONFIG', /without its key/],
      [
        'echo "SSO session has expired" >&2; exit 255',
        'ERR_COMMAND_FAILED',
        /gave no credentials: .*SSO session has expired/,
      ],
    ];
    for (const [body, code, message] of cases) {
      const path = await plugin('broken', body);
      const error = await refusal({ flag: await write('broken-config', config(exec(path))) });
      assert.equal(error.code, code, error.message);
      assert.match(error.message, message);
      assert.doesNotMatch(`${error.message}${error.hint}`, /hunter2/);
    }
    const user = exec('no-such-plugin', { installHint: 'Install it from the\nshop.' });
    const missing = await refusal({ flag: await write('missing-config', config(user)) });
    assert.equal(missing.code, 'ERR_COMMAND_MISSING');
    assert.equal(missing.hint, 'Install it from the\\x0ashop.');
    assert.deepEqual(shown, []);
  });

  test('a plugin that hangs ends with the deadline of the request', async () => {
    const path = await plugin('hanging', `echo $$ > ${folder.join('hanging.pid')}; exec sleep 600`);
    const error = await refusal({ flag: await write('hanging-config', config(exec(path))) }, 500);
    assert.equal(error.code, 'ERR_KUBE_UNREACHABLE');
    assert.match(error.message, /within 0.5 s/);
    const pid = Number(await readFile(folder.join('hanging.pid'), 'utf8'));
    assert.equal(await isGone(pid), true);
  });

  test('plugins that are not run: a terminal, another version, a file that others may write, another machine’s', async () => {
    const path = await plugin('never', 'exit 0');
    const cases: [more: object, message: RegExp][] = [
      [{ interactiveMode: 'Always' }, /wants a terminal/],
      [{ apiVersion: 'client.authentication.k8s.io/v1alpha1' }, /speaks none of/],
      [{ command: '' }, /has no command/],
    ];
    for (const [more, message] of cases) {
      assert.match((await refusal({ flag: await write('never-config', config(exec(path, more))) })).message, message);
    }
    const file = await write('never-config', config(exec(path)));
    await mkdir(folder.join('node/etc/kubernetes'), { recursive: true });
    await write('node/etc/kubernetes/kubelet.conf', config(exec(path)));
    await writeFile(folder.join('node/etc/kubernetes/ca.crt'), pki.ca);
    const elsewhere = await refusal({ root: folder.join('node'), env: {} });
    assert.match(elsewhere.message, /not run: it is a program of the node/);
    if (process.getuid?.() === 0) {
      const env = { ...process.env, KUBECONFIG: file };
      for (const open of [() => chmod(file, 0o666), () => chmod(file, 0o600).then(() => chown(file, 65_534, 0))]) {
        await open();
        assert.match((await refusal({ env })).message, /not run: others than root may write the file/);
      }
    }
    await assert.rejects(readFile(`${path}.calls`), { code: 'ENOENT' });
  });

  test('files of KUBECONFIG are merged: what the first one says holds, paths are beside their own file', async () => {
    tokens.add('second');
    await mkdir(folder.join('apart'), { recursive: true });
    await writeFile(folder.join('apart/secret'), 'second');
    const files = [
      folder.join('not-there'),
      await write('first', { users: [{ name: 'other', user: { token: 'x' } }], 'current-context': 'x' }),
      await write('apart/second', {
        'current-context': 'y',
        users: [{ name: 'u', user: { tokenFile: 'secret' } }],
        contexts: [{ name: 'x', context: { cluster: 'c', user: 'u' } }],
      }),
      await write('third', config({ token: 'third' })),
    ];
    const env = { ...process.env, KUBECONFIG: files.join(':') };
    assert.deepEqual(await nodes({ env }), ['n1']);
    assert.deepEqual(shown, ['Bearer second', 'Bearer second']);
    const [, first = ''] = files;
    const alone = await refusal({ env: { ...env, KUBECONFIG: first } });
    assert.match(alone.message, /first, line 1: the context that is asked for is not under 'contexts'/);
  });

  test('another context, and the file of a person’s home', async () => {
    tokens.add('mine');
    const two = { ...config({ token: 'mine' }), 'current-context': 'none' };
    await mkdir(folder.join('home/.kube'), { recursive: true });
    await rename(await write('two', two), folder.join('home/.kube/config'));
    await writeFile(folder.join('home/.kube/ca.crt'), pki.ca);
    const env = { PATH: process.env.PATH, HOME: folder.join('home') };
    const root = folder.join('empty');
    assert.deepEqual(await nodes({ env, root, of: 'person', context: 'x' }), ['n1']);
    await assert.rejects(nodes({ env, root, of: 'person', context: 'y' }), {
      code: 'ERR_CONFIG',
      message: /^there is no context 'y' in \//,
      hint: /get-contexts/,
    });
    assert.match((await refusal({ env, root, of: 'person' })).message, /the context that is asked for/);
    assert.equal(await findKubeAccess({ env, root }), undefined);
  });

  test('a pod’s: its token is read again after it was turned over', async () => {
    const at = folder.join('pod/var/run/secrets/kubernetes.io/serviceaccount');
    await mkdir(at, { recursive: true });
    await writeFile(`${at}/ca.crt`, pki.ca);
    await writeFile(`${at}/token`, 'early');
    const url = new URL(api.url);
    const env = { KUBERNETES_SERVICE_HOST: url.hostname, KUBERNETES_SERVICE_PORT: url.port };
    const access = await findKubeAccess({ root: folder.join('pod'), env });
    assert.ok(access);
    const client = connectKube(access);
    for (const token of ['early', 'late']) {
      tokens.add(token);
      await writeFile(`${at}/token`, token);
      await client.get('/api/v1/nodes/n1');
    }
    client.close();
    assert.deepEqual(shown, ['Bearer early', 'Bearer late']);
  });

  describe('behind a proxy', () => {
    test('proxy-url, with a user: the API is reached, and nobody’s name is looked up here', async () => {
      tokens.add('sesame');
      await using proxy = await connectProxy(new URL(api.url));
      const url = proxy.url.replace('http://', 'http://me:p%40ss@');
      // The name is known to nobody but the proxy; the certificate is that of the API.
      const far = { server: 'https://api.nowhere.invalid:6443', 'tls-server-name': 'localhost', 'proxy-url': url };
      assert.deepEqual(await nodes({ flag: await write('proxied', config({ token: 'sesame' }, far)) }), ['n1']);
      assert.deepEqual(proxy.asked, ['api.nowhere.invalid:6443']);
      assert.equal(proxy.authorizations[0], `Basic ${Buffer.from('me:p@ss').toString('base64')}`);
    });

    test('HTTPS_PROXY is taken and NO_PROXY excepts, as Go does', async () => {
      tokens.add('sesame');
      await using proxy = await connectProxy(new URL(api.url));
      const far = { server: 'https://api.corp.invalid:6443', 'tls-server-name': 'localhost' };
      const flag = await write('by-environment', config({ token: 'sesame' }, far));
      const env = { PATH: process.env.PATH, HTTPS_PROXY: proxy.url.replace('http://', '') };
      assert.deepEqual(await nodes({ flag, env }), ['n1']);
      for (const except of ['*', 'corp.invalid', '.corp.invalid', 'x, api.corp.invalid:6443', '*.invalid']) {
        const error = await refusal({ flag, env: { ...env, NO_PROXY: except } });
        assert.match(error.message, /has a name that is not known here/, except);
      }
      for (const other of ['api.corp.invalid:443', 'pi.corp.invalid', '10.0.0.0/8']) {
        assert.deepEqual(await nodes({ flag, env: { ...env, no_proxy: other } }), ['n1'], other);
      }
      const here = await write('loopback', config({ token: 'sesame' }));
      const before = proxy.asked.length;
      assert.deepEqual(await nodes({ flag: here, env }), ['n1']);
      assert.equal(proxy.asked.length, before);
    });

    test('a proxy that refuses, is not there, hangs, or is none', async () => {
      await using refusing = await connectProxy(new URL(api.url), 407);
      const far = (url: string) => ({ server: 'https://api.nowhere.invalid:6443', 'proxy-url': url });
      const say = async (url: string) => refusal({ flag: await write('bad', config({ token: 'x' }, far(url))) }, 1_000);
      const refused = await say(refusing.url);
      assert.equal(refused.code, 'ERR_KUBE_UNREACHABLE');
      assert.match(refused.message, /through the proxy: 127\.0\.0\.1:\d+ answered with status 407/);
      assert.match(refused.hint, /proxy-url in the kubeconfig/);
      assert.match((await say('http://127.0.0.1:1')).message, /through the proxy: connect ECONNREFUSED/);
      const held: net.Socket[] = [];
      const mute = net.createServer((socket) => held.push(socket));
      await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve));
      const started = performance.now();
      const { port } = mute.address() as net.AddressInfo;
      assert.match((await say(`http://127.0.0.1:${port}`)).message, /did not answer within 1 s/);
      assert.ok(performance.now() - started < limits.connectTimeoutMs);
      for (const socket of held) socket.destroy();
      mute.close();
      assert.match((await say('socks5://127.0.0.1:1080')).message, /'proxy-url' is neither http nor https/);
      assert.match((await say('http://%zz@h')).message, /'proxy-url'/);
    });
  });
});

/** Whether a process is gone, or goes within five seconds. */
async function isGone(pid: number): Promise<boolean> {
  for (let tries = 0; tries < 250; tries++) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined);
    if (stat === undefined || /\) [ZX] /.test(stat)) return true;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return false;
}

/** An HTTP proxy that connects everybody to one place. */
async function connectProxy(to: URL, refusal?: number) {
  const [asked, authorizations]: [string[], (string | undefined)[]] = [[], []];
  const sockets = new Set<net.Socket>();
  const server = http.createServer();
  server.on('connection', (socket) => sockets.add(socket));
  server.on('connect', (request, socket) => {
    asked.push(request.url ?? '');
    authorizations.push(request.headers['proxy-authorization']);
    if (refusal !== undefined) return void socket.end(`HTTP/1.1 ${refusal} No\r\n\r\n`);
    const target = net.connect(Number(to.port), to.hostname, () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n');
      target.pipe(socket).pipe(target);
    });
    for (const each of [socket, target]) each.on('error', () => target.destroy());
    sockets.add(target);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    asked,
    authorizations,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
