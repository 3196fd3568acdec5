// Goal: the drop-in for the order at boot is what a real systemd takes, and it is gone after it was taken back. Method:
// the product's own hands on the files and the systemctl of a systemd of the test's own.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changesHere } from '../../src/cli/node-changes.ts';
import { sha256Of } from '../../src/heal/backups.ts';
import { drawFiles, putBack, refusalOf } from '../../src/heal/file-set.ts';
import { orderPath } from '../../src/heal/material.ts';
import type { FilesGuard } from '../../src/model/plan.ts';
import { realSystemd, withoutSystemd } from '../helpers/real-systemd.ts';

const unit = 'containerd.service';
const writer = 'setup.service';

test('an order that a real systemd shows, and shows no more', { skip: withoutSystemd, timeout: 120_000 }, async () => {
  await using systemd = await realSystemd();
  const make = (name: string, type: string) =>
    systemd.run('sh', '-c', `printf '[Service]\\nType=${type}\\nExecStart=/bin/true\\n' >/etc/systemd/system/${name}`);
  await make(unit, 'simple');
  await make(writer, 'oneshot');
  await systemd.run('systemctl', 'daemon-reload');
  const changes = changesHere({
    cri: { status: () => Promise.reject(new Error('there is no CRI')) },
    readIdentity: () => Promise.resolve({}),
    root: systemd.root(),
    run: async ([program, ...args]) => ({ stdout: await systemd.run(program, ...args), stderr: '' }),
  });
  const path = orderPath(unit);
  const now = await changes.fileNow(path);
  assert.deepEqual(now, { kind: 'nothing', missing: [`/etc/systemd/system/${unit}.d`] });
  const text = `[Unit]\nAfter=${writer}\n`;
  const after = { sha256: sha256Of(text), mode: 0o644, uid: 0, gid: 0 };
  const guard: FilesGuard = {
    kind: 'order-unit',
    files: [{ path, after, folders: [`/etc/systemd/system/${unit}.d`] }],
    reload: { unit, after: [writer] },
    restarts: [],
  };
  assert.match(
    (await refusalOf(guard, changes)) ?? '',
    /systemd does not order containerd.service after setup.service/,
  );
  const kept = new Map<string, Buffer>();
  const backups = {
    save: async (sha256: string, content: Buffer) => void kept.set(sha256, content),
    read: async (sha256: string) => kept.get(sha256),
    pathOf: (sha256: string) => sha256,
  };
  await drawFiles(guard, new Map([[path, Buffer.from(text)]]), { changes, backups });
  assert.equal(await refusalOf(guard, changes), undefined);
  assert.match(await systemd.run('systemctl', 'show', '--property=After', unit), new RegExp(writer));
  assert.deepEqual(await putBack(guard, { changes, backups }), {});
  assert.doesNotMatch(await systemd.run('systemctl', 'show', '--property=After', unit), new RegExp(writer));
  assert.deepEqual(await changes.fileNow(path), now);
});
