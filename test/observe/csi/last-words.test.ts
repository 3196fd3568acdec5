import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { tellsOfSocket } from '../../../src/observe/csi/last-words.ts';
import { tempDir } from '../../helpers/temp.ts';

const of = { namespace: 'longhorn-system', name: 'csi-attacher-1', uid: 'u-1', container: 'csi-attacher' };

async function says(logs: Readonly<Record<string, string>>, over: Partial<typeof of> = {}) {
  await using dir = await tempDir();
  const folder = join(dir.path, 'var/log/pods/longhorn-system_csi-attacher-1_u-1/csi-attacher');
  await mkdir(folder, { recursive: true });
  for (const [name, text] of Object.entries(logs)) await writeFile(join(folder, name), text);
  return tellsOfSocket({ ...of, ...over }, dir.path);
}

const line = (text: string) => `2026-11-21T19:40:00.000000000Z stderr F ${text}\n`;

test('the last words of a sidecar without its driver tell of the socket', async () => {
  const words = [
    'W1121 connection.go:234] Still connecting to unix:///csi/csi.sock',
    'E1121 connection.go:142] "Lost connection to CSI driver, exiting"',
    'F1121 main.go:136] failed to connect to the CSI driver: context deadline exceeded',
    'Error: no such file or directory: /var/lib/kubelet/plugins/driver.longhorn.io/csi.sock',
  ];
  for (const each of words) assert.equal(await says({ '3.log': line(each) }), true, each);
});

test('those of one with a reason of its own do not', async () => {
  assert.equal(await says({ '0.log': line('panic: runtime error: index out of range [3]') }), false);
  assert.equal(await says({ '0.log': line('flag provided but not defined: -leader-electionn') }), false);
});

test('the newest log counts, and the one before it where it is empty', async () => {
  const [socket, own] = [line('dial unix /csi/csi.sock: refused'), line('panic: x')];
  assert.equal(await says({ '9.log': socket, '10.log': own }), false);
  assert.equal(await says({ '9.log': socket, '10.log': '' }), true);
});

test('without a log, or with a name that is none, nothing is said', async () => {
  assert.equal(await says({}), undefined);
  assert.equal(await says({ '0.log': line('dial') }, { container: '../csi-attacher' }), undefined);
  assert.equal(await says({ '0.log': line('dial') }, { uid: 'u-2' }), undefined);
});
