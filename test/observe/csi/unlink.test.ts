import assert from 'node:assert/strict';
import { mkdir, rename, symlink, unlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { type LabDriver, startLabDriver } from '../../../lab/csi/driver.ts';
import { readDriver, readRegistration, unlinkDeadSocket } from '../../../src/observe/csi/sockets.ts';
import { exists } from '../../../src/observe/read-file.ts';
import { tempDir } from '../../helpers/temp.ts';

const registration = '/var/lib/kubelet/plugins_registry/ebs.csi.aws.com-reg.sock';

/** The root of a node with a driver that is a process; /proc is that of this machine without its process 1. */
async function nodeWithDriver() {
  const dir = await tempDir();
  await mkdir(join(dir.path, 'proc'));
  for (const pid of [process.pid, process.ppid]) {
    await symlink(`/proc/${pid}`, join(dir.path, 'proc', String(pid)));
  }
  const driver = await startLabDriver(join(dir.path, 'var/lib/kubelet'), 'ebs.csi.aws.com');
  await symlink(`/proc/${driver.pid}`, join(dir.path, 'proc', String(driver.pid)));
  return {
    root: dir.path,
    driver,
    [Symbol.asyncDispose]: async () => {
      await driver.kill();
      await dir[Symbol.asyncDispose]();
    },
  };
}

async function idOf(root: string) {
  const { device, inode } = (await readRegistration(registration, root)) ?? { device: '', inode: '' };
  return { device, inode };
}

describe('a registration socket', () => {
  test('that is dead goes', async () => {
    await using node = await nodeWithDriver();
    await node.driver.kill();
    const id = await idOf(node.root);
    assert.equal(await unlinkDeadSocket(registration, id, node.root), 'removed');
    assert.equal(await exists(node.driver.registration), false);
    assert.equal(await unlinkDeadSocket(registration, id, node.root), 'gone');
  });

  test('that accepts connections stays, and goes on to work', async () => {
    await using node = await nodeWithDriver();
    assert.equal(await unlinkDeadSocket(registration, await idOf(node.root), node.root), 'changed');
    assert.equal((await readRegistration(registration, node.root))?.state, 'accepts');
  });

  test('that came anew under the same name stays', async () => {
    await using node = await nodeWithDriver();
    await node.driver.kill();
    const id = await idOf(node.root);
    await using again: LabDriver = await startLabDriver(join(node.root, 'var/lib/kubelet'), 'ebs.csi.aws.com');
    assert.ok(again.pid > 0);
    assert.equal(await unlinkDeadSocket(registration, id, node.root), 'changed');
    assert.equal(await exists(again.registration), true);
  });

  test('is never removed through a link, nor is what is no socket', async () => {
    await using node = await nodeWithDriver();
    await node.driver.kill();
    const id = await idOf(node.root);
    const folder = dirname(node.driver.registration);
    await rename(folder, `${folder}.real`);
    await symlink(`${folder}.real`, folder);
    assert.equal(await unlinkDeadSocket(registration, id, node.root), 'changed');
    assert.equal(await exists(join(`${folder}.real`, 'ebs.csi.aws.com-reg.sock')), true);
    await unlink(folder);
    await rename(`${folder}.real`, folder);
    await unlink(node.driver.registration);
    await writeFile(node.driver.registration, 'not a socket');
    assert.equal(await unlinkDeadSocket(registration, id, node.root), 'gone');
    assert.equal(await exists(node.driver.registration), true);
  });
});

test('a driver is asked anew each time', async () => {
  await using node = await nodeWithDriver();
  const path = '/var/lib/kubelet/plugins/ebs.csi.aws.com/csi.sock';
  assert.equal((await readDriver(path, node.root))?.state, 'ready');
  await node.driver.answer('not-ready');
  assert.equal((await readDriver(path, node.root))?.state, 'not-ready');
  await node.driver.kill();
  assert.equal((await readDriver(path, node.root))?.state, 'refuses');
  await unlink(node.driver.socket);
  assert.equal(await readDriver(path, node.root), undefined);
});
