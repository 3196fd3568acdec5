/**
 * Goal: a rig leaves nothing behind, however it ends.
 * Method: every trace a rig can leave is looked for by its marker.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { labAvailable } from '../../lab/available.ts';
import { leftoversOf, sweep } from '../../lab/leftovers.ts';
import { realRig } from '../../lab/rig.ts';

const lab = await labAvailable(['1.6']);

describe('a rig leaves nothing behind', { skip: lab.ok ? false : lab.why }, () => {
  test('while it runs there is something to find, after close() nothing', async () => {
    const rig = await realRig('1.6', { writeTimeoutMs: 1_000 });
    try {
      await rig.start();
      await rig.cni({ add: 'ok', del: 'hang' });
      const id = await rig.cri.runSandbox({ name: 'web', namespace: 'default', uid: 'u1', attempt: 0 });
      const hanging = rig.cri.stopSandbox(id).catch(() => 'it ends with the rig');
      const found = await leftoversOf(rig.home);
      for (const kind of ['process', 'cgroup', 'file']) {
        assert.ok(
          found.some((each) => each.startsWith(kind)),
          `a running rig has a ${kind}`,
        );
      }
      await rig.close();
      await hanging;
    } finally {
      await rig.close();
    }
    assert.deepEqual(await leftoversOf(rig.home), []);
  });

  test('after SIGINT in the middle of a run', async () => {
    const { child, home } = await startChild();
    child.kill('SIGINT');
    const [, signal] = await once(child, 'exit');
    assert.equal(signal, 'SIGINT');
    assert.deepEqual(await leftoversOf(home), []);
  });

  test('after SIGKILL: processes and mounts go by themselves, the rest with the next sweep', async () => {
    const { child, home } = await startChild();
    child.kill('SIGKILL');
    await once(child, 'exit');
    assert.deepEqual(await sweep().then((swept) => swept.includes(home)), true);
    assert.deepEqual(await leftoversOf(home), []);
  });

  test('a sweep does not touch a living rig', async () => {
    const { child, home } = await startChild();
    try {
      assert.deepEqual((await sweep()).includes(home), false);
      assert.notDeepEqual(await leftoversOf(home), []);
    } finally {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    assert.deepEqual(await leftoversOf(home), []);
  });
});

async function startChild(): Promise<{ child: ChildProcess; home: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'child-rig.ts')], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [line] = await Promise.race([once(child.stdout, 'data'), once(child, 'exit').then(() => [''])]);
  const home = String(line).trim();
  assert.notEqual(home, '', 'the child has a rig');
  return { child, home };
}
