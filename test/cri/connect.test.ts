// Goal: whatever stands behind the socket, a call gives the exact answer or the one error that says what to do.
// Method: fake sockets of each kind, and a CRI server of the same descriptors with programmed handlers.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { create } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import { connectCri, socketPath } from '../../src/cri/connect.ts';
import {
  CgroupDriver,
  ContainerEventType,
  type CreateContainerRequest,
  NamespaceMode,
  type RunPodSandboxRequest,
  RunPodSandboxResponseSchema,
} from '../../src/cri/gen/runtime/v1/runtime_pb.js';
import type { CriRunner } from '../../src/cri/types.ts';
import { type ErrorCode, isSandwardenError, SandwardenError } from '../../src/model/errors.ts';
import { leaveDeadSocket } from '../helpers/dead-socket.ts';
import { fakeCri, fakeSocket, type Handlers, listen } from '../helpers/fake-cri.ts';
import { tempDir } from '../helpers/temp.ts';

const settingsFrame = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

describe('an endpoint that is no CRI', () => {
  it('is missing', async () => {
    await using dir = await tempDir();
    await refuses(dir.join('none.sock'), 'ERR_SOCKET_MISSING');
  });

  it('is a socket nobody listens on, as after a SIGKILL of the daemon', async () => {
    await using dir = await tempDir();
    const path = dir.join('dead.sock');
    await leaveDeadSocket(path);
    await refuses(path, 'ERR_SOCKET_REFUSED');
  });

  it('is no socket at all: a file, a folder', async () => {
    await using dir = await tempDir();
    await writeFile(dir.join('file'), '');
    await refuses(dir.join('file'), 'ERR_SOCKET_NOT_CRI');
    await refuses(dir.path, 'ERR_SOCKET_NOT_CRI');
  });

  it('accepts and says nothing', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('s'), () => {});
    await refuses(dir.join('s'), 'ERR_SOCKET_HUNG');
  });

  it('greets and says nothing more: the deadline of the call', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('s'), (socket) => socket.write(settingsFrame));
    await refuses(dir.join('s'), 'ERR_SOCKET_HUNG');
  });

  it('hangs up at once', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('s'), (socket) => socket.destroy());
    await refuses(dir.join('s'), 'ERR_SOCKET_NOT_CRI');
  });

  it('hangs up and leaves our preface unread', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('s'), (socket) => {
      socket.pause();
      setImmediate(() => socket.destroy());
    });
    await refuses(dir.join('s'), 'ERR_SOCKET_NOT_CRI', /closed the connection before it said anything/);
  });

  it('hangs up after our preface', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('s'), (socket) => socket.once('data', () => socket.end()));
    await refuses(dir.join('s'), 'ERR_SOCKET_NOT_CRI');
  });

  it('is cut in the middle of a call', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('s'), (socket) => {
      socket.write(settingsFrame);
      socket.on('data', (data) =>
        data.includes('runtime.v1') || socket.bytesRead > 120 ? socket.destroy() : undefined,
      );
    });
    await refuses(dir.join('s'), 'ERR_CRI_FAILED');
  });

  it('writes garbage', async () => {
    await using dir = await tempDir();
    await using _ = await fakeSocket(dir.join('s'), (socket) => socket.write('A'.repeat(500)));
    await refuses(dir.join('s'), 'ERR_SOCKET_NOT_CRI');
  });

  it('speaks HTTP/1.1, as docker.sock does', async () => {
    await using dir = await tempDir();
    await using _ = await listen(
      http.createServer((_request, response) => response.end('hi')),
      dir.join('s'),
    );
    await refuses(dir.join('s'), 'ERR_SOCKET_NOT_CRI');
  });

  it('speaks HTTP/2 and no gRPC', async () => {
    await using dir = await tempDir();
    for (const [status, type] of [
      [200, 'text/html'],
      [404, 'text/plain'],
      [200, 'application/grpc'],
    ] as const) {
      const server = http2.createServer((_request, response) => {
        response.writeHead(status, { 'content-type': type });
        response.end();
      });
      await using _ = await listen(server, dir.join('s'));
      await refuses(dir.join('s'), 'ERR_SOCKET_NOT_CRI');
    }
  });

  it('answers with bytes that are no message', async () => {
    await using dir = await tempDir();
    const server = http2.createServer((_request, response) => {
      response.writeHead(200, { 'content-type': 'application/grpc' });
      response.end(Buffer.from([0, 0, 0, 0, 3, 255, 255, 255]));
    });
    await using _ = await listen(server, dir.join('s'));
    await refuses(dir.join('s'), 'ERR_SOCKET_NOT_CRI');
  });

  it('is gRPC without CRI v1: too old, or the plugin is disabled', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('s'), {
      version: throwing(Code.Unimplemented, 'unknown service runtime.v1.RuntimeService'),
    });
    await refuses(dir.join('s'), 'ERR_SOCKET_NOT_CRI', /disabled_plugins/);
  });
});

describe('the words of a runtime', () => {
  const cases: [Code, string, ErrorCode][] = [
    [Code.Unknown, 'server is not initialized yet', 'ERR_RUNTIME_NOT_READY'],
    [Code.Unavailable, 'server is not initialized yet', 'ERR_RUNTIME_NOT_READY'],
    [Code.NotFound, 'an error occurred when try to find sandbox: not found', 'ERR_CRI_NOT_FOUND'],
    [Code.Unknown, 'an error occurred when try to find sandbox: not found', 'ERR_CRI_NOT_FOUND'],
    [Code.Unknown, 'could not find pod "abc": pod sandbox abc does not exist', 'ERR_CRI_NOT_FOUND'],
    [Code.Unknown, 'failed to destroy network for sandbox "a": cni plugin not initialized', 'ERR_CRI_FAILED'],
    [Code.Unknown, 'executable "x" not found in $PATH', 'ERR_CRI_FAILED'],
    [Code.Unimplemented, 'unknown method Version for service runtime.v1.RuntimeService', 'ERR_CRI_UNIMPLEMENTED'],
    [Code.Internal, 'disk on fire', 'ERR_CRI_FAILED'],
    [Code.DeadlineExceeded, 'context deadline exceeded', 'ERR_SOCKET_HUNG'],
  ];
  for (const [code, words, expected] of cases) {
    it(`${Code[code]}: ${words}`, async () => {
      await using dir = await tempDir();
      await using _ = await fakeCri(dir.join('s'), { podSandboxStatus: throwing(code, words) });
      await withCri(dir.join('s'), async (cri) => {
        await assert.rejects(cri.sandboxStatus('x'), (error) => isSandwardenError(error, expected));
      });
    });
  }

  it('are shown without what a terminal obeys', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('s'), { version: throwing(Code.Internal, 'a\u001b[31mred\u202e') });
    await refuses(dir.join('s'), 'ERR_CRI_FAILED', /^(?!.*\p{Cc}).*a\\x1b\[31mred/u);
  });
});

describe('answers', () => {
  it('keep 64-bit times exact and only the annotation that is wanted', async () => {
    await using dir = await tempDir();
    const item = {
      id: 'a1',
      metadata: { name: 'web', namespace: 'default', uid: 'u1', attempt: 4_294_967_295 },
      state: 1,
      createdAt: 1_795_291_147_528_121_149n,
      annotations: { 'kubernetes.io/config.source': 'file', secret: 'x' },
    };
    await using _ = await fakeCri(dir.join('s'), {
      listPodSandbox: () => ({ items: [item, { ...item, id: 'a2', createdAt: -62_135_596_800_000_000_000n / 10n }] }),
    });
    await withCri(dir.join('s'), async (cri) => {
      const [first, second] = await cri.listSandboxes();
      assert.deepEqual(first, {
        id: 'a1',
        name: 'web',
        namespace: 'default',
        uid: 'u1',
        attempt: 4_294_967_295,
        state: 'notready',
        createdAtNs: 1_795_291_147_528_121_149n,
        runtimeHandler: '',
        configSource: 'file',
      });
      assert.equal(second?.createdAtNs, -6_213_559_680_000_000_000n);
    });
  });

  it('are filtered by pod and sandbox on the runtime’s side', async () => {
    await using dir = await tempDir();
    const seen: unknown[] = [];
    await using _ = await fakeCri(dir.join('s'), {
      listPodSandbox({ filter }) {
        seen.push([filter?.id, filter?.labelSelector]);
        return {};
      },
      listContainers({ filter }) {
        seen.push([filter?.podSandboxId, filter?.labelSelector]);
        return {};
      },
    });
    await withCri(dir.join('s'), async (cri) => {
      await cri.listSandboxes({ podUid: 'u', id: 'i' });
      await cri.listContainers({ sandboxId: 's' });
    });
    assert.deepEqual(seen, [
      ['i', { 'io.kubernetes.pod.uid': 'u' }],
      ['s', {}],
    ]);
  });

  it('of a runtime without RuntimeConfig give no cgroup driver, with it the driver', async () => {
    await using dir = await tempDir();
    const drivers: (string | undefined)[] = [];
    for (const handlers of [{}, { runtimeConfig: () => ({ linux: { cgroupDriver: CgroupDriver.CGROUPFS } }) }]) {
      await using _ = await fakeCri(dir.join('s'), {
        runtimeConfig: throwing(
          Code.Unimplemented,
          'unknown method RuntimeConfig for service runtime.v1.RuntimeService',
        ),
        ...handlers,
      });
      await withCri(dir.join('s'), async (cri) => drivers.push(await cri.cgroupDriver()));
    }
    assert.deepEqual(drivers, [undefined, 'cgroupfs']);
  });

  it('of ten thousand sandboxes arrive whole', async () => {
    await using dir = await tempDir();
    const items = Array.from({ length: 10_000 }, (_, i) => ({
      id: String(i),
      metadata: { name: `pod-${i}`, namespace: 'n', uid: `u${i}` },
      annotations: { big: 'x'.repeat(600) },
    }));
    await using _ = await fakeCri(dir.join('s'), { listPodSandbox: () => ({ items }) });
    await withCri(dir.join('s'), async (cri) => assert.equal((await cri.listSandboxes()).length, 10_000));
  });

  it('over the limit are refused with a reason', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('s'), {
      version: () => ({ runtimeName: 'x'.repeat(65 * 1024 * 1024) }),
    });
    await refuses(dir.join('s'), 'ERR_CRI_FAILED', /too large/, 10_000);
  });

  it('without what CRI demands are typed errors or safe defaults', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('s'), {
      listPodSandbox: ({ filter }) => ({ items: [{ id: filter?.id ?? '', state: 7 as 0 }] }),
      podSandboxStatus: () => ({}),
      containerStatus: () => ({}),
    });
    await withCri(dir.join('s'), async (cri) => {
      await assert.rejects(cri.listSandboxes(), (error) => isSandwardenError(error, 'ERR_CRI_FAILED'));
      await assert.rejects(cri.sandboxStatus('x'), (error) => isSandwardenError(error, 'ERR_CRI_FAILED'));
      await assert.rejects(cri.containerStatus('x'), (error) => isSandwardenError(error, 'ERR_CRI_FAILED'));
      const [only] = await cri.listSandboxes({ id: 'z' });
      assert.equal(only?.uid, '?z');
      assert.equal(only?.state, 'ready');
    });
  });
});

describe('the connection', () => {
  it('is made again after the runtime restarted', async () => {
    await using dir = await tempDir();
    const cri = connectCri(dir.join('s'));
    for (const name of ['one', 'two']) {
      await using _ = await fakeCri(dir.join('s'), { version: () => ({ runtimeName: name }) });
      assert.equal((await cri.version()).runtimeName, name);
    }
    cri.close();
    await assert.rejects(cri.version(), (error) => isSandwardenError(error, 'ERR_CRI_FAILED'));
  });

  it('does not keep the process alive while it is idle', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('s'), { version: () => ({ runtimeName: 'fake' }) });
    const program = `import { connectCri } from ${JSON.stringify(new URL('../../src/cri/connect.ts', import.meta.url).href)};
      console.log((await connectCri(${JSON.stringify(dir.join('s'))}).version()).runtimeName);`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program], {
      timeout: 15_000,
    });
    assert.equal(stdout.trim(), 'fake');
  });

  it('gives events until it is told to stop', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('s'), {
      async *getContainerEvents(_request, context) {
        yield { containerId: 'c', containerEventType: ContainerEventType.CONTAINER_STOPPED_EVENT, createdAt: 5n };
        await new Promise((resolve) => context.signal.addEventListener('abort', resolve));
      },
    });
    await withCri(dir.join('s'), async (cri) => {
      const stop = new AbortController();
      const seen = [];
      for await (const event of cri.events(stop.signal)) {
        seen.push(event);
        stop.abort();
      }
      assert.deepEqual(seen, [{ id: 'c', type: 'stopped', atNs: 5n }]);
    });
  });
});

describe('what a kubelet writes', () => {
  it('has kubelet’s labels, namespaces and restart count', async () => {
    await using dir = await tempDir();
    let run: RunPodSandboxRequest | undefined;
    let made: CreateContainerRequest | undefined;
    await using _ = await fakeCri(dir.join('s'), {
      runPodSandbox(request) {
        run = request;
        return create(RunPodSandboxResponseSchema, { podSandboxId: 'sb' });
      },
      createContainer(request) {
        made = request;
        return { containerId: 'ct' };
      },
    });
    const sandbox = { name: 'web', namespace: 'default', uid: 'u', attempt: 2, hostNetwork: true };
    await withCri(dir.join('s'), async (cri) => {
      assert.equal(await cri.runSandbox(sandbox), 'sb');
      const spec = { sandboxId: 'sb', sandbox, name: 'c', attempt: 3, image: 'i', command: ['sleep', '1'] };
      assert.equal(await cri.createContainer(spec), 'ct');
    });
    const options = run?.config?.linux?.securityContext?.namespaceOptions;
    assert.deepEqual([options?.network, options?.pid], [NamespaceMode.NODE, NamespaceMode.CONTAINER]);
    assert.equal(run?.config?.labels['io.kubernetes.pod.uid'], 'u');
    assert.equal(run?.config?.metadata?.attempt, 2);
    assert.equal(made?.config?.labels['io.kubernetes.container.name'], 'c');
    assert.equal(made?.config?.annotations['io.kubernetes.container.restartCount'], '3');
    assert.deepEqual(made?.config?.command, ['sleep', '1']);
  });
});

describe('socketPath', () => {
  it('takes the three forms and refuses the rest', () => {
    assert.deepEqual(['unix:///a/b', 'unix:/a/b', '/a/b'].map(socketPath), ['/a/b', '/a/b', '/a/b']);
    for (const bad of ['', 'a/b', 'unix://a', 'tcp://x:1', 'npipe:////./x', `/${'a'.repeat(107)}`, '/a\0b']) {
      assert.throws(
        () => socketPath(bad),
        (error) => isSandwardenError(error, 'ERR_USAGE'),
        bad,
      );
    }
  });
});

async function withCri(path: string, use: (cri: CriRunner) => Promise<unknown>, timeoutMs = 5_000): Promise<void> {
  const cri = connectCri(`unix://${path}`, { readTimeoutMs: timeoutMs });
  try {
    await use(cri);
  } finally {
    cri.close();
  }
}

/** Two calls, since the second meets what the first left behind. */
async function refuses(path: string, code: ErrorCode, says = /./, timeoutMs = 300): Promise<void> {
  const cri = connectCri(path, { readTimeoutMs: timeoutMs, connectTimeoutMs: 150 });
  for (const _ of [1, 2]) {
    const error: unknown = await cri.version().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    assert.ok(error instanceof SandwardenError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(`${error.message} ${error.hint}`, says);
    assert.ok(error.cause !== undefined && error.hint.length > 0);
  }
  cri.close();
}

function throwing(
  code: Code,
  words: string,
): NonNullable<Handlers['version'] & Handlers['podSandboxStatus'] & Handlers['runtimeConfig']> {
  return () => {
    throw new ConnectError(words, code);
  };
}
