// Goal: the socket is chosen in the documented order, and the choice says where it came from.
// Method: a root directory of the test's own with sockets that live, are dead, or are files.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { isSandwardenError, SandwardenError } from '../../src/model/errors.ts';
import { findEndpoint, knownSockets, parseCrictlYaml } from '../../src/observe/endpoint.ts';
import { fakeSocket } from '../helpers/fake-cri.ts';
import { runs } from '../helpers/fuzz.ts';
import { tempDir } from '../helpers/temp.ts';

const [containerd, k3s] = knownSockets.map((each) => each.path);

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
    await using second = await socket(`${root}${k3s}`);
    await using third = await socket(`${root}/run/crio/crio.sock`);
    const found = await findEndpoint({ root });
    assert.deepEqual([found.endpoint, found.others], [`unix://${root}${k3s}`, [`unix://${root}/run/crio/crio.sock`]]);
    void second;
    void third;
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

async function socket(path: string): Promise<AsyncDisposable> {
  await mkdir(dirname(path), { recursive: true });
  return fakeSocket(path, () => {});
}

async function put(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
}
