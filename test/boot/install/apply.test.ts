// Goal: installing is all or nothing, never touches what is not its own, and leaves no trace when it is taken away.
// Method: fake roots; the whole of /etc compared before and after; a failure put at each moment.
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { apply, stateDirOf } from '../../../src/boot/install/apply.ts';
import { manifestPath } from '../../../src/boot/install/manifest.ts';
import { prepare } from '../../../src/boot/install/prepare.ts';
import { prepareRemoval, removeInstalled } from '../../../src/boot/install/uninstall.ts';
import { doneText } from '../../../src/cli/render/install-text.ts';
import { openStateDir } from '../../../src/heal/state-dir.ts';
import { isSandwardenError, SandwardenError } from '../../../src/model/errors.ts';
import { systemClock } from '../../../src/observe/clock.ts';
import { type Resolved, Rooted, translated } from '../../../src/observe/installed/rooted.ts';
import { type Node, nodeWith, options, quietSystemd } from './fixture.ts';
import * as roots from './roots.ts';

const layouts = { kubeadm: roots.kubeadm, eks: roots.eks, k3s: roots.k3s, agent: roots.k3sAgent, rke2: roots.rke2 };
const clockUnit = '/etc/systemd/system/sandwarden-clock.service';

async function uninstall(node: Node, change: { force?: boolean; purge?: boolean } = {}): Promise<void> {
  const removal = await prepareRemoval(node.files);
  assert.ok(removal !== undefined, 'nothing is installed');
  if (!change.force) assert.deepEqual(removal.changed, []);
  await removeInstalled(node.machine, removal, { purge: change.purge === true });
}

describe('installing and taking away', () => {
  for (const [name, tree] of Object.entries(layouts)) {
    test(`${name}: /etc is byte for byte what it was`, async () => {
      await using node = await nodeWith(tree);
      const before = node.tree();
      const { done } = await node.install();
      assert.ok(done.length >= 10, `${done.length} steps`);
      assert.notDeepEqual(node.tree(), before);
      await uninstall(node);
      assert.deepEqual(node.tree(), before);
      await node.install();
      await uninstall(node, { purge: true });
      assert.deepEqual(node.tree(), before);
      assert.deepEqual(node.tree('/var/lib').sandwarden, undefined);
    });
  }
  test('a second run has nothing to do', async () => {
    await using node = await nodeWith(roots.kubeadm);
    await node.install();
    const { steps, conflicts } = await node.prepare();
    assert.deepEqual({ steps, conflicts }, { steps: [], conflicts: [] });
  });
  test('a second run with other options changes only what they change', async () => {
    await using node = await nodeWith(roots.k3s);
    await node.install();
    const { steps, conflicts } = await node.prepare({ units: { ...options.units, bootHeal: false } });
    assert.deepEqual(conflicts, []);
    assert.deepEqual(
      steps.map((step) => (step.kind === 'remove' ? step.path.split('/').slice(4).join('/') : step.kind)),
      [
        'sandwarden-boot.service',
        'sandwarden-boot-after.service',
        'k3s.service.wants/sandwarden-boot.service',
        'k3s.service.wants/sandwarden-boot-after.service',
      ],
    );
    const before = node.tree();
    await node.install({ units: { ...options.units, bootHeal: false } });
    await node.install();
    assert.deepEqual(node.tree(), before);
    await uninstall(node);
    assert.deepEqual(
      Object.keys(node.tree()).filter((path) => path.includes('sandwarden')),
      [],
    );
  });
  test('the folder of the state is root’s alone', async () => {
    await using node = await nodeWith(roots.k3s);
    await node.install();
    assert.match(node.tree('/var/lib').sandwarden ?? '', /700$/);
    assert.match(node.tree('/var/lib')['sandwarden/install.json'] ?? '', /^600/);
  });
  test('the journal stays', async () => {
    await using node = await nodeWith(roots.k3s);
    await node.install();
    roots.plant(node.path, { '/var/lib/sandwarden/journal.ndjson': '', '/var/lib/sandwarden/boots': '1 1\n' });
    await uninstall(node);
    const left = Object.keys(node.tree('/var/lib/sandwarden'));
    assert.deepEqual(
      left.filter((name) => !name.startsWith('lock.')),
      ['journal.ndjson'],
    );
  });
  test('systemd is asked in the order that lets everything be taken back', async () => {
    const { systemd, asked } = quietSystemd();
    await using node = await nodeWith(roots.k3s, systemd);
    await node.install();
    assert.deepEqual(asked, ['verify 5', 'reload', 'start']);
    asked.length = 0;
    await uninstall(node);
    assert.deepEqual(asked, ['stop', 'reset-failed', 'reload']);
  });
});

describe("what is the user's", () => {
  test('a unit that was changed is refused with the difference, and replaced with force', async () => {
    await using node = await nodeWith(roots.kubeadm);
    await node.install();
    const path = join(node.path, clockUnit);
    writeFileSync(path, readFileSync(path, 'utf8').replace('TimeoutStopSec=5', 'TimeoutStopSec=50'));
    const { conflicts } = await node.prepare();
    assert.deepEqual(
      conflicts.map(({ path: at, what, diff }) => ({ at, what, diff })),
      [{ at: clockUnit, what: 'changed', diff: ['-TimeoutStopSec=50', '+TimeoutStopSec=5'] }],
    );
    assert.deepEqual((await prepareRemoval(node.files))?.changed, [clockUnit]);
    await node.install({ force: true });
    assert.deepEqual((await node.prepare()).steps, []);
  });
  test('a foreign file comes back when ours goes', async () => {
    await using node = await nodeWith({ ...roots.kubeadm, [clockUnit]: '[Service]\nExecStart=/mine\n' });
    chmodSync(join(node.path, clockUnit), 0o640);
    const before = node.tree();
    const { conflicts } = await node.prepare();
    assert.deepEqual(
      conflicts.map((each) => [each.path, each.what]),
      [[clockUnit, 'foreign']],
    );
    await node.install({ force: true });
    assert.equal((await node.prepare()).conflicts.length, 0);
    await node.install({ units: { ...options.units, limitMs: 30_000 } });
    await uninstall(node);
    assert.deepEqual(node.tree(), before);
  });
  test('a unit that is masked stays masked', async () => {
    await using node = await nodeWith({ ...roots.kubeadm, [clockUnit]: '-> /dev/null' });
    assert.match((await node.prepare()).conflicts[0]?.says ?? '', /masked/);
  });
  test('a drop-in of the user stays when ours goes', async () => {
    await using node = await nodeWith(roots.kubeadm);
    await node.install();
    const dropIn = `${clockUnit}.d/mine.conf`;
    roots.plant(node.path, { [dropIn]: '[Unit]\n', '/etc/sandwarden/mine': '' });
    await uninstall(node);
    assert.ok(await node.files.has(dropIn));
    assert.ok(await node.files.has('/etc/sandwarden/mine'));
  });
});

describe('hostile folders', () => {
  const elsewhere = { ...roots.k3s, '/opt/units/.keep': '' };
  const moved = async (target: string) => {
    const node = await nodeWith(elsewhere);
    for (const [path, content] of Object.entries(roots.k3s)) {
      if (path.startsWith('/etc/systemd/system/')) {
        roots.plant(node.path, { [path.replace('/etc/systemd/system', '/opt/units')]: content });
      }
    }
    rmSync(join(node.path, '/etc/systemd/system'), { recursive: true });
    symlinkSync(target, join(node.path, '/etc/systemd/system'));
    return node;
  };
  test('a unit folder that is a link of root is followed, and that is said', async () => {
    await using node = await moved('/opt/units');
    const before = node.tree('/opt');
    const { notes } = await node.prepare();
    assert.match(notes[0] ?? '', /\/etc\/systemd\/system leads to \/opt\/units/);
    await node.install();
    assert.ok(await node.files.has('/opt/units/sandwarden-clock.service'));
    await uninstall(node);
    assert.deepEqual(node.tree('/opt'), before);
  });
  test('one that leads where others may write is refused', async () => {
    await using node = await moved('/opt/units');
    roots.openToOthers(join(node.path, '/opt'));
    await assert.rejects(node.prepare(), (error) => {
      assert.ok(isSandwardenError(error, 'ERR_FORBIDDEN'));
      assert.match(error.message, /^\/opt belongs/);
      return true;
    });
  });
  test('a folder of links that others may write in is refused', async () => {
    await using node = await nodeWith({
      ...roots.k3s,
      '/etc/systemd/system/k3s.service.wants': '-> /opt/wants',
      '/opt/wants/x': '',
    });
    roots.openToOthers(join(node.path, '/opt/wants'));
    const before = node.tree();
    await assert.rejects(node.install(), (error) => isSandwardenError(error, 'ERR_FORBIDDEN'));
    assert.deepEqual(node.tree(), before);
  });
  test('a link in place of the record is not followed', async () => {
    await using node = await nodeWith({ ...roots.k3s, '/srv/victim': 'precious' });
    await node.install();
    rmSync(join(node.path, manifestPath));
    symlinkSync('/srv/victim', join(node.path, manifestPath));
    await assert.rejects(node.prepare(), (error) => isSandwardenError(error, 'ERR_CONFIG'));
    await node.install({ force: true });
    assert.equal(readFileSync(join(node.path, '/srv/victim'), 'utf8'), 'precious');
  });
  test('a file where a folder should be', async () => {
    await using node = await nodeWith({ ...roots.k3s, '/etc/systemd/system/timers.target.wants': '' });
    await assert.rejects(node.prepare(), (error) => isSandwardenError(error, 'ERR_FILE'));
  });
  test('nothing below /usr is written: it may be read-only', async () => {
    await using node = await nodeWith(roots.k3s);
    const before = node.tree('/usr');
    assert.notDeepEqual(before, {});
    await node.install();
    assert.deepEqual(node.tree('/usr'), before);
  });
  test('where SELinux is on, what gives the files their labels is said', async () => {
    await using node = await nodeWith(roots.k3s);
    const prepared = await node.prepare();
    const style = { colour: false, unicode: true, width: 1_000 };
    const said = (seLinux: boolean) => doneText(prepared, [], { style, seLinux, isImage: false });
    assert.match(said(true), /restorecon -RF \/\S+.* \/etc\/systemd\/system\/sandwarden-clock\.service /);
    assert.match(said(true), /chcon -t bin_t \/usr\/local\/lib\/sandwarden\/node/);
    assert.doesNotMatch(said(false), /SELinux/);
  });
  test('what the kernel says is said in plain words', () => {
    const errno = (code: string) => Object.assign(new Error(code), { code, syscall: 'open' });
    const said = (code: string) => translated(errno(code), '/etc/x') as SandwardenError;
    assert.match(said('EROFS').message, /read-only/);
    assert.match(said('EROFS').hint, /--root/);
    assert.equal(said('EPERM').exitCode, 77);
    assert.match(said('ENOSPC').message, /disk is full/);
    const bug = new TypeError('x');
    assert.equal(translated(bug, '/'), bug);
  });
});

describe('all or nothing', () => {
  const failure = new SandwardenError('ERR_COMMAND_FAILED', 'no', { hint: '' });
  const reject = () => Promise.reject(failure);
  const failing: Record<string, Parameters<typeof quietSystemd>[0]> = {
    'units that systemd does not take': { verify: async () => ({ problems: ['sandwarden-x: bad'], notes: [] }) },
    'systemd-analyze that breaks': { verify: reject },
    'a systemd that does not reload': { reload: reject },
  };
  for (const [name, change] of Object.entries(failing)) {
    test(`${name} leaves nothing`, async () => {
      await using node = await nodeWith(roots.rke2, quietSystemd(change).systemd);
      const before = node.tree();
      await assert.rejects(node.install(), (error) => isSandwardenError(error, 'ERR_COMMAND_FAILED'));
      assert.deepEqual(node.tree(), before);
      assert.equal(await node.files.has(manifestPath), false);
    });
  }
  test('an update that fails leaves the old units', async () => {
    await using node = await nodeWith(roots.k3s);
    await node.install();
    const before = [node.tree(), readFileSync(join(node.path, manifestPath), 'utf8')];
    const broken = { ...node.machine, systemd: quietSystemd({ reload: reject }).systemd };
    const prepared = await node.prepare({ units: { ...options.units, bootHeal: false, syncWaitMs: 0 } });
    await assert.rejects(apply(broken, prepared), failure);
    assert.deepEqual([node.tree(), readFileSync(join(node.path, manifestPath), 'utf8')], before);
  });
  test('units that cannot be started now are told, and stay', async () => {
    await using node = await nodeWith(roots.k3s, quietSystemd({ start: reject }).systemd);
    const { notes } = await node.install();
    assert.match(notes.join(), /could not be started now: no/);
    assert.deepEqual((await node.prepare()).steps, []);
  });
  test('a failure at any moment takes back what was written, and removal too', async () => {
    await using node = await nodeWith(roots.k3s);
    // The folder of the state stays, so the first time looks more often than all others.
    await install(node.files);
    await remove(node.files);
    const before = node.tree();
    const calls = await callsOf(node, async (files) => void (await install(files)));
    const installed = node.tree();
    const removing = await callsOf(node, remove);
    assert.ok(calls > 60 && removing > 30, `${calls} and ${removing} looks at the disk`);
    for (let at = 1; at <= calls; at += 9) {
      await assert.rejects(install(new Failing(node.path, at)), /broken on purpose/, `at ${at} of ${calls}`);
      assert.deepEqual(node.tree(), before, `at ${at} of ${calls}`);
    }
    await node.install();
    for (let at = 1; at <= removing; at += 9) {
      await assert.rejects(remove(new Failing(node.path, at)), /broken on purpose/, `at ${at} of ${removing}`);
      assert.deepEqual(node.tree(), installed, `at ${at} of ${removing}`);
    }
  });
});

describe('the record', () => {
  test('cut off at any byte: nothing is changed, and force makes it anew', async () => {
    await using node = await nodeWith(roots.k3s);
    await node.install();
    const path = join(node.path, manifestPath);
    const whole = readFileSync(path, 'utf8');
    for (let length = 0; length < whole.length - 1; length += 97) {
      writeFileSync(path, whole.slice(0, length));
      await assert.rejects(node.prepare(), (error) => isSandwardenError(error, 'ERR_CONFIG'));
      await assert.rejects(prepareRemoval(node.files), (error) => isSandwardenError(error, 'ERR_CONFIG'));
    }
    await node.install({ force: true });
    assert.equal((await prepareRemoval(node.files))?.manifest.state, 'installed');
  });
  test('of an installation that was killed: install finishes it, uninstall takes it away', async () => {
    for (const finish of [true, false]) {
      await using node = await nodeWith(roots.kubeadm);
      const before = node.tree();
      await node.install();
      const path = join(node.path, manifestPath);
      writeFileSync(path, readFileSync(path, 'utf8').replace('"installed"', '"installing"'));
      for (const gone of ['sandwarden-boot.service', 'timers.target.wants/sandwarden-heartbeat.timer']) {
        rmSync(join(node.path, '/etc/systemd/system', gone));
      }
      if (finish) {
        assert.equal((await node.install()).done.length, 2);
        assert.equal((await prepareRemoval(node.files))?.manifest.state, 'installed');
      }
      await uninstall(node);
      assert.deepEqual(node.tree(), before);
    }
  });
  test('that names a path outside is not believed', async () => {
    await using node = await nodeWith(roots.k3s);
    await node.install();
    const path = join(node.path, manifestPath);
    writeFileSync(path, readFileSync(path, 'utf8').replace('/etc/sandwarden/boot.conf', '/etc/../../../../etc/passwd'));
    await assert.rejects(prepareRemoval(node.files), (error) => isSandwardenError(error, 'ERR_CONFIG'));
  });
  test('is not written while another Sandwarden works', async () => {
    await using node = await nodeWith(roots.k3s);
    const before = node.tree();
    roots.plant(node.path, { '/var/lib/x': '' });
    const lock = await (await openStateDir(stateDirOf(node.files))).lock(systemClock().wallNs());
    await assert.rejects(node.install(), (error) => isSandwardenError(error, 'ERR_LOCKED'));
    assert.deepEqual(node.tree(), before);
    await lock.release();
    await node.install();
  });
});

/** Breaks at the `at`th look at the disk. */
class Failing extends Rooted {
  calls = 0;
  readonly #at: number;

  constructor(root: string, at: number) {
    super(root);
    this.#at = at;
  }

  override resolve(path: string, how?: { readonly keepLast?: boolean }): Promise<Resolved> {
    this.calls += 1;
    if (this.calls === this.#at) throw new SandwardenError('ERR_FILE', 'broken on purpose', { hint: '' });
    return super.resolve(path, how);
  }
}

async function install(files: Rooted): Promise<void> {
  await apply({ files, clock: systemClock() }, await prepare(files, options));
}

async function remove(files: Rooted): Promise<void> {
  const removal = await prepareRemoval(files);
  if (removal !== undefined) await removeInstalled({ files, clock: systemClock() }, removal);
}

async function callsOf(node: Node, work: (files: Rooted) => Promise<void>): Promise<number> {
  const counting = new Failing(node.path, 0);
  await work(counting);
  return counting.calls;
}
