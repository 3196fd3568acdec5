import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import * as net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { limits } from '../../../src/model/limits.ts';
import type { NodeApiOptions } from '../../../src/observe/kube/node-api.ts';
import { observePods } from '../../../src/observe/kube/pods.ts';
import {
  answer,
  apiPod,
  hasOpenssl,
  type KeyPair,
  type KubeApi,
  type KubeApiOptions,
  kubeApi,
  kubeconfigOf,
  makePki,
  type Pki,
  status,
} from '../../helpers/kube-api.ts';
import { tempDir } from '../../helpers/temp.ts';

type Folder = Awaited<ReturnType<typeof tempDir>>;

describe('the pods of this node by the API', { skip: hasOpenssl ? false : 'openssl is not installed' }, () => {
  let folder: Folder;
  let pki: Pki;
  before(async () => {
    folder = await tempDir();
    pki = makePki(folder.path);
  });
  after(() => folder[Symbol.asyncDispose]());

  /** What observePods says with a kubeconfig for `user` (and `ca`) at an API. */
  async function ask(
    api: Pick<KubeApi, 'url'>,
    user: KeyPair | { token: string } = pki.node,
    options: Partial<NodeApiOptions> & { ca?: string } = {},
  ) {
    const { ca = pki.ca, ...rest } = options;
    const file = folder.join('kubeconfig');
    await writeFile(file, kubeconfigOf(api.url, ca, user));
    return observePods({ flag: file, hostname: 'some-host', ...rest });
  }

  const api = (options: Partial<KubeApiOptions> = {}) =>
    kubeApi({ pki, pods: [apiPod('web'), apiPod('far', { node: 'node-2' })], ...options });

  /** What is said when the API answers every request in one way. */
  async function faulty(fault: (response: ServerResponse) => void, options: Partial<NodeApiOptions> = {}) {
    await using server = await api({
      fault: (response) => {
        fault(response);
        return true;
      },
    });
    const seen = await ask(server, pki.node, options);
    assert.ok(!seen.known);
    return { ...seen, asked: server.asked.length };
  }

  test('with the node’s own certificate: its name is the node’s, and only its pods are asked for', async () => {
    await using server = await api();
    const seen = await ask(server);
    assert.deepEqual(seen, {
      known: true,
      value: [
        {
          name: 'web',
          namespace: 'default',
          uid: 'uid-web',
          phase: 'Running',
          restartPolicy: 'Always',
          deleting: false,
          hostNetwork: false,
        },
      ],
    });
    assert.deepEqual(server.asked, ['/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&limit=500']);
  });

  test('a server that is written by name is found, and its certificate is checked against that name', async () => {
    await using server = await api();
    const url = server.url.replace('127.0.0.1', 'localhost');
    assert.equal((await ask({ url })).known, true);
    const elsewhere = await api({ identity: pki.elsewhere });
    await using _elsewhere = elsewhere;
    const seen = await ask({ url: elsewhere.url.replace('127.0.0.1', 'localhost') });
    assert.ok(!seen.known && seen.code === 'ERR_KUBE_UNREACHABLE');
    assert.match(seen.message, /certificate for another name/);
  });

  test('a list comes in pages of 500', async () => {
    await using server = await api({ pods: Array.from({ length: 1_001 }, (_, index) => apiPod(`p-${index}`)) });
    const seen = await ask(server);
    assert.ok(seen.known);
    assert.equal(new Set(seen.value.map((each) => each.uid)).size, 1_001);
    assert.equal(server.asked.length, 3);
    assert.match(server.asked[2] ?? '', /limit=500&continue=1000$/);
  });

  test('pages that expire are read again from the first, once', async () => {
    const pods = Array.from({ length: 700 }, (_, index) => apiPod(`p-${index}`));
    const gone = (response: ServerResponse) => answer(response, 410, status(410, 'the continue parameter is too old'));
    await using once = await api({
      pods,
      fault: (response, _request, count) => {
        if (count === 2) gone(response);
        return count === 2;
      },
    });
    const seen = await ask(once);
    assert.ok(seen.known);
    assert.equal(seen.value.length, 700);
    assert.deepEqual(
      once.asked.map((each) => each.includes('continue=')),
      [false, true, false, true],
    );
    const always = await faulty(gone);
    assert.equal(always.code, 'ERR_KUBE_FAILED');
    assert.equal(always.asked, 2);
  });

  test('a mirror pod is listed under the hash of its manifest, a copy of its annotations is not', async () => {
    const hash = { 'kubernetes.io/config.hash': 'd41d8cd98f00b204e9800998ecf8427e' };
    await using server = await api({
      pods: [
        apiPod('etcd', { annotations: { ...hash, 'kubernetes.io/config.mirror': 'd41d8cd98f00b204e9800998ecf8427e' } }),
        apiPod('copy', { annotations: hash }),
        apiPod('odd', { annotations: { 'kubernetes.io/config.mirror': 'x' } }),
      ],
    });
    const seen = await ask(server);
    assert.ok(seen.known);
    assert.deepEqual(
      seen.value.map((each) => [each.name, each.uid]),
      [
        ['etcd', 'd41d8cd98f00b204e9800998ecf8427e'],
        ['copy', 'uid-copy'],
      ],
    );
  });

  test('two pods that claim one uid are both not believed', async () => {
    const mirror = { 'kubernetes.io/config.hash': 'uid-job', 'kubernetes.io/config.mirror': 'uid-job' };
    await using server = await api({
      pods: [apiPod('job', { phase: 'Succeeded' }), apiPod('liar', { annotations: mirror }), apiPod('web')],
    });
    const seen = await ask(server);
    assert.ok(seen.known);
    assert.deepEqual(
      seen.value.map((each) => each.name),
      ['web'],
    );
  });

  test('credentials without a node’s name: the host name is taken, and not believed where it has no pods', async () => {
    await using server = await api();
    const seen = await ask(server, pki.admin, { hostname: 'Node-1\n' });
    assert.ok(seen.known && seen.value.length === 1);
    const guessed = await ask(server, pki.admin, { hostname: 'other' });
    assert.ok(!guessed.known);
    assert.match(guessed.message, /no pods of a node 'other'/);
    assert.match(guessed.hint, /--node-name/);
    const named = await ask(server, pki.admin, { hostname: 'other', nodeName: 'node-1' });
    assert.ok(named.known && named.value.length === 1);
    const empty = await ask(server, pki.admin, { nodeName: 'node-9' });
    assert.deepEqual(empty, { known: true, value: [] });
    const broken = await ask(server, pki.admin, { nodeName: 'a,metadata.name=b' });
    assert.ok(!broken.known && broken.code === 'ERR_USAGE');
    assert.equal(server.asked.length, 4);
  });

  test('a token goes to the server that proved who it is, and to no other', async () => {
    await using server = await api({ token: 'opensesame' });
    assert.equal((await ask(server, { token: 'opensesame' }, { nodeName: 'node-1' })).known, true);
    assert.deepEqual(server.authorizations, ['Bearer opensesame']);
    const wrong = await ask(server, { token: 'opensesame' }, { nodeName: 'node-1', ca: pki.otherCa });
    assert.ok(!wrong.known);
    assert.equal(server.authorizations.length, 1);
  });

  test('a server of another authority, out of its dates, or for another name is not talked to', async () => {
    const cases: [Partial<KubeApiOptions>, string | undefined, RegExp][] = [
      [{}, pki.otherCa, /not of the expected authority/],
      [{ identity: pki.expired }, undefined, /has expired/],
      [{ identity: pki.future }, undefined, /not valid yet/],
      [{ identity: pki.elsewhere }, undefined, /for another name/],
    ];
    for (const [options, ca, message] of cases) {
      await using server = await api(options);
      const seen = await ask(server, pki.node, ca === undefined ? {} : { ca });
      assert.ok(!seen.known && seen.code === 'ERR_KUBE_UNREACHABLE');
      assert.match(seen.message, message);
      assert.deepEqual(server.asked, []);
      if (options.identity && options.identity !== pki.elsewhere) assert.match(seen.hint, /clock says \d{4}-/);
    }
  });

  test('401: who we are is not accepted, and an expired certificate is named', async () => {
    await using server = await api();
    const seen = await ask(server, pki.oldNode);
    assert.ok(!seen.known && seen.code === 'ERR_FORBIDDEN');
    assert.match(seen.message, /does not accept the credentials of --kubeconfig/);
    assert.match(seen.hint, /expired at 2020-02-01T00:00:00.000Z; this machine's clock says/);
    const token = await ask(server, { token: 'wrong' });
    assert.ok(!token.known && token.code === 'ERR_FORBIDDEN');
    assert.match(token.hint, /not of this cluster/);
  });

  test('answers that are none: each is said for what it is, and asked once', async () => {
    const cases: [code: string, message: RegExp, fault: (response: ServerResponse) => void][] = [
      [
        'ERR_FORBIDDEN',
        /forbids it: pods is for\\x1bbidden/,
        (to) => answer(to, 403, status(403, 'pods is for\x1bbidden')),
      ],
      ['ERR_KUBE_BUSY', /429 Too Many Requests/, (to) => answer(to, 429, status(429, 'too many'))],
      ['ERR_KUBE_FAILED', /status 500: etcd is away$/, (to) => answer(to, 500, status(500, 'etcd is away'))],
      ['ERR_KUBE_FAILED', /status 503$/, (to) => answer(to, 503, '<html>')],
      ['ERR_KUBE_FAILED', /status 404/, (to) => answer(to, 404, 'null')],
      ['ERR_KUBE_FAILED', /no JSON/, (to) => answer(to, 200, '{"kind":"PodList","items":[{"met')],
      ['ERR_KUBE_FAILED', /not the list/, (to) => answer(to, 200, {})],
      ['ERR_KUBE_FAILED', /not the list/, (to) => answer(to, 200, { kind: 'PodList' })],
      ['ERR_KUBE_FAILED', /not the list/, (to) => answer(to, 200, { kind: 'NodeList', items: [] })],
      ['ERR_KUBE_FAILED', /not the list/, (to) => answer(to, 200, 'null')],
      ['ERR_KUBE_FAILED', /no JSON/, (to) => answer(to, 200, '')],
      ['ERR_KUBE_UNREACHABLE', /cut the connection/, (to) => to.destroy()],
      ['ERR_KUBE_UNREACHABLE', /cut the connection/, cutInTheMiddle],
      ['ERR_KUBE_FAILED', /does not speak HTTP/, (to) => void to.socket?.end('SSH-2.0-OpenSSH_9.2\r\n')],
    ];
    for (const [code, message, fault] of cases) {
      const seen = await faulty(fault);
      assert.equal(seen.code, code, seen.message);
      assert.match(seen.message, message);
      assert.notEqual(seen.hint, '');
      assert.equal(seen.asked, 1);
    }
  });

  test('a redirect is not followed', async () => {
    await using target = await api({ token: 'opensesame' });
    const seen = await faulty((response) => {
      response.writeHead(307, { location: `${target.url}/api/v1/pods` });
      response.end();
    });
    assert.equal(seen.code, 'ERR_KUBE_FAILED');
    assert.match(seen.message, /points elsewhere \(307\)/);
    assert.deepEqual(target.asked, []);
  });

  test('a body without an end stops at the limit, and a list without an end at its own', async () => {
    const endless = (response: ServerResponse) => {
      response.writeHead(200);
      const more = () => {
        if (!response.destroyed && response.write(Buffer.alloc(64 * 1024, '['))) setImmediate(more);
      };
      response.on('drain', more);
      more();
    };
    const large = await faulty(endless, { maxBytes: 1024 * 1024 });
    assert.equal(large.code, 'ERR_KUBE_FAILED');
    assert.match(large.message, /too large/);
    const page = { kind: 'PodList', metadata: { continue: 'again' }, items: [] };
    const long = await faulty((response) => answer(response, 200, page), { timeoutMs: 30_000 });
    assert.match(long.message, /list without an end/);
    assert.equal(long.asked, limits.kubeListPages);
  });

  test('hanging costs the deadline and no more: before TLS, before the answer, in it, and drop by drop', async () => {
    const timeoutMs = 300;
    const cases: ((response: ServerResponse) => void)[] = [
      () => undefined,
      (response) => void response.writeHead(200).write('{'),
      (response) => {
        response.writeHead(200);
        const timer = setInterval(() => response.write(' '), 20);
        response.on('close', () => clearInterval(timer));
      },
    ];
    for (const fault of cases) assertTooLate(await faulty(fault, { timeoutMs }));
    const page = { kind: 'PodList', metadata: { continue: 'again' }, items: [] };
    const slow = (response: ServerResponse) => void setTimeout(() => answer(response, 200, page), 50);
    assertTooLate(await faulty(slow, { timeoutMs }));

    await using mute = await muteServer();
    const started = performance.now();
    const seen = await ask(mute, pki.node, { timeoutMs });
    assert.ok(!seen.known);
    assertTooLate(seen);
    assert.ok(performance.now() - started < 2_000);
  });

  test('nobody listens: said at once; a name that nobody knows too', async () => {
    const mute = await muteServer();
    await mute[Symbol.asyncDispose]();
    const seen = await ask(mute);
    assert.ok(!seen.known && seen.code === 'ERR_KUBE_UNREACHABLE');
    assert.match(seen.message, /is down: nobody listens there/);
    assert.match(seen.hint, /See whether it runs/);
    const nameless = await ask({ url: 'https://no-such-host.invalid:6443' });
    assert.ok(!nameless.known && nameless.code === 'ERR_KUBE_UNREACHABLE');
    assert.match(nameless.message, /no-such-host\.invalid:6443 (?:has a name that is not known|did not answer)/);
  });

  test('a look-up that hangs costs the deadline', async () => {
    const seen = await ask({ url: 'https://api.example:6443' }, pki.node, {
      timeoutMs: 100,
      run: () => new Promise(() => undefined),
    });
    assert.ok(!seen.known);
    assertTooLate(seen);
  });

  test('who aborts gets an answer at once', async () => {
    const controller = new AbortController();
    const seen = await faulty(() => controller.abort(new Error('whatever')), { signal: controller.signal });
    assert.equal(seen.code, 'ERR_INTERRUPTED');
    const before = await faulty(() => undefined, { signal: AbortSignal.abort() });
    assert.equal(before.code, 'ERR_INTERRUPTED');
    assert.equal(before.asked, 0);
  });

  test('no credentials on the machine: nobody was asked', async () => {
    await using empty = await tempDir();
    const seen = await observePods({ root: empty.path, env: {}, hostname: 'node-1' });
    assert.ok(!seen.known && seen.code === 'ERR_NOT_ASKED');
    assert.equal(seen.message, 'no Kubernetes credentials were found on this node');
    assert.match(seen.hint, /--kubeconfig/);
  });

  function assertTooLate(seen: { code: string; message: string }) {
    assert.equal(seen.code, 'ERR_KUBE_UNREACHABLE');
    assert.match(seen.message, /did not answer within 0\.\d s/);
  }
});

function cutInTheMiddle(response: ServerResponse): void {
  response.writeHead(200, { 'content-length': '1000' });
  response.write('{"kind":"PodList"', () => response.socket?.destroy());
}

/** Accepts connections and says nothing. */
async function muteServer(): Promise<Pick<KubeApi, 'url'> & AsyncDisposable> {
  const sockets: net.Socket[] = [];
  const server = net.createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => socket.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `https://127.0.0.1:${(server.address() as net.AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
