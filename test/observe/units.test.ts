import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { UnitsFacts } from '../../src/model/node.ts';
import { decodeSnapshot, encodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { linesOf, observeUnits } from '../../src/observe/units.ts';
import { snapshotOf } from '../diagnose/build.ts';
import { tempDir } from '../helpers/temp.ts';

/** The units of a machine that holds `files`. */
async function unitsOf(files: Readonly<Record<string, string>>): Promise<UnitsFacts> {
  await using root = await tempDir();
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(root.join(`.${path}`)), { recursive: true });
    if (text === 'masked') symlinkSync('/dev/null', root.join(`.${path}`));
    else writeFileSync(root.join(`.${path}`), text);
  }
  const units = await observeUnits(root.path);
  assert.ok(units.known);
  return units.value;
}

const k3s = {
  '/etc/systemd/system/k3s.service':
    '[Unit]\nAfter=network-online.target\n[Service]\nExecStart=/usr/local/bin/k3s server --token SECRET\n',
  '/etc/systemd/system/k3s.service.d/sandbox-cleanup.conf':
    '[Service]\nExecStartPre=/usr/local/bin/k3s-pre-start-cleanup.sh\n',
  '/usr/local/bin/k3s-pre-start-cleanup.sh': `#!/bin/bash
# Clean stale sandboxes before k3s starts; crictl pods is run here.
export PATH=/usr/local/bin:$PATH
crictl --runtime-endpoint unix:///run/k3s/containerd/containerd.sock \\
pods --state NotReady -q 2>/dev/null | \\
xargs -r crictl --runtime-endpoint unix:///run/k3s/containerd/containerd.sock \\
rmp --force 2>/dev/null || true
`,
};

test('the well-known hook is found with its lines, and becomes a finding', async () => {
  const units = await unitsOf(k3s);
  assert.deepEqual(units.installed, ['k3s.service']);
  const [call, ...rest] = units.calls;
  assert.deepEqual(rest, []);
  assert.equal(`${call?.file}:${call?.line}`, '/usr/local/bin/k3s-pre-start-cleanup.sh:4');
  assert.equal(`${call?.by?.file}:${call?.by?.line}`, '/etc/systemd/system/k3s.service.d/sandbox-cleanup.conf:2');
  assert.match(call?.hides ?? '', /\|\| true, 2>\/dev\/null, \| xargs/);
  assert.doesNotMatch(JSON.stringify(units), /SECRET/);
  const snapshot = snapshotOf({ more: { units: { known: true, value: units } } });
  assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot);
  assert.ok(diagnose(snapshot).findings.some((each) => each.code === 'SW203'));
});

test('a unit of its own, a shell line in it, and its order', async () => {
  const units = await unitsOf({
    ...k3s,
    '/etc/systemd/system/k3s-sandbox-cleanup.service':
      "[Unit]\nAfter=network.target containerd.service\n[Service]\nExecStart=-/bin/sh -c 'crictl rmp -af'\n",
  });
  const unit = 'k3s-sandbox-cleanup.service';
  const call = units.calls.find((each) => each.unit === unit);
  assert.deepEqual([call?.line, call?.key, call?.hides], [4, 'ExecStart', 'a leading "-"']);
  assert.deepEqual(
    units.orders.map((each) => `${each.unit} ${each.key}=${each.other} line ${each.line}`),
    [`${unit} After=containerd.service line 2`],
  );
});

test('what a drop-in takes back is not run any more', async () => {
  const emptied = (key: string) => `[Service]\n${key}=\n`;
  const after = (files: Readonly<Record<string, string>>) =>
    unitsOf({ ...k3s, ...files }).then(({ calls }) => calls.map((each) => `${each.key} ${each.by?.file ?? each.file}`));
  const folder = '/etc/systemd/system/k3s.service.d';
  const hook = `ExecStartPre ${folder}/sandbox-cleanup.conf`;
  const calls = [hook];
  assert.deepEqual(await after({}), calls);
  assert.deepEqual(await after({ [`${folder}/zz.conf`]: emptied('ExecStartPre') }), []);
  // By their names, whatever folder: the first of these comes before the hook, the second after it.
  assert.deepEqual(await after({ [`${folder}/aa.conf`]: emptied('ExecStartPre') }), calls);
  assert.deepEqual(await after({ '/run/systemd/system/k3s.service.d/zz.conf': emptied('ExecStartPre ') }), []);
  assert.deepEqual(await after({ [`${folder}/zz.conf`]: emptied('ExecStartPost') }), calls, 'another key');
  const anew = `${emptied('ExecStartPre')}ExecStartPre=/bin/crictl pods\n`;
  assert.deepEqual(await after({ [`${folder}/zz.conf`]: anew }), [`ExecStartPre ${folder}/zz.conf`]);
});

test('the unit of a package is reset by a drop-in of the administrator; a drop-in hides one of its name', async () => {
  const packaged = '/usr/lib/systemd/system/containerd.service';
  const unit = { [packaged]: '[Service]\nExecStartPre=/usr/bin/crictl pods\n' };
  const dropIn = '/etc/systemd/system/containerd.service.d/a.conf';
  assert.deepEqual((await unitsOf({ ...unit, [dropIn]: '[Service]\nExecStartPre=\n' })).calls, []);
  const hidden = { '/run/systemd/system/containerd.service.d/a.conf': '[Service]\nExecStartPre=crictl ps\n' };
  const { calls } = await unitsOf({ ...unit, ...hidden, [dropIn]: '[Unit]\n' });
  assert.deepEqual(
    calls.map((each) => each.file),
    [packaged],
  );
});

test('masked units are not installed; packaged units of others and other words are not read', async () => {
  const units = await unitsOf({
    '/etc/systemd/system/containerd.service': 'masked',
    '/usr/lib/systemd/system/containerd.service': '[Service]\nExecStart=/usr/bin/containerd\n',
    '/usr/lib/systemd/system/kubelet.service': '[Service]\nExecStart=/usr/bin/kubelet\n',
    '/usr/lib/systemd/system/other.service': '[Service]\nExecStart=/usr/bin/crictl pods\n',
    '/etc/systemd/system/words.service':
      '[Service]\nExecStart=/usr/bin/doctr run\nExecStart=/opt/crictl-exporter --x\n',
  });
  assert.deepEqual(units, { installed: ['kubelet.service'], calls: [], orders: [] });
});

test('a machine without systemd has no units', async () => {
  assert.deepEqual(await unitsOf({}), { installed: [], calls: [], orders: [] });
});

test('lines are joined and numbered by their first', () => {
  assert.deepEqual(linesOf('a=1 \\\n# no\n  2\n\n; no\nb\\'), [
    { line: 1, text: 'a=1 2' },
    { line: 6, text: 'b' },
  ]);
});
