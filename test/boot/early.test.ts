import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { bootDefaults, renderBootConf, witnessesOf } from '../../src/boot/boot-conf.ts';
import { uncleanBoots, uncleanBootsInARow } from '../../src/boot/reboot-loop.ts';
import { tempDir } from '../helpers/temp.ts';

const script = resolve(import.meta.dirname, '../../src/boot/early.sh');
const has = (program: string) => spawnSync(program, ['--help'], { stdio: 'ignore' }).error === undefined;
const shells = [['dash'], ['busybox', 'ash'], ['bash', '--posix']].filter(([name]) => has(name ?? ''));
const metaDb = '/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db';

/** A machine as folders: what early.sh reads and writes of it. */
class Root {
  readonly path: string;
  readonly shell: readonly string[];

  constructor(path: string, shell: readonly string[]) {
    this.path = path;
    this.shell = shell;
    this.write('/proc/uptime', '9.31 17.02\n');
    this.write('/proc/sys/kernel/random/boot_id', 'boot-1\n');
    this.write('/node', '#!/bin/sh\nprintf "%s\\n" "$*" >>"$SANDWARDEN_ROOT/started"\n');
    chmodSync(this.of('/node'), 0o755);
    const conf = { ...bootDefaults, node: this.of('/node'), program: '/sandwarden.js' };
    this.write('/etc/sandwarden/boot.conf', renderBootConf({ ...conf, witnesses: witnessesOf('/var/lib/containerd') }));
    for (const folder of ['/run/sandwarden', '/var/lib/sandwarden']) mkdirSync(this.of(folder), { recursive: true });
    this.write(metaDb, '', -60);
    this.write('/var/log/journal/m/system@1.journal~', '', -60);
  }

  of(path: string): string {
    return join(this.path, path);
  }

  write(path: string, text: string, fromNowS = 0): void {
    mkdirSync(dirname(this.of(path)), { recursive: true });
    writeFileSync(this.of(path), text);
    const date = Date.now() / 1_000 + fromNowS;
    utimesSync(this.of(path), date, date);
  }

  read(path: string): string | undefined {
    return existsSync(this.of(path)) ? readFileSync(this.of(path), 'utf8') : undefined;
  }

  run(step: string, signal: NodeJS.Signals | null = null): { stderr: string } {
    const [program = '', ...args] = this.shell;
    const env = { ...process.env, SANDWARDEN_ROOT: this.path, PATH: `${this.path}/bin:${process.env.PATH}` };
    const ran = spawnSync(program, [...args, script, step], { env, encoding: 'utf8' });
    assert.equal(ran.signal, signal);
    if (signal === null) assert.equal(ran.status, 0, ran.stderr);
    return { stderr: ran.stderr };
  }

  /** systemctl says this state. */
  system(state: string): void {
    this.write('/bin/systemctl', `#!/bin/sh\necho ${state}\n`);
    chmodSync(this.of('/bin/systemctl'), 0o755);
  }

  reboot(): void {
    rmSync(this.of('/run/sandwarden'), { recursive: true });
    mkdirSync(this.of('/run/sandwarden'));
  }
}

async function folderOf(t: TestContext): Promise<string> {
  const folder = await tempDir();
  t.after(() => folder[Symbol.asyncDispose]());
  return folder.path;
}

const flag = (name: string) => `/run/sandwarden/${name}`;

for (const shell of shells) {
  const machine = async (t: TestContext) => new Root(await folderOf(t), shell);

  describe(`early.sh under ${shell.join(' ')}`, () => {
    test('the first boot: nothing is flagged, no Node', async (t) => {
      const root = await machine(t);
      assert.equal(root.run('start').stderr, '');
      for (const each of ['unclean', 'clock-behind']) assert.equal(root.read(flag(each)), undefined);
      assert.equal(root.read('/started'), undefined);
      assert.equal(root.read('/var/lib/sandwarden/clean'), '');
      assert.equal(root.read('/var/lib/sandwarden/heartbeat'), '9 boot-1\n');
    });

    test('a shutdown in order, then a power cut', async (t) => {
      const root = await machine(t);
      root.run('start');
      root.system('stopping');
      root.run('stop');
      assert.equal(root.read('/var/lib/sandwarden/clean'), 'boot-1\n');
      root.reboot();
      root.run('start');
      assert.equal(root.read(flag('unclean')), undefined);
      root.reboot();
      root.write('/var/lib/sandwarden/heartbeat', '300 boot-2\n', -10);
      root.run('start');
      assert.equal(root.read(flag('unclean')), '');
      assert.match(root.read('/var/lib/sandwarden/boots') ?? '', /^\d{10} 300 boot-1\n$/);
      assert.equal(root.read('/started'), undefined);
    });

    test('a power cut and a clock that is behind: the boot is written down before Node starts, and once more', async (t) => {
      const root = await machine(t);
      root.run('start');
      root.reboot();
      root.write('/proc/sys/kernel/random/boot_id', 'boot-2\n');
      root.write(metaDb, '', 7_200);
      root.write('/node', '#!/bin/sh\ncp "$SANDWARDEN_ROOT/var/lib/sandwarden/boots" "$SANDWARDEN_ROOT/before"\n');
      root.run('start');
      assert.match(root.read('/before') ?? '', /^\d{10} 9 boot-2\n$/);
      const boots = root.read('/var/lib/sandwarden/boots') ?? '';
      assert.match(boots, /^(\d{10} 9 boot-2\n){2}$/);
      assert.equal(uncleanBoots(boots).length, 1);
    });

    for (const [what, heartbeat] of [
      ['cut off', ''],
      ['garbage', '\0\0\0\0 \n'],
      ['without an end', '300'],
      ['a folder', undefined],
    ] as const) {
      test(`the heartbeat of the last boot is ${what}: the boot is counted all the same`, async (t) => {
        const root = await machine(t);
        root.run('start');
        root.reboot();
        if (heartbeat === undefined) {
          rmSync(root.of('/var/lib/sandwarden/heartbeat'));
          mkdirSync(root.of('/var/lib/sandwarden/heartbeat'));
        } else root.write('/var/lib/sandwarden/heartbeat', heartbeat);
        root.run('start');
        const [boot, ...more] = uncleanBoots(root.read('/var/lib/sandwarden/boots') ?? '');
        assert.deepEqual([boot?.lived, more], [heartbeat === '300' ? 300 : 0, []]);
      });
    }

    test('killed while it waits for Node: the boot is written down', async (t) => {
      const root = await machine(t);
      root.run('start');
      root.reboot();
      root.write(metaDb, '', 7_200);
      root.write('/node', '#!/bin/sh\nkill -KILL $PPID\n');
      root.run('start', 'SIGKILL');
      assert.match(root.read('/var/lib/sandwarden/boots') ?? '', /^\d{10} 9 boot-1\n$/);
    });

    test('who only stops the unit has not shut down', async (t) => {
      const root = await machine(t);
      root.run('start');
      root.system('running');
      root.run('stop');
      assert.equal(root.read('/var/lib/sandwarden/clean'), '');
    });

    test('started twice in one boot: judged once', async (t) => {
      const root = await machine(t);
      root.run('start');
      root.run('start');
      assert.equal(root.read(flag('unclean')), undefined);
      assert.equal(root.read('/var/lib/sandwarden/boots'), undefined);
    });

    for (const [what, path] of [
      ['meta.db', metaDb],
      ['a file of a pattern', '/var/log/journal/m/user-1000@2.journal~'],
      ['the last witness of the list', '/var/lib/systemd/timesync/clock'],
    ] as const) {
      test(`${what} is dated after now: Node is started, once`, async (t) => {
        const root = await machine(t);
        root.write(path, '', 7_200);
        root.run('start');
        assert.equal(root.read('/started'), '/sandwarden.js boot clock\n');
        assert.match(root.read(flag('clock-behind')) ?? '', /^\/var\/l/);
      });
    }

    test('a configuration that is damaged, or none: it goes on', async (t) => {
      const root = await machine(t);
      root.write(
        '/etc/sandwarden/boot.conf',
        'node=$(touch pwned)\nwitness=relative\nwitness=/$(touch pwned)\n\\\n=\n',
      );
      root.run('start');
      rmSync(root.of('/etc/sandwarden/boot.conf'));
      root.reboot();
      root.run('start');
      assert.equal(root.read('/pwned'), undefined);
      assert.equal(existsSync('pwned'), false);
      assert.equal(root.read(flag('unclean')), '');
    });

    test('a disk that cannot be written: the flags are there all the same', async (t) => {
      const root = await machine(t);
      root.run('start');
      root.reboot();
      root.write(metaDb, '', 7_200);
      // Root may write anything; a folder in the place of a file refuses it as a read-only disk does.
      rmSync(root.of('/var/lib/sandwarden/heartbeat'));
      mkdirSync(root.of('/var/lib/sandwarden/heartbeat'));
      mkdirSync(root.of('/var/lib/sandwarden/boots'));
      root.run('start');
      assert.equal(root.read(flag('unclean')), '');
      assert.equal(root.read('/started'), '/sandwarden.js boot clock\n');
    });
  });
}

test('a normal boot costs no process, and a millisecond or two', {
  skip: !has('strace') || !has('dash'),
}, async (t) => {
  const root = new Root(await folderOf(t), ['dash']);
  const trace = join(root.path, 'trace');
  const argv = ['-f', '-qq', '-e', 'trace=process,file', '-o', trace, 'dash', script, 'start'];
  execFileSync('strace', argv, { env: { SANDWARDEN_ROOT: root.path, PATH: process.env.PATH } });
  const calls = readFileSync(trace, 'utf8').split('\n');
  assert.deepEqual(
    calls.filter((line) => /\b(v?fork|clone3?)\(/.test(line)),
    [],
  );
  assert.equal(calls.filter((line) => /execve\(/.test(line)).length, 1);
  assert.ok(calls.length < 80, `${calls.length} system calls on files`);
});

test('boots in a row: by their dates and by how long they lived', () => {
  const count = (...boots: [date: number, lived: number][]) =>
    uncleanBootsInARow(`garbage\n${boots.map((each) => `${each.join(' ')}\n`).join('')}`);
  assert.equal(count(), 0);
  assert.equal(count([1_000, 0], [1_600, 500], [2_000, 300]), 3);
  assert.equal(count([1_000, 0], [6_000, 500], [6_400, 300]), 2);
  // A board without a battery begins each boot on the same day; a week went by in between.
  assert.equal(count([1_000, 0], [1_000, 600_000], [1_000, 600_000]), 1);
  assert.equal(count([1_000, 0], [1_000, 60], [1_000, 60]), 3);
  assert.equal(count([5_000, 0], [1_000, 60], [1_100, 60]), 2);
});

test('unclean boots: of one boot the last line counts, its clock was put right before', () => {
  assert.deepEqual(
    uncleanBoots('5000 0\n1000 60 a-1\n9000 60 a-1\n1000 70 b-2\n1000 70 b-2 c\n').map(({ date }) => date),
    [5_000, 9_000, 1_000],
  );
  // Killed in the middle of the clock step each time, a boot has the first line alone.
  assert.equal(uncleanBootsInARow('1000 0 a\n1010 30 b\n1020 30 c\n'), 3);
});
