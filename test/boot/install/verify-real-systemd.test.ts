// Goal: a fault in a unit of ours is found whatever systemd says before it, and nothing else is taken for one; the
// state of each unit is told. Method: the product's questions, put to a systemd of the test's own.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { systemdHere } from '../../../src/boot/install/systemd.ts';
import { run } from '../../../src/observe/child.ts';
import { realSystemd, withoutSystemd } from '../../helpers/real-systemd.ts';

const units = '/etc/systemd/system';
const beside = '[Unit]\nAfter=aaa.service\nWants=aaa.service\n[Service]\nType=oneshot\n';
const own = {
  'sandwarden-broken.service': `${beside}ExecStart=/nonexistent\n`,
  'sandwarden-broken-unknown.service': `${beside}Bogus=1\nExecStart=/nonexistent\n`,
  'sandwarden-sound.service': `${beside}Bogus=1\nExecStart=/bin/true\n`,
  'sandwarden-beside.service': `${beside.replaceAll('aaa', 'bbb')}Bogus=1\nExecStart=/bin/true\n`,
};

test('what a real systemd says of units of ours', { skip: withoutSystemd, timeout: 120_000 }, async (t) => {
  await using systemd = await realSystemd();
  const write = (name: string, text: string) => writeFile(`${systemd.root()}${units}/${name}`, text);
  await write('aaa.service', '[Service]\nBogus=1\nExecStart=/bin/true\n');
  await write('bbb.service', '[Service]\nExecStart=/bin/true\nRestart=always\nType=oneshot\n');
  for (const [name, text] of Object.entries(own)) await write(name, text);
  const { verify, show, resetFailed } = systemdHere((argv, options) => run(systemd.argv(...argv), options));
  const verified = async (name: keyof typeof own) => {
    const { problems, notes } = await verify([`${units}/${name}`]);
    return { problems: problems.join('\n'), notes: notes.join('\n') };
  };
  await t.test('a fault of ours behind the harmless word of another unit', async () => {
    const { problems } = await verified('sandwarden-broken.service');
    assert.match(problems, /^sandwarden-broken\.service: Command \/nonexistent is not executable/);
  });
  await t.test('a fault of ours behind a harmless word of ours: the fault is quoted', async () => {
    const { problems, notes } = await verified('sandwarden-broken-unknown.service');
    assert.match(problems, /^sandwarden-broken-unknown\.service: Command \/nonexistent is not executable/);
    assert.doesNotMatch(problems, /Bogus/);
    assert.match(notes, /Bogus/);
  });
  await t.test('what systemd goes on without is no problem', async () => {
    const { problems, notes } = await verified('sandwarden-sound.service');
    assert.equal(problems, '');
    assert.match(notes, /sandwarden-sound\.service:\d+: Unknown (?:key|lvalue)/);
  });
  await t.test('the fault of another unit is told, and is no problem of ours', async () => {
    const { problems, notes } = await verified('sandwarden-beside.service');
    assert.equal(problems, '');
    assert.match(notes, /sandwarden-beside\.service:\d+: Unknown (?:key|lvalue)/);
  });
  await t.test('the state of several units, in the order asked for, and what failed is forgotten', async () => {
    const names = ['sandwarden-sound.service', 'sandwarden-none.service', 'sandwarden-broken.service'];
    await systemd.run('systemctl', 'daemon-reload');
    await systemd.ended('systemctl', 'start', ...names);
    const states = async () => (await show(names)).map((each) => [each.get('Id'), each.get('ActiveState')].join(' '));
    const [sound, none, broken] = names;
    const before = [`${sound} inactive`, `${none} inactive`];
    await systemd.ended('systemctl', 'start', `${broken}`);
    assert.deepEqual(await states(), [...before, `${broken} failed`]);
    await resetFailed(names);
    assert.deepEqual(await states(), [...before, `${broken} inactive`]);
    assert.deepEqual(await show([]), []);
  });
});
