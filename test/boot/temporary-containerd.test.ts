import assert from 'node:assert/strict';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { labAvailable } from '../../lab/available.ts';
import { layout } from '../../lab/daemon.ts';
import { installed } from '../../lab/install.ts';
import { realRig } from '../../lab/rig.ts';
import { until } from '../../lab/run.ts';
import { startTemporaryContainerd } from '../../src/boot/temporary-containerd.ts';
import { connectCri } from '../../src/cri/connect.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { systemClock } from '../../src/observe/clock.ts';
import { tempDir } from '../helpers/temp.ts';

const clock = systemClock();
const lab = await labAvailable(['1.7']);

/** k3s' folders in `folder`, with this script as its containerd. */
function k3sIn(folder: string, script: string): string {
  const bin = join(folder, 'data/current/bin');
  for (const each of [bin, join(folder, 'agent/etc/containerd')]) mkdirSync(each, { recursive: true });
  writeFileSync(join(bin, 'containerd'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(bin, 'containerd'), 0o755);
  writeFileSync(join(folder, 'agent/etc/containerd/config.toml'), '');
  return folder;
}

test('it is started with the root, the state and the configuration of k3s, and ends when asked', async () => {
  await using dir = await tempDir();
  const dataDir = k3sIn(
    dir.path,
    `trap 'exit 0' TERM; echo "$PATH $*" >"${dir.path}/args"; while :; do sleep 0.05; done`,
  );
  const containerd = await startTemporaryContainerd({ dataDir, clock, socketDir: dir.path });
  const args = await until('it has started', 5_000, async () => {
    const text = existsSync(dir.join('args')) ? readFileSync(dir.join('args'), 'utf8') : '';
    return text.endsWith('\n') ? text : undefined;
  });
  containerd.check();
  assert.match(containerd.lacks ?? '', /no CNI configuration/);
  await containerd.stop();
  assert.ok(args.startsWith(`${dataDir}/data/current/bin:`));
  const agent = `${dataDir}/agent`;
  const flags = `-c ${agent}/etc/containerd/config.toml -a ${dir.path}/containerd.sock --state /run/k3s/containerd`;
  assert.ok(args.endsWith(`${flags} --root ${agent}/containerd\n`), args);
  assert.throws(() => containerd.check(), /ended/);
});

test('what does not end by SIGTERM is killed; what ended by itself is told with its last words', async () => {
  await using dir = await tempDir();
  const stubborn = k3sIn(dir.join('a'), `trap '' TERM; : >"${dir.path}/up"; while :; do sleep 0.05; done`);
  const soon = { ...clock, sleep: async (_: number, signal?: AbortSignal) => clock.sleep(50, signal) };
  const one = await startTemporaryContainerd({ dataDir: stubborn, clock: soon, socketDir: dir.path });
  await until('it has started', 5_000, async () => existsSync(dir.join('up')) || undefined);
  await one.stop();
  const fatal = k3sIn(dir.join('b'), `echo 'time="…" level=fatal msg="name is reserved"' >&2; exit 1`);
  const other = await startTemporaryContainerd({ dataDir: fatal, clock, socketDir: dir.path });
  const told = await until('it has ended by itself', 5_000, async () => {
    try {
      other.check();
      return undefined;
    } catch (error) {
      return error;
    }
  });
  await other.stop();
  assert.ok(isSandwardenError(told, 'ERR_RUNTIME_NOT_READY'));
  assert.match(told.message, /name is reserved/);
});

test('where k3s never ran there is none', async () => {
  await using dir = await tempDir();
  await assert.rejects(startTemporaryContainerd({ dataDir: dir.path, clock, socketDir: dir.path }), (error) =>
    isSandwardenError(error, 'ERR_NOT_SUPPORTED'),
  );
});

test('over the disk of a real containerd after a power cut', { skip: lab.ok ? false : lab.why }, async () => {
  const rig = await realRig('1.7');
  try {
    await rig.start();
    const spec = { name: 'web', namespace: 'default', uid: 'u1', attempt: 0 };
    const id = await rig.cri.runSandbox(spec);
    await rig.powerCut();
    await using dir = await tempDir();
    const paths = layout(rig.home);
    const bin = (await installed('1.7'))?.bin ?? '';
    mkdirSync(dir.join('data'), { recursive: true });
    mkdirSync(dir.join('agent/etc/containerd'), { recursive: true });
    cpSync(bin, dir.join('data/current/bin'), { recursive: true });
    cpSync(paths.config, dir.join('agent/etc/containerd/config.toml'));
    symlinkSync(paths.root, dir.join('agent/containerd'));
    const containerd = await startTemporaryContainerd({
      dataDir: dir.path,
      stateDir: dir.join('state'),
      socketDir: dir.path,
      clock,
    });
    const cri = connectCri(containerd.endpoint);
    try {
      await until('CRI answers', 30_000, async () => {
        containerd.check();
        return cri.version().catch((error: unknown) => {
          assert.ok(isSandwardenError(error));
        });
      });
      const listed = await cri.listSandboxes();
      assert.deepEqual(
        listed.map((each) => [each.id, each.state]),
        [[id, 'notready']],
      );
      await cri.stopSandbox(id);
      await cri.removeSandbox(id);
    } finally {
      cri.close();
      await containerd.stop();
      rmSync(dir.join('agent/containerd'));
    }
    // The lock of its database is free again, and what was removed stays removed.
    assert.deepEqual(await rig.start(), { ok: true });
    assert.deepEqual(await rig.cri.listSandboxes(), []);
  } finally {
    await rig.close();
  }
});
