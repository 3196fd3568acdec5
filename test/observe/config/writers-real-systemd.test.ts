// Goal: a unit that writes the runtime's configuration at boot is found after it is over, as it always is by the time
// somebody looks, whatever its command looks like, and what orders it is seen. Method: the product's question, put to a
// systemd of the test's own.
import assert from 'node:assert/strict';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { type Run, run } from '../../../src/observe/child.ts';
import { observeWriters } from '../../../src/observe/config/writers.ts';
import { type RealSystemd, realSystemd, withoutSystemd } from '../../helpers/real-systemd.ts';

const runtime = 'containerd.service';
const writer = 'setup.service';
const units = '/run/systemd/system';
const config = '/etc/containerd/config.toml';

test('a oneshot that is over, of a real systemd', { skip: withoutSystemd, timeout: 120_000 }, async () => {
  await using systemd = await realSystemd();
  const write = writerOf(systemd);
  await write(`${units}/${runtime}`, '[Service]\nExecStart=/bin/sleep 1000\n');
  await write(`${units}/${writer}`, '[Service]\nType=oneshot\nExecStart=/run/setup\n');
  await write('/run/setup', '#!/bin/sh\n# says where\ntrue /etc/containerd/config.toml\n');
  await mkdir(`${systemd.root()}${units}/${runtime}.wants`);
  await symlink(`${units}/${writer}`, `${systemd.root()}${units}/${runtime}.wants/${writer}`);
  await systemd.run('systemctl', 'daemon-reload');
  await systemd.run('systemctl', 'start', runtime);
  const show = (property: string) => systemd.run('systemctl', 'show', '--value', `--property=${property}`, writer);
  await systemd.until('the unit is over', async () =>
    (await show('ActiveState')).trim() === 'inactive' && (await show('ExecMainExitTimestampMonotonic')).trim() !== '0'
      ? true
      : undefined,
  );
  const writers = await observed(systemd);
  const [found] = writers;
  assert.deepEqual(
    writers.map((each) => [each.unit, each.orderedBefore, each.at]),
    [[writer, false, { file: '/run/setup', line: 3 }]],
  );
  assert.ok(found?.startedUs && found.doneUs && found.runtimeStartedUs, 'when both ran');
});

test('units of many forms, of a real systemd', { skip: withoutSystemd, timeout: 120_000 }, async () => {
  await using systemd = await realSystemd();
  const write = writerOf(systemd);
  const oneshot = (command: string, unit = '') => `[Unit]\n${unit}\n[Service]\nType=oneshot\nExecStart=${command}\n`;
  const found = {
    // systemctl prints its newlines as they are: an empty line in it, and one that looks like the block of a unit.
    'heredoc.service': oneshot(`/bin/sh -c "cat >/x <<E\\nversion = 2\\n\\nId=${runtime}\\nE\\ncp /x ${config}"`),
    'by-socket.service': oneshot(`/bin/cp /x ${config}`, 'Before=by.socket'),
    'by-mount.service': oneshot(`/bin/cp /x ${config}`, 'Before=srv-by.mount'),
    'template@.service': oneshot('/bin/cp /srv/%i /etc/containerd/%i.toml'),
  };
  const others = {
    'reader.service': oneshot(`/bin/sh -c "cat ${config}"`, `After=${runtime}`),
    'by.socket': `[Unit]\nBefore=${runtime}\n[Socket]\nListenStream=/run/by.sock\nService=by-socket.service\n`,
    'srv-by.mount': `[Unit]\nBefore=${runtime}\n[Mount]\nWhat=tmpfs\nType=tmpfs\nWhere=/srv/by\n`,
    [runtime]: '[Service]\nExecStart=/bin/sleep 1000\n',
  };
  for (const [name, text] of Object.entries({ ...found, ...others })) await write(`${units}/${name}`, text);
  const loaded = Object.keys({ ...found, ...others }).map((each) => each.replace('@', '@config'));
  // What nothing that is loaded names is not loaded either.
  await write(`${units}/hold.service`, `[Unit]\nAfter=${loaded.join(' ')}\n[Service]\nExecStart=/bin/sleep 1000\n`);
  await systemd.run('systemctl', 'daemon-reload');
  await systemd.run('systemctl', 'start', '--job-mode=ignore-dependencies', 'hold.service');
  const writers = await observed(systemd);
  assert.deepEqual(
    writers.map((each) => `${each.unit} ${each.orderedBefore ? 'before' : 'free'}`),
    ['by-mount.service before', 'by-socket.service before', 'heredoc.service free', 'template@config.service free'],
  );
  assert.deepEqual(writers[3]?.at, { file: `${units}/template@.service`, line: 5 });
});

test('who last wrote the file, of a real systemd', { skip: withoutSystemd, timeout: 120_000 }, async () => {
  await using systemd = await realSystemd();
  const write = writerOf(systemd);
  await mkdir(`${systemd.root()}/etc/containerd`, { recursive: true });
  // Its path is made up as it runs: no text names it. A second one runs later, and by then the file is as it is.
  const script = '#!/bin/sh\nsleep 0.3\nfolder=containerd\necho version = 2 >/etc/$folder/config.toml\nsleep 0.3\n';
  await write('/run/obscure', script);
  await write('/run/other', '#!/bin/sh\nsleep 0.1\n');
  await write(`${units}/obscure.service`, '[Service]\nType=oneshot\nExecStart=/run/obscure\n');
  await write(`${units}/other.service`, '[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/run/other\n');
  // What nothing that is loaded names is forgotten when it is over; a unit that is enabled is named by its target.
  const named = 'After=obscure.service other.service both-a.service both-b.service';
  await write(`${units}/daemon.service`, `[Unit]\n${named}\n[Service]\nExecStart=/bin/sleep 1000\n`);
  await write(`${units}/${runtime}`, '[Service]\nExecStart=/bin/sleep 1000\n');
  await systemd.run('systemctl', 'daemon-reload');
  for (const unit of ['daemon.service', runtime, 'other.service', 'obscure.service', 'other.service'])
    await systemd.run('systemctl', 'start', unit);
  const [found, ...others] = await observed(systemd);
  assert.deepEqual(others, []);
  assert.equal(found?.unit, 'obscure.service');
  assert.equal(found.how, `it alone was at its start when ${config} was last written`);
  const { startedUs, doneUs, lastWrote, runtimeStartedUs } = found;
  assert.ok(startedUs && doneUs && lastWrote && runtimeStartedUs);
  assert.ok(startedUs < lastWrote.atUs && lastWrote.atUs < doneUs, `${startedUs} ${lastWrote.atUs} ${doneUs}`);
  assert.ok(runtimeStartedUs < lastWrote.atUs, 'and it was after the start of the runtime');

  // A person's own change, while no unit is at anything.
  await write(config, 'version = 2\n');
  assert.deepEqual(await observed(systemd), []);
  // Two at once: nobody knows which.
  for (const name of ['a', 'b'])
    await write(`${units}/both-${name}.service`, '[Service]\nType=oneshot\nExecStart=/run/obscure\n');
  await systemd.run('systemctl', 'daemon-reload');
  await systemd.run('systemctl', 'start', 'both-a.service', 'both-b.service');
  assert.deepEqual(await observed(systemd), []);
});

function writerOf(systemd: RealSystemd) {
  return async (path: string, text: string) => {
    const at = `${systemd.root()}${path}`;
    await mkdir(dirname(at), { recursive: true });
    await writeFile(at, text);
    await chmod(at, 0o755);
  };
}

async function observed(systemd: RealSystemd) {
  // The product's own way to run a program: what it keeps of the output is part of the question.
  const beside: Run = (argv, options) => run(systemd.argv(...argv), options);
  const answer = await observeWriters({ unit: runtime, file: config, files: [config] }, systemd.root(), beside);
  assert.ok(answer.known);
  return answer.value;
}
