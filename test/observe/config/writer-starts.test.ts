// Goal: nobody is ordered before the runtime who might wait for it. Method: commands and scripts in a temporary tree.
import assert from 'node:assert/strict';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { startsUnits } from '../../../src/observe/config/writer-starts.ts';
import { tempDir } from '../../helpers/temp.ts';

async function said(commands: readonly string[], scripts: Readonly<Record<string, string>> = {}, id = 'setup.service') {
  await using folder = await tempDir();
  await mkdir(folder.join('/opt'), { recursive: true });
  for (const [path, text] of Object.entries(scripts)) {
    await writeFile(folder.join(path), text);
    await chmod(folder.join(path), 0o755);
  }
  return (await startsUnits({ id, commands }, folder.path)).startsUnits;
}

describe('whether a writer starts units', () => {
  test('a command of harmless programs does not', async () => {
    assert.equal(await said(['/bin/sh -c "sleep 3; cp /opt/x.toml /etc/containerd/config.toml"']), false);
    assert.equal(await said(['/usr/bin/nvidia-ctk runtime configure --runtime=containerd']), false);
  });

  test('systemctl in it, in its script, or in a script of that', async () => {
    assert.equal(await said(['/bin/sh -c "cp a b && systemctl restart containerd"']), true);
    const inner = { '/opt/inner': '#!/bin/sh\nservice containerd restart\n' };
    assert.equal(await said(['/opt/inner'], inner), true);
    assert.equal(await said(['/opt/outer'], { ...inner, '/opt/outer': '#!/bin/sh\n/opt/inner\n' }), true);
    assert.equal(await said(['/opt/only'], { '/opt/only': '#!/bin/sh\ncp a /etc/containerd/config.toml\n' }), false);
  });

  test('a program that nobody can read: not known', async () => {
    assert.equal(await said(['/opt/tool --write'], { '/opt/tool': '\x7fELF…' }), undefined);
    assert.equal(
      await said(['/opt/outer'], { '/opt/outer': '#!/bin/sh\n/opt/tool\n', '/opt/tool': '\x7fELF…' }),
      undefined,
    );
    assert.equal(await said([], {}, 'empty.service'), undefined);
  });

  test('nodeadm and cloud-init', async () => {
    assert.equal(await said(['/usr/bin/nodeadm init --skip run'], {}, 'nodeadm-config.service'), false);
    assert.equal(await said(['/usr/bin/nodeadm init --skip config'], {}, 'nodeadm-run.service'), true);
    assert.equal(await said(['/usr/bin/cloud-init modules --mode=final'], {}, 'cloud-final.service'), undefined);
  });
});
