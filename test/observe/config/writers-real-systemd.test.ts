// Goal: a unit that writes the runtime's configuration at boot is found after it is over, as it always is by the time
// somebody looks. Method: the product's question, put to a systemd of the test's own.
import assert from 'node:assert/strict';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { test } from 'node:test';
import { type Run, run } from '../../../src/observe/child.ts';
import { observeWriters } from '../../../src/observe/config/writers.ts';
import { realSystemd, withoutSystemd } from '../../helpers/real-systemd.ts';

const runtime = 'containerd.service';
const writer = 'setup.service';
const units = '/run/systemd/system';

test('a oneshot that is over, of a real systemd', { skip: withoutSystemd, timeout: 120_000 }, async () => {
  await using systemd = await realSystemd();
  const write = async (path: string, text: string) => {
    const at = `${systemd.root()}${path}`;
    await mkdir(dirname(at), { recursive: true });
    await writeFile(at, text);
    await chmod(at, 0o755);
  };
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
  // The product's own way to run a program: what it keeps of the output is part of the question.
  const beside: Run = (argv, options) => run(systemd.argv(...argv), options);
  const answer = await observeWriters(runtime, '/etc/containerd/config.toml', systemd.root(), beside);
  assert.ok(answer.known);
  const [found] = answer.value;
  assert.deepEqual(
    answer.value.map((each) => [each.unit, each.orderedBefore, each.at]),
    [[writer, false, { file: '/run/setup', line: 3 }]],
  );
  assert.ok(found?.startedUs && found.doneUs && found.runtimeStartedUs, 'when both ran');
});
