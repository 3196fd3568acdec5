// Goal: the socket is chosen in the documented order, and the choice says where it came from.
// Method: a root directory of the test's own with sockets that live, are dead, or are files.
import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { dirname } from 'node:path';
import { describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import fc from 'fast-check';
import { isSandwardenError, SandwardenError } from '../../src/model/errors.ts';
import { findEndpoint, knownSockets, parseCrictlYaml } from '../../src/observe/endpoint.ts';
import { leaveDeadSocket } from '../helpers/dead-socket.ts';
import { fakeCri, fakeSocket, type Handlers } from '../helpers/fake-cri.ts';
import { runs } from '../helpers/fuzz.ts';
import { tempDir } from '../helpers/temp.ts';

const [containerd, k3s] = knownSockets.map((each) => each.path);
const crio = '/run/crio/crio.sock';
const answering: Handlers = { version: () => ({ runtimeName: 'fake', runtimeVersion: '1', runtimeApiVersion: 'v1' }) };
// grpc-go of a service that nobody registered: containerd with CRI disabled, as Docker installs it.
const notServed: Handlers = { version: throwing(Code.Unimplemented, 'unknown service runtime.v1.RuntimeService') };

describe('findEndpoint', () => {
  it('prefers the flag, then the variable, then the files, then the sockets', async () => {
    await using dir = await tempDir();
    const root = dir.path;
    await using _ = await socket(`${root}${containerd}`);
    const env = { CONTAINER_RUNTIME_ENDPOINT: 'unix:///from-env.sock' };
    const from = async (options: object) => {
      const found = await findEndpoint({ root, ...options });
      return [found.endpoint, found.from];
    };
    assert.deepEqual(await from({}), [`unix://${root}${containerd}`, 'known socket']);
    await put(`${root}/var/lib/rancher/k3s/agent/etc/crictl.yaml`, 'runtime-endpoint: unix:///from-k3s.sock\n');
    assert.deepEqual(await from({}), ['unix:///from-k3s.sock', '/var/lib/rancher/k3s/agent/etc/crictl.yaml']);
    await put(`${root}/etc/crictl.yaml`, 'runtime-endpoint: "unix:///from-file.sock"\ntimeout: 2\n');
    assert.deepEqual(await from({}), ['unix:///from-file.sock', '/etc/crictl.yaml']);
    assert.deepEqual(await from({ env }), ['unix:///from-env.sock', 'CONTAINER_RUNTIME_ENDPOINT']);
    assert.deepEqual(await from({ env, flag: '/from-flag.sock' }), ['/from-flag.sock', '--runtime-endpoint']);
  });

  it('takes the first live socket and names the others; a dead one only where none lives', async () => {
    await using dir = await tempDir();
    const root = dir.path;
    await mkdir(dirname(`${root}${containerd}`), { recursive: true });
    await leaveDeadSocket(`${root}${containerd}`);
    const dead = await findEndpoint({ root });
    assert.deepEqual(dead, { endpoint: `unix://${root}${containerd}`, from: 'known socket', others: [] });
    await using second = await cri(`${root}${k3s}`, answering);
    await using third = await cri(`${root}${crio}`, answering);
    const found = await findEndpoint({ root });
    const others = [`unix://${root}${crio}`];
    assert.deepEqual(found, { endpoint: `unix://${root}${k3s}`, from: 'known socket', others });
    void second;
    void third;
  });

  it('passes over live ones that do not speak CRI, and says what showed it', async () => {
    await using dir = await tempDir();
    const root = dir.path;
    await using docker = await cri(`${root}${containerd}`, notServed);
    await using web = await socket(`${root}${k3s}`, (peer) => peer.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await using third = await cri(`${root}${crio}`, answering);
    const { endpoint, others, passedOver } = await findEndpoint({ root });
    assert.deepEqual([endpoint, others], [`unix://${root}${crio}`, []]);
    assert.deepEqual(
      passedOver?.map((each) => each.endpoint),
      [`unix://${root}${containerd}`, `unix://${root}${k3s}`],
    );
    const words = passedOver?.map((each) => each.why).join('\n') ?? '';
    assert.match(words, /containerd\.sock does not serve CRI v1 \(unknown service.*\n.*k3s.* does not speak gRPC/);
    void [docker, web, third];
  });

  it('takes one that may be CRI: it is starting, it fails, it does not answer in time', async () => {
    const failures: [string, () => never][] = [
      ['starting', throwing(Code.Unavailable, 'server is not initialized yet: unavailable')],
      ['failing', throwing(Code.Internal, 'disk on fire')],
      ['late', throwing(Code.DeadlineExceeded, 'context deadline exceeded')],
    ];
    for (const [title, version] of failures) {
      await using dir = await tempDir();
      await using first = await cri(`${dir.path}${containerd}`, { version });
      await using second = await cri(`${dir.path}${crio}`, answering);
      const { endpoint, passedOver } = await findEndpoint({ root: dir.path });
      assert.deepEqual([endpoint, passedOver], [`unix://${dir.path}${containerd}`, undefined], title);
      void [first, second];
    }
  });

  it('where none of several speaks CRI names them all, and what only is there', async () => {
    await using dir = await tempDir();
    const root = dir.path;
    await using first = await cri(`${root}${containerd}`, notServed);
    await using second = await cri(`${root}${k3s}`, notServed);
    await mkdir(dirname(`${root}${crio}`), { recursive: true });
    await leaveDeadSocket(`${root}${crio}`);
    await assert.rejects(findEndpoint({ root }), (error) => {
      assert.ok(isSandwardenError(error, 'ERR_SOCKET_NOT_CRI'));
      assert.ok(
        error.message.includes(`${root}${containerd}`) && error.message.includes(`${root}${k3s}`),
        error.message,
      );
      assert.ok(error.hint.includes(`${root}${crio}`) && error.hint.includes('--runtime-endpoint'), error.hint);
      return true;
    });
    void [first, second];
  });

  it('asks nothing of a runtime that lives alone, or that somebody named', async () => {
    await using dir = await tempDir();
    const root = dir.path;
    let bytes = 0;
    await using alone = await socket(
      `${root}${containerd}`,
      (peer) => void peer.on('data', (got) => (bytes += got.length)),
    );
    assert.equal((await findEndpoint({ root })).endpoint, `unix://${root}${containerd}`);
    await using second = await cri(`${root}${crio}`, answering);
    const flag = `unix://${root}${containerd}`;
    assert.deepEqual(await findEndpoint({ root, flag }), { endpoint: flag, from: '--runtime-endpoint', others: [] });
    assert.equal(bytes, 0);
    void [alone, second];
  });

  it('counts a link to the socket of another path once', async () => {
    await using dir = await tempDir();
    const root = dir.path;
    await using only = await cri(`${root}${k3s}`, answering);
    await mkdir(dirname(`${root}${containerd}`), { recursive: true });
    await symlink(`${root}${k3s}`, `${root}${containerd}`);
    assert.deepEqual((await findEndpoint({ root })).others, []);
    void only;
  });

  it('says what was tried where nothing is there', async () => {
    await using dir = await tempDir();
    await put(`${dir.path}${containerd}`, 'a file is no socket');
    await assert.rejects(findEndpoint({ root: dir.path }), (error) => {
      assert.ok(isSandwardenError(error, 'ERR_SOCKET_MISSING'));
      for (const each of knownSockets) assert.ok(error.hint.includes(each.path), each.path);
      return true;
    });
  });

  it('goes on where a file names no socket, and refuses what is none', async () => {
    await using dir = await tempDir();
    await put(`${dir.path}/etc/crictl.yaml`, 'debug: true\n');
    await assert.rejects(findEndpoint({ root: dir.path }), (error) => isSandwardenError(error, 'ERR_SOCKET_MISSING'));
    await put(`${dir.path}/etc/crictl.yaml`, 'runtime-endpoint: tcp://1.2.3.4:5\n');
    await assert.rejects(findEndpoint({ root: dir.path }), (error) => isSandwardenError(error, 'ERR_CONFIG'));
    await assert.rejects(findEndpoint({ flag: 'x' }), (error) => isSandwardenError(error, 'ERR_USAGE'));
  });

  it('names file and line of a broken one, and refuses a huge one', async () => {
    await using dir = await tempDir();
    await put(`${dir.path}/etc/crictl.yaml`, 'timeout: 2\nruntime-endpoint: [\n');
    await assert.rejects(findEndpoint({ root: dir.path }), (error) => {
      return isSandwardenError(error, 'ERR_CONFIG') && /^\/etc\/crictl\.yaml:[23]: /.test(error.message);
    });
    await put(`${dir.path}/etc/crictl.yaml`, `#${'x'.repeat(1024 * 1024)}`);
    await assert.rejects(findEndpoint({ root: dir.path }), (error) => isSandwardenError(error, 'ERR_CONFIG'));
  });
});

describe('parseCrictlYaml', () => {
  it('throws nothing but ERR_CONFIG', async () => {
    const piece = fc.constantFrom(
      'runtime-endpoint',
      ':',
      ' ',
      '\n',
      '[',
      '{',
      '&a',
      '*a',
      '"',
      "'",
      '|',
      '- ',
      '? ',
      '%',
      '\t',
      'x',
      '!!int',
      '<<',
      '#',
    );
    const text = fc.oneof(
      fc.array(piece, { maxLength: 30 }).map((parts) => parts.join('')),
      fc.string({ unit: 'binary' }),
    );
    await fc.assert(
      fc.asyncProperty(text, async (yaml) => {
        try {
          const endpoint = await parseCrictlYaml(yaml, 'f');
          assert.ok(endpoint === undefined || typeof endpoint === 'string');
        } catch (error) {
          assert.ok(error instanceof SandwardenError && error.code === 'ERR_CONFIG', String(error));
        }
      }),
      runs(1_000),
    );
  });
});

async function socket(path: string, onConnection: (peer: Socket) => void = () => {}): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  return fakeSocket(path, onConnection);
}

async function cri(path: string, handlers: Handlers): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  return fakeCri(path, handlers);
}

function throwing(code: Code, words: string): () => never {
  return () => {
    throw new ConnectError(words, code);
  };
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
