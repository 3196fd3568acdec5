// Goal: files of root's are replaced in whole, where they are and as they were owned, and nothing is followed or
// written that others could have put in the way. Method: real folders, as the root of a tree.
import assert from 'node:assert/strict';
import { chmod, chown, link, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { changesHere, unitIn } from '../../src/cli/node-changes.ts';
import { sha256Of } from '../../src/heal/backups.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import type { Run } from '../../src/observe/child.ts';
import { tempDir } from '../helpers/temp.ts';

const config = '/etc/containerd/config.toml';
const isRoot = process.geteuid?.() === 0;
const owner = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };

async function tree(run: Run = () => Promise.resolve({ stdout: '', stderr: '' })) {
  const folder = await tempDir();
  const put = async (path: string, text: string, mode = 0o644) => {
    await mkdir(dirname(folder.join(path)), { recursive: true });
    await writeFile(folder.join(path), text);
    await chmod(folder.join(path), mode);
  };
  const changes = changesHere({
    cri: { status: () => Promise.resolve({ conditions: [], info: {} }) },
    readIdentity: () => Promise.resolve({}),
    root: folder.path,
    run,
  });
  return { folder, put, changes, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() };
}

describe('a file', () => {
  test('what stands there: content, hash, mode and owner; and what has to be made where nothing does', async () => {
    await using at = await tree();
    await at.put(config, 'version = 2\n', 0o640);
    const now = await at.changes.fileNow(config);
    assert.deepEqual(now, {
      kind: 'file',
      content: Buffer.from('version = 2\n'),
      identity: { sha256: sha256Of('version = 2\n'), mode: 0o640, ...owner },
    });
    assert.deepEqual(await at.changes.fileNow('/etc/containerd/a/b/c.toml'), {
      kind: 'nothing',
      missing: ['/etc/containerd/a', '/etc/containerd/a/b'],
    });
  });

  test('a link, a folder, a second name, and a folder where others may write are not ours to change', async () => {
    await using at = await tree();
    await at.put(config, 'x');
    await symlink('config.toml', at.folder.join('/etc/containerd/link.toml'));
    await link(at.folder.join(config), at.folder.join('/etc/containerd/hard.toml'));
    await mkdir(at.folder.join('/etc/open'));
    await chmod(at.folder.join('/etc/open'), 0o777);
    const whyOf = async (path: string) => {
      const now = await at.changes.fileNow(path);
      return now.kind === 'other' ? now.why : now.kind;
    };
    assert.match(await whyOf('/etc/containerd/link.toml'), /it is a link to config\.toml/);
    assert.match(await whyOf('/etc/containerd/hard.toml'), /second name/);
    assert.match(await whyOf('/etc/containerd'), /no regular file/);
    assert.match(await whyOf('/etc/open/x.toml'), /others may write/);
    await assert.rejects(
      at.changes.replaceFile('/etc/open/x.toml', { content: Buffer.from('x'), mode: 0o644, ...owner }, []),
      (error) => isSandwardenError(error, 'ERR_FORBIDDEN'),
    );
  });

  test('replaced in whole: mode and owner as asked, no draft left, another file than before', async () => {
    await using at = await tree();
    await at.put(config, 'old');
    const before = await stat(at.folder.join(config));
    const as = isRoot ? { uid: 12, gid: 34 } : owner;
    await at.changes.replaceFile(config, { content: Buffer.from('new'), mode: 0o600, ...as }, []);
    const after = await stat(at.folder.join(config));
    assert.deepEqual([after.mode & 0o7777, after.uid, after.gid], [0o600, as.uid, as.gid]);
    assert.notEqual(after.ino, before.ino);
    assert.equal(await readFile(at.folder.join(config), 'utf8'), 'new');
    assert.deepEqual(await readdir(at.folder.join('/etc/containerd')), ['config.toml']);
  });

  test('a new one with its folders, and both gone again; a folder that holds something stays', async () => {
    await using at = await tree();
    await at.put(config, 'x');
    const [file, made] = ['/etc/containerd/a/b/c.toml', ['/etc/containerd/a', '/etc/containerd/a/b']];
    await at.changes.replaceFile(file, { content: Buffer.from('c'), mode: 0o644, ...owner }, made);
    assert.equal(await readFile(at.folder.join(file), 'utf8'), 'c');
    await at.put('/etc/containerd/a/mine', 'x');
    await at.changes.replaceFile(file, undefined, []);
    await at.changes.removeFolders(made);
    assert.deepEqual(await readdir(at.folder.join('/etc/containerd/a')), ['mine']);
  });

  test('what a crash left beside it is taken away, and nothing else', async () => {
    await using at = await tree();
    await at.put(config, 'x');
    await at.put('/etc/containerd/.sandwarden.0123456789ab', 'half');
    await at.put('/etc/containerd/.sandwarden.mine', 'stays');
    await at.changes.sweep(config);
    assert.deepEqual(await readdir(at.folder.join('/etc/containerd')), ['.sandwarden.mine', 'config.toml']);
  });

  test('an owner that may not be set: nothing changes', { skip: isRoot ? 'root may' : false }, async () => {
    await using at = await tree();
    await at.put(config, 'old');
    await assert.rejects(
      at.changes.replaceFile(config, { content: Buffer.from('n'), mode: 0o600, uid: 0, gid: 0 }, []),
    );
    assert.equal(await readFile(at.folder.join(config), 'utf8'), 'old');
    await chown(at.folder.join(config), owner.uid, owner.gid);
  });
});

describe('units', () => {
  test('what is asked of systemctl, and no name that could be an option', async () => {
    const calls: string[] = [];
    const run: Run = (argv) => {
      calls.push(argv.join(' '));
      return Promise.resolve({ stdout: 'AllowedCPUs=0-3\n', stderr: '' });
    };
    await using at = await tree(run);
    assert.equal(await at.changes.readProperty('kubepods.slice', 'AllowedCPUs'), '0-3');
    await at.changes.setProperty('kubepods-podx.slice', 'AllowedCPUs', '0-3');
    await at.changes.reloadUnits();
    assert.deepEqual(calls, [
      'systemctl show --property=AllowedCPUs -- kubepods.slice',
      'systemctl set-property --runtime -- kubepods-podx.slice AllowedCPUs=0-3',
      'systemctl daemon-reload',
    ]);
    await assert.rejects(at.changes.readProperty('-H root@x', 'After'), (error) => isSandwardenError(error));
  });

  test('a property that systemd does not have is not one that is empty', async () => {
    const shows =
      (stdout: string): Run =>
      () =>
        Promise.resolve({ stdout, stderr: '' });
    await using old = await tree(shows(''));
    await assert.rejects(old.changes.readProperty('kubepods.slice', 'AllowedCPUs'), (error) =>
      isSandwardenError(error, 'ERR_NOT_SUPPORTED'),
    );
    await using now = await tree(shows('AllowedCPUs=\n'));
    assert.equal(await now.changes.readProperty('kubepods.slice', 'AllowedCPUs'), '');
  });

  test('the unit of a process, on v2, on v1, and of one in none', () => {
    assert.equal(unitIn('0::/runtime.slice/kubelet.service\n'), 'kubelet.service');
    assert.equal(unitIn('12:memory:/x\n1:name=systemd:/system.slice/k3s.service/sub\n'), 'k3s.service');
    assert.equal(unitIn('0::/user.slice/session-1.scope\n'), undefined);
  });
});

test('config dump without a program that may be run: it is not known, and nothing is made up', async () => {
  await using at = await tree();
  assert.ok('unknown' in (await at.changes.dumpConfig(config)));
});
