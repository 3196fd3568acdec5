import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, symlink, unlink, writeFile } from 'node:fs/promises';
import * as net from 'node:net';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { registerAsKubelet, startLabDriver } from '../../../lab/csi/driver.ts';
import { known, unknown } from '../../../src/model/observed.ts';
import { observeCsi } from '../../../src/observe/csi/csi.ts';
import { boundIn } from '../../../src/observe/csi/owners.ts';
import { listProcesses } from '../../../src/observe/proc.ts';
import { tempDir } from '../../helpers/temp.ts';

const kubelet = unknown('ERR_NOT_ASKED', 'not asked');

/** The folders of a kubelet below `root`, looked at with the processes of this machine. */
async function look(root: string, timeoutMs = 2_000) {
  // Process 1 of a test machine may be somebody else's, and then nobody can say what it has open.
  const processes = known((await listProcesses()).filter((each) => each.pid !== 1));
  const seen = await observeCsi({ kubelet, processes, root, timeoutMs });
  assert.ok(seen.known);
  return seen.value;
}

/** A directory that stands for the root of a node, with the processes of this machine. */
async function nodeDir() {
  const dir = await tempDir();
  await symlink('/proc', join(dir.path, 'proc'));
  return dir;
}

const kubeletOf = (root: string) => join(root, 'var/lib/kubelet');

describe('a CSI driver that is a process', () => {
  test('says its name and whether it is ready', async () => {
    await using dir = await nodeDir();
    await using driver = await startLabDriver(kubeletOf(dir.path), 'driver.longhorn.io');
    const states: string[] = [];
    for (const mode of ['ready', 'silent-about-it', 'not-ready', 'precondition', 'broken'] as const) {
      await driver.answer(mode);
      const [seen] = (await look(dir.path)).drivers;
      states.push(`${seen?.name} ${seen?.nameFrom} ${seen?.version} ${seen?.state} ${seen?.says}`.trim());
    }
    const who = 'driver.longhorn.io GetPluginInfo 1.0.0-lab';
    assert.deepEqual(states, [
      `${who} ready`,
      `${who} ready`,
      `${who} not-ready Probe: ready is false`,
      `${who} not-ready FailedPrecondition: the backend cannot be reached`,
      `${who} fails Internal: it fell over`,
    ]);
  });

  test('whose Probe hangs is given up at the deadline, and its name is known', async () => {
    await using dir = await nodeDir();
    await using driver = await startLabDriver(kubeletOf(dir.path), 'nfs.csi.k8s.io', 'csi-nfsplugin');
    await driver.answer('hang');
    const [seen] = (await look(dir.path, 300)).drivers;
    assert.equal(seen?.state, 'hangs');
    assert.equal(seen?.says, 'no answer within 0.3 s');
    assert.equal(seen?.name, 'nfs.csi.k8s.io');
    assert.equal(seen?.path, '/var/lib/kubelet/plugins/csi-nfsplugin/csi.sock');
  });

  test('that was killed leaves a dead socket without an owner', async () => {
    await using dir = await nodeDir();
    await using driver = await startLabDriver(kubeletOf(dir.path), 'ebs.csi.aws.com');
    await driver.kill();
    const seen = await look(dir.path);
    const { state, says, owned, name, nameFrom } = seen.drivers[0] ?? {};
    assert.deepEqual(
      { state, says, owned, name, nameFrom },
      {
        state: 'refuses',
        says: 'ECONNREFUSED',
        owned: false,
        name: 'ebs.csi.aws.com',
        nameFrom: 'folder',
      },
    );
    assert.equal(seen.registrations[0]?.state, 'refuses');
    assert.equal(seen.registrations[0]?.owned, false);
  });

  test('is registered by kubelet’s protocol, and looking at it does not pretend that', async () => {
    await using dir = await nodeDir();
    await using driver = await startLabDriver(kubeletOf(dir.path), 'org.democratic-csi.nfs');
    const seen = await look(dir.path);
    assert.equal(seen.registrations[0]?.state, 'accepts');
    assert.equal(driver.did.includes('asked-for-info'), false);
    const { name, endpoint } = await registerAsKubelet(driver.registration);
    assert.deepEqual({ name, endpoint }, { name: 'org.democratic-csi.nfs', endpoint: driver.socket });
    assert.deepEqual(driver.did.slice(-2), ['asked-for-info', 'registered']);
  });
});

describe('sockets in the plugin folders', () => {
  test('are found two levels deep; links, files, hidden names and staged volumes are not', async () => {
    await using dir = await nodeDir();
    const plugins = join(kubeletOf(dir.path), 'plugins');
    await mkdir(join(plugins, 'kubernetes.io'), { recursive: true });
    await mkdir(join(plugins, 'a/b'), { recursive: true });
    await using servers = new AsyncDisposableStack();
    for (const path of ['direct.sock', 'a/csi.sock', 'a/b/deep.sock', 'a/.hidden.sock', 'kubernetes.io/staged.sock']) {
      servers.use(await listen(join(plugins, path)));
    }
    await writeFile(join(plugins, 'a/file.sock'), '');
    await symlink(join(plugins, 'a/csi.sock'), join(plugins, 'a/link.sock'));
    await symlink(join(plugins, 'a'), join(plugins, 'linked'));
    const seen = await look(dir.path, 200);
    assert.deepEqual(
      seen.drivers.map((each) => each.path.slice('/var/lib/kubelet/plugins/'.length)),
      ['direct.sock', 'a/csi.sock'],
    );
    assert.deepEqual(seen.kubeletDirs, ['/var/lib/kubelet']);
  });

  test('are found in `csi-plugins/` too, where some drivers keep theirs', async () => {
    await using dir = await nodeDir();
    const folder = join(kubeletOf(dir.path), 'csi-plugins/csi.juicefs.com');
    await mkdir(folder, { recursive: true });
    await using _server = await listen(join(folder, 'csi.sock'));
    const [seen] = (await look(dir.path, 200)).drivers;
    assert.equal(seen?.path, '/var/lib/kubelet/csi-plugins/csi.juicefs.com/csi.sock');
    assert.equal(seen?.name, 'csi.juicefs.com');
  });

  test('of a name that another process listens on are not taken for owned by it', async () => {
    await using dir = await nodeDir();
    await using alive = await startLabDriver(kubeletOf(dir.path), 'alive.example');
    await using dead = await startLabDriver(kubeletOf(dir.path), 'dead.example');
    await dead.kill();
    // A program of another test that opens a socket of this name during the look leaves it open whose this one is.
    let seen = await look(dir.path);
    for (let again = 0; again < 20 && seen.drivers[1]?.owned === undefined; again++) seen = await look(dir.path);
    assert.deepEqual(
      seen.drivers.map((each) => [each.name, each.state, each.owned]),
      [
        ['alive.example', 'ready', undefined],
        ['dead.example', 'refuses', false],
      ],
    );
    assert.equal(alive.did.includes('probed'), true);
  });

  test('that are bound and do not listen yet have an owner', async () => {
    await using dir = await nodeDir();
    const folder = join(kubeletOf(dir.path), 'plugins_registry');
    await mkdir(folder, { recursive: true });
    await using socket = await bindOnly(join(folder, 'slow-reg.sock'));
    const [seen] = (await look(dir.path)).registrations;
    assert.equal(seen?.state, 'refuses');
    assert.equal(seen?.owned, true);
    assert.equal(seen?.owner?.pid, socket.pid);
  });

  test('that say nothing, or something else, are told apart', async () => {
    await using dir = await nodeDir();
    const folder = join(kubeletOf(dir.path), 'plugins/x');
    await mkdir(folder, { recursive: true });
    await using mute = await listen(join(folder, 'a-mute.sock'));
    await using rude = await listen(join(folder, 'b-rude.sock'), (peer) => peer.destroy());
    await using other = await listen(join(folder, 'c-http1.sock'), (peer) => peer.end('HTTP/1.1 400 Bad\r\n\r\n'));
    assert.ok(mute && rude && other);
    const states = (await look(dir.path, 300)).drivers.map((each) => `${each.state}: ${each.says}`);
    assert.deepEqual(states, [
      'hangs: no answer within 0.3 s',
      'fails: it closed the connection before it said anything',
      'fails: what listens there does not speak gRPC',
    ]);
  });

  test('where kubelet has no folders, there is nothing to see', async () => {
    await using dir = await nodeDir();
    assert.deepEqual(await look(dir.path), { kubeletDirs: [], drivers: [], registrations: [], truncated: false });
  });
});

test('whose owner nobody can look for is not called ownerless', async () => {
  await using dir = await nodeDir();
  await using driver = await startLabDriver(kubeletOf(dir.path), 'ebs.csi.aws.com');
  await driver.kill();
  const seen = await observeCsi({ kubelet, processes: unknown('ERR_NOT_SUPPORTED', 'no /proc'), root: dir.path });
  assert.ok(seen.known);
  assert.equal(seen.value.drivers[0]?.state, 'refuses');
  assert.equal(seen.value.drivers[0]?.owned, undefined);
});

test('the entries of /proc/net/unix are told by the name of their file', () => {
  const unix = [
    'Num       RefCount Protocol Flags    Type St Inode Path',
    '0000000000000000: 00000002 00000000 00010000 0001 01 11 /csi/csi.sock',
    '0000000000000000: 00000002 00000000 00000000 0001 01 12 /registration/a b-reg.sock',
    '0000000000000000: 00000002 00000000 00010000 0001 01 13 @abstract/csi.sock',
    '0000000000000000: 00000003 00000000 00000000 0001 03 14',
  ].join('\n');
  const found = boundIn(unix, new Set(['csi.sock', 'a b-reg.sock']));
  assert.deepEqual(
    [...found],
    [
      ['11', '/csi/csi.sock'],
      ['12', '/registration/a b-reg.sock'],
    ],
  );
});

async function listen(path: string, onPeer: (peer: net.Socket) => void = () => {}) {
  const peers = new Set<net.Socket>();
  const server = net.createServer((peer) => {
    peers.add(peer);
    peer.on('error', () => peer.destroy());
    onPeer(peer);
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const peer of peers) peer.destroy();
      await closed;
    },
  };
}

/** A socket between bind(2) and listen(2), held by a process of its own. */
async function bindOnly(path: string) {
  const program =
    'import socket,sys; s=socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); print(1,flush=True); sys.stdin.read()';
  const child = spawn('python3', ['-c', program, path], { stdio: ['pipe', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  return {
    pid: child.pid,
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'exit');
      child.stdin.end();
      await ended;
      await unlink(path);
    },
  };
}
