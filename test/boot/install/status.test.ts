// Goal: status tells what is true of the files, of systemd and of this boot, and its exit code says whether to look.
// Method: fake roots and a fake systemd; the commands as processes over an image.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { manifestPath } from '../../../src/boot/install/manifest.ts';
import { installStatus, isInOrder } from '../../../src/boot/install/status.ts';
import { systemdHere } from '../../../src/boot/install/systemd.ts';
import { unitNames } from '../../../src/boot/install/units.ts';
import { statusText } from '../../../src/cli/render/install-status-text.ts';
import { jsonText } from '../../../src/cli/render/json.ts';
import { SandwardenError } from '../../../src/model/errors.ts';
import { assertGolden } from '../../cli/golden.ts';
import { sandwarden } from '../../cli/spawn.ts';
import { nodeWith, quietSystemd } from './fixture.ts';
import * as roots from './roots.ts';

const style = { colour: false, unicode: true, width: 100 };
const clockUnit = '/etc/systemd/system/sandwarden-clock.service';

/** What `systemctl show` says after a boot in order (systemd 252). */
const quietBoot: Record<string, string[]> = {
  [unitNames.clock]: [
    'ActiveState=active',
    'SubState=exited',
    'ConditionResult=yes',
    'ExecMainStartTimestampMonotonic=9000000',
    'ExecMainExitTimestampMonotonic=9001400',
  ],
  [unitNames.timer]: ['ActiveState=active', 'SubState=waiting'],
  [unitNames.heartbeat]: ['ActiveState=inactive', 'ConditionResult=no', 'ConditionTimestampMonotonic=0'],
  [unitNames.boot]: ['ActiveState=inactive', 'ConditionResult=no', 'ConditionTimestampMonotonic=9100000'],
  [unitNames.after]: ['ActiveState=inactive', 'ConditionResult=no', 'ConditionTimestampMonotonic=9200000'],
};

function systemdSaying(change: Record<string, string[]> = {}) {
  const said = { ...quietBoot, ...change };
  const run = async (argv: readonly string[]) => {
    const blocks = argv.slice(argv.indexOf('--') + 1).map((unit) => {
      const lines = [`Id=${unit}`, 'LoadState=loaded', 'NeedDaemonReload=no', ...(said[unit] ?? [])];
      return lines.map((line) => `${line}\n`).join('');
    });
    return { stdout: blocks.join('\n'), stderr: '' };
  };
  return systemdHere(run);
}

describe('status', () => {
  test('of a node where all is in order', async () => {
    await using node = await nodeWith(roots.k3s);
    await node.install();
    const status = await installStatus(node.files, systemdSaying());
    assert.equal(isInOrder(status), true);
    assert.deepEqual(
      status.units.map(({ name, state, tookMs }) => [name, state, tookMs]),
      [
        [unitNames.clock, 'ran', 1.4],
        [unitNames.heartbeat, 'waiting', null],
        [unitNames.timer, 'running', null],
        [unitNames.boot, 'skipped', null],
        [unitNames.after, 'skipped', null],
      ],
    );
    assertGolden('status-in-order', statusText(status, style));
  });
  test('after a power cut that was healed', async () => {
    const heal = {
      step: 'before-kubelet',
      startedUptimeNs: '14000000000',
      endedUptimeNs: '15200000000',
      reportOnly: false,
      removed: ['default/web/0'],
      left: [],
      settled: true,
      why: 'nothing is left that blocks a pod',
    };
    await using node = await nodeWith({
      ...roots.k3s,
      '/run/sandwarden/booted': '',
      '/run/sandwarden/unclean': '',
      '/run/sandwarden/clock-behind': 'x',
      '/run/sandwarden/boot.json': JSON.stringify({ format: 'sandwarden.boot/1', heal: [heal] }),
      '/run/systemd/system/x': '',
    });
    await node.install();
    roots.plant(node.path, { '/var/lib/sandwarden/boots': '1795200000 30\n1795290000 4000\n179' });
    const ran = [
      'ActiveState=inactive',
      'ConditionResult=yes',
      'ExecMainStartTimestampMonotonic=14000000',
      'ExecMainExitTimestampMonotonic=15300000',
    ];
    const status = await installStatus(node.files, systemdSaying({ [unitNames.boot]: ran }));
    assert.deepEqual(status.thisBoot, { judged: true, unclean: true, clockBehind: true });
    assert.deepEqual(status.lastUncleanBoot, { wallNs: 1_795_290_000_000_000_000n, boots: 2 });
    assert.equal(isInOrder(status), true);
    assertGolden('status-healed', statusText(status, style));
    assert.equal(status.format, 'sandwarden.status/1');
    assertGolden('json/status.json', jsonText(status).replaceAll(node.path, ''));
  });
  test('tells what was changed, what is gone, and what failed', async () => {
    await using node = await nodeWith(roots.k3s);
    await node.install();
    writeFileSync(join(node.path, clockUnit), 'mine');
    rmSync(join(node.path, '/etc/sandwarden/boot.conf'));
    const failed = [
      'ActiveState=failed',
      'ExecMainStartTimestampMonotonic=1',
      'ExecMainExitTimestampMonotonic=90000001',
    ];
    const status = await installStatus(node.files, systemdSaying({ [unitNames.boot]: failed }));
    assert.deepEqual([status.changed, status.missing], [[clockUnit], ['/etc/sandwarden/boot.conf']]);
    assert.equal(isInOrder(status), false);
    assertGolden('status-changed', statusText(status, style));
  });
  test('a failed unit alone is not in order, and neither is an unread one', async () => {
    await using node = await nodeWith(roots.k3s);
    await node.install();
    const states = [['ActiveState=failed'], ['LoadState=not-found'], ['NeedDaemonReload=yes']];
    for (const each of states) {
      const status = await installStatus(node.files, systemdSaying({ [unitNames.after]: each }));
      assert.equal(isInOrder(status), false, each.join());
    }
    const silent = quietSystemd({
      show: () => Promise.reject(new SandwardenError('ERR_COMMAND_MISSING', 'none', { hint: '' })),
    });
    assert.equal(isInOrder(await installStatus(node.files, silent.systemd)), false);
  });
  test('of nothing, of a record that is damaged, of an installation that was cut off', async () => {
    await using node = await nodeWith(roots.k3s);
    assert.equal((await installStatus(node.files, undefined)).state, 'not-installed');
    await node.install();
    const path = join(node.path, manifestPath);
    const whole = readFileSync(path, 'utf8');
    writeFileSync(path, whole.replace('"installed"', '"installing"'));
    assert.match(statusText(await installStatus(node.files, undefined), style), /cut off in the middle/);
    writeFileSync(path, whole.slice(0, 30));
    const damaged = await installStatus(node.files, undefined);
    assert.equal(damaged.state, 'damaged');
    assert.match(statusText(damaged, style), /--force/);
  });
});

test('only what failed is reset: systemctl refuses a unit that is not loaded', async () => {
  const asked: string[][] = [];
  const systemd = (failed: string) =>
    systemdHere(async (argv) => {
      if (argv[1] !== 'show') asked.push([...argv]);
      const units = argv.slice(argv.indexOf('--') + 1);
      const states = units.map((each) => `Id=${each}\nActiveState=${each === failed ? 'failed' : 'inactive'}\n`);
      return { stdout: states.join('\n'), stderr: '' };
    });
  await systemd('none').resetFailed([unitNames.boot, unitNames.after]);
  assert.deepEqual(asked, []);
  await systemd(unitNames.after).resetFailed([unitNames.boot, unitNames.after]);
  assert.deepEqual(asked, [['systemctl', 'reset-failed', '--', unitNames.after]]);
});

describe('systemd-analyze', () => {
  const verified = (stderr: string) => systemdHere(async () => ({ stdout: '', stderr })).verify(['/x']);
  test("says what is wrong with ours, not with the node's own units", async () => {
    const own = "/etc/systemd/system/sandwarden-boot.service:7: Missing '='.";
    const { problems, notes } = await verified(`/lib/systemd/system/kubelet.service:3: bad\n${own}\n`);
    assert.deepEqual([problems, notes], [[own], []]);
  });
  test('of an old systemd ignores what it does not know', async () => {
    const line =
      "/etc/systemd/system/sandwarden-clock.service:20: Unknown lvalue 'ProtectClock' in section 'Service', ignoring";
    assert.deepEqual(await verified(line), { problems: [], notes: [line] });
  });
  test('that is not installed is said', async () => {
    const missing = new SandwardenError('ERR_COMMAND_MISSING', 'x', { hint: '' });
    const { problems, notes } = await systemdHere(() => Promise.reject(missing)).verify(['/x']);
    assert.deepEqual(problems, []);
    assert.match(notes.join(), /not verified/);
  });
});

describe('as a process, on an image', () => {
  test('install, status, install again, uninstall', async () => {
    await using node = await nodeWith(roots.kubeadm);
    const before = node.tree();
    const root = ['--root', node.path];
    assert.equal((await sandwarden(['status', ...root])).code, 10);
    const asked = await sandwarden(['install', ...root]);
    assert.equal(asked.code, 64);
    assert.match(asked.stderr, /--yes/);
    assert.deepEqual(node.tree(), before);
    const first = await sandwarden(['install', '--yes', ...root]);
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /kubeadm with containerd.*when the image boots/s);
    const status = await sandwarden(['status', '-o', 'json', ...root]);
    assert.equal(status.code, 0);
    assert.equal(JSON.parse(status.stdout).state, 'installed');
    const installed = node.tree('/');
    const second = await sandwarden(['install', '--yes', ...root]);
    assert.match(second.stdout, /^Already installed/);
    assert.deepEqual(node.tree('/'), installed);
    writeFileSync(join(node.path, clockUnit), 'mine\n');
    const third = await sandwarden(['install', '--yes', ...root]);
    assert.equal(third.code, 30);
    assert.match(third.stderr, /-mine/);
    assert.equal((await sandwarden(['uninstall', '--yes', ...root])).code, 30);
    assert.equal((await sandwarden(['uninstall', '--yes', '--force', '--purge', ...root])).code, 0);
    assert.deepEqual(node.tree(), before);
    assert.match((await sandwarden(['uninstall', ...root])).stdout, /Nothing is installed/);
  });
  test('a layout that is not served', async () => {
    await using node = await nodeWith(roots.crio);
    const { code, stderr } = await sandwarden(['install', '--dry-run', '--root', node.path]);
    assert.equal(code, 69);
    assert.match(stderr, /crio-wipe/);
  });
  test('a number that is none, a root that is relative', async () => {
    for (const args of [
      ['--limit', '0'],
      ['--limit', 'x'],
      ['--wait-for-time-sync', '100'],
      ['--root', 'x'],
    ]) {
      assert.equal((await sandwarden(['install', '--dry-run', ...args])).code, 64, args.join(' '));
    }
  });
  test('without root', { skip: process.geteuid?.() === 0 ? false : 'needs root to become another user' }, async () => {
    const { code, stderr } = await sandwarden(['install', '--yes'], { uid: 65_534 });
    assert.equal(code, 77);
    assert.match(stderr, /sudo sandwarden install/);
  });
});

test('the script of a dry run over an image changes the image, and nothing of this machine', async () => {
  await using node = await nodeWith(roots.kubeadm);
  const run = async (command: string, ...more: string[]) => {
    const ended = await sandwarden([command, '--dry-run', '--root', node.path, ...more]);
    assert.equal(ended.code, 0, ended.stderr);
    const doing = ended.stdout.split('\n').filter((line) => /^(?:install|mkdir|ln|rm|rmdir|systemctl) /.test(line));
    assert.ok(doing.length > 4);
    for (const line of doing) {
      const last = line.replace(/ <<.*/, '').split(' ').at(-1) ?? '';
      assert.ok(last.startsWith(`${node.path}/`), line);
    }
    const { status, stderr } = spawnSync('/bin/sh', ['-s'], { input: ended.stdout, encoding: 'utf8' });
    assert.deepEqual([status, stderr], [0, '']);
  };
  await run('install');
  assert.match(readFileSync(join(node.path, clockUnit), 'utf8'), /early\.sh/);
  const byItself = await sandwarden(['install', '--yes', '--root', node.path]);
  assert.equal(byItself.code, 0, byItself.stderr);
  assert.match(byItself.stdout, /All files are as they should be/);
  await run('uninstall', '--purge');
  assert.ok(!existsSync(join(node.path, clockUnit)));
  assert.ok(!existsSync(join(node.path, '/var/lib/sandwarden')));
});
