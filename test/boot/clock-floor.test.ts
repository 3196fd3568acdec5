import assert from 'node:assert/strict';
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { bootDefaults, parseBootConf, readBootConf, renderBootConf } from '../../src/boot/boot-conf.ts';
import { describeClock, type FloorPorts, floorClock } from '../../src/boot/clock-floor.ts';
import { commitIntervalNs } from '../../src/boot/mounts.ts';
import { readClockNow, readWitnesses } from '../../src/boot/read-witnesses.ts';
import { flags, readBootRecord, readFlag, setFlag, writeBootRecord } from '../../src/boot/record.ts';
import { waitForTimeSync } from '../../src/boot/time-sync.ts';
import type { Witness } from '../../src/boot/witnesses.ts';
import { isSandwardenError, SandwardenError } from '../../src/model/errors.ts';
import type { Run } from '../../src/observe/child.ts';
import { tempDir } from '../helpers/temp.ts';

const S = 1_000_000_000n;
const nowNs = 1_795_284_081n * S;
const HOUR = 3_600n * S;
const missing: Run = ([program]) =>
  Promise.reject(new SandwardenError('ERR_COMMAND_MISSING', `${program} is not here`, { hint: 'install it' }));

const both: readonly Witness[] = [
  { family: 'containerd', from: 'meta.db', dateNs: nowNs + 2n * HOUR + 1n, slackNs: 5n * S },
  { family: 'journal', from: 'journalctl', dateNs: nowNs + 2n * HOUR, slackNs: 0n },
];

/** A wall clock that `date` sets, and that `sync` moves when it is waited for. */
function scene({ sync = 0n, isSynced = false, date }: { sync?: bigint; isSynced?: boolean; date?: Run } = {}) {
  const world = { wallNs: nowNs, set: [] as string[] };
  const ports: FloorPorts = {
    clock: { wallNs: () => world.wallNs, uptimeNs: () => 5n * S, sleep: async () => {} },
    run:
      date ??
      (async (argv) => {
        world.set.push(argv.join(' '));
        world.wallNs = BigInt(argv[3]?.slice(1) ?? 0) * S;
        return { stdout: '', stderr: '' };
      }),
    readClockNow: async (wallNs) => ({ wallNs, neverSet: false }),
    waitForTimeSync: async () => {
      world.wallNs += sync;
      return isSynced;
    },
  };
  return { world, ports };
}
const conf = { clockFloor: true, forwardDays: 30 };

describe('the clock floor', () => {
  test('sets the clock once, in whole seconds, to just after the newest trusted date', async () => {
    const { world, ports } = scene();
    const record = await floorClock(ports, { conf, witnesses: both });
    assert.equal(record.result, 'moved');
    assert.deepEqual(world.set, [`date -u -s @${(nowNs + 2n * HOUR) / S + 7n}`]);
    assert.match(describeClock(record), /^clock moved forward 2 h.*by containerd and journal$/);
  });

  test('a second time there is nothing to do', async () => {
    const { world, ports } = scene();
    await floorClock(ports, { conf, witnesses: both });
    assert.equal((await floorClock(ports, { conf, witnesses: both })).result, 'kept');
    assert.equal(world.set.length, 1);
  });

  for (const [what, options, asked, result] of [
    ['a synchronisation that comes wins', { isSynced: true }, conf, 'synchronized'],
    ['a clock that somebody moved meanwhile stays', { sync: 3n * HOUR }, conf, 'kept'],
    ['forbidden is forbidden', {}, { ...conf, clockFloor: false }, 'forbidden'],
    ['two hours are too far where none are allowed', {}, { ...conf, forwardDays: 0 }, 'kept'],
    ['what cannot be set is said', { date: missing }, conf, 'failed'],
  ] as const) {
    test(what, async () => {
      const { world, ports } = scene(options);
      const record = await floorClock(ports, { conf: asked, witnesses: both });
      assert.equal(record.result, result);
      assert.deepEqual(world.set, []);
      assert.notEqual(describeClock(record), '');
    });
  }
});

describe('the witnesses of a disk', () => {
  test('each file by its family, the journal by its last entries; what is not there is none', async () => {
    await using root = await tempDir();
    const touch = (path: string, agoS: number) => {
      mkdirSync(dirname(root.join(`.${path}`)), { recursive: true });
      writeFileSync(root.join(`.${path}`), '');
      const date = Number(nowNs / S) - agoS;
      utimesSync(root.join(`.${path}`), date, date);
    };
    assert.deepEqual(await readWitnesses({ conf: bootDefaults, run: missing, root: root.path }), []);
    touch('/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db', 10);
    touch('/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/abc', 20);
    touch('/var/lib/sandwarden/heartbeat', 30);
    touch('/var/lib/systemd/timesync/clock', 40);
    touch('/var/log/journal/m/system@1.journal~', 50);
    touch('/var/log/journal/m/system.journal', 0);
    const boot = (id: string, lastUs: number) => {
      return { index: 0, boot_id: id.repeat(32), first_entry: 1, last_entry: lastUs };
    };
    mkdirSync(root.join('proc/sys/kernel/random'), { recursive: true });
    mkdirSync(root.join('proc/self'), { recursive: true });
    writeFileSync(root.join('proc/sys/kernel/random/boot_id'), `${'c'.repeat(32)}\n`);
    writeFileSync(root.join('proc/self/mountinfo'), '22 1 8:1 / / rw - ext4 /dev/vda rw,commit=9\n');
    const run: Run = async () => ({ stdout: JSON.stringify([boot('a', 1_000_000), boot('c', 9_000_000)]), stderr: '' });
    const found = await readWitnesses({ conf: bootDefaults, run, root: root.path });
    const ago = (family: string) => {
      const own = found.filter((each) => each.family === family && each.from.endsWith('sandboxes') === false);
      return own.map((each) => Number((nowNs - each.dateNs) / S)).sort((a, b) => a - b);
    };
    assert.deepEqual([ago('containerd'), ago('heartbeat'), ago('timesync')], [[10, 20], [30], [40]]);
    assert.deepEqual(ago('journal'), [50, Number(nowNs / S) - 1]);
    assert.ok(found.filter((each) => each.family !== 'journal').every((each) => each.slackNs === 9n * S));
  });

  test('a clock without hardware, at the epoch of systemd or before this program was never set', async () => {
    await using root = await tempDir();
    const rtc = root.join('sys/class/rtc/rtc0');
    assert.equal((await readClockNow(nowNs, 0n, root.path)).neverSet, true);
    mkdirSync(rtc, { recursive: true });
    assert.equal((await readClockNow(nowNs, 0n, root.path)).neverSet, false);
    assert.equal((await readClockNow(5n * S, 0n, root.path)).neverSet, true);
    mkdirSync(root.join('usr/lib'), { recursive: true });
    writeFileSync(root.join('usr/lib/clock-epoch'), '');
    utimesSync(root.join('usr/lib/clock-epoch'), Number(nowNs / S), Number(nowNs / S));
    assert.equal((await readClockNow(nowNs + 20n * S, 10n * S, root.path)).neverSet, true);
    assert.equal((await readClockNow(nowNs + 48n * HOUR, 0n, root.path)).neverSet, false);
  });

  test('the commit interval of the file system a path lies on', () => {
    const mounts = [
      '22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw',
      '23 22 8:2 / /var/lib rw - xfs /dev/sdb rw',
      '24 23 8:3 / /var/lib/a\\040b rw - ext4 /dev/sdc rw,commit=60,lazytime',
      'garbage',
    ].join('\n');
    const of = (path: string) => Number(commitIntervalNs(mounts, path) / S);
    assert.deepEqual(['/etc/x', '/var/lib/x', '/var/lib/a b/x', '/var/library'].map(of), [5, 30, 60, 5]);
    assert.equal(commitIntervalNs('', '/x'), 30n * S);
  });
});

describe('the time synchronisation', () => {
  test('is waited for only where it is set up, until it is there or the time is over', async () => {
    await using root = await tempDir();
    let [nowMs, asked] = [0, 0];
    const clock = {
      wallNs: () => nowNs,
      uptimeNs: () => BigInt(nowMs) * 1_000_000n,
      sleep: async (ms: number) => {
        nowMs += ms;
      },
    };
    const run: Run = async () => ({ stdout: `NTPSynchronized=${++asked > 3 ? 'yes' : 'no'}\n`, stderr: '' });
    const wait = (by: Run, waitMs = 5_000) => waitForTimeSync({ clock, run: by, waitMs, root: root.path });
    assert.equal(await wait(run), false);
    assert.equal(asked, 0);
    mkdirSync(root.join('etc/systemd/system/multi-user.target.wants'), { recursive: true });
    writeFileSync(root.join('etc/systemd/system/multi-user.target.wants/chrony.service'), '');
    assert.equal(await wait(missing), false);
    assert.ok(nowMs >= 5_000 && nowMs < 6_000);
    assert.equal(await wait(run, 0), false);
    assert.equal(await wait(run), true);
    mkdirSync(root.join('run/systemd/timesync'), { recursive: true });
    writeFileSync(root.join('run/systemd/timesync/synchronized'), '');
    assert.equal(await wait(missing), true);
  });
});

describe('boot.conf', () => {
  test('is read as it was written', async () => {
    const other = {
      ...bootDefaults,
      layout: 'k3s' as const,
      containerdRoot: '/data/agent/containerd',
      dataDir: '/data',
      clockFloor: false,
      forwardDays: 3,
      syncWaitMs: 2_500,
      witnesses: ['/a b', '/c/*.d'],
    };
    for (const each of [bootDefaults, other]) assert.deepEqual(parseBootConf(renderBootConf(each)), each);
    await using root = await tempDir();
    assert.deepEqual(await readBootConf(root.path), bootDefaults);
  });

  test('a line that is not understood is named', () => {
    for (const line of ['x', 'colour=red', 'layout=openrc', 'forward-days=-1', 'witness=relative', 'node=']) {
      assert.throws(
        () => parseBootConf(`# good\n${line}\n`),
        (error) => isSandwardenError(error, 'ERR_CONFIG') && /line 2/.test(error.message),
      );
    }
  });
});

test('the record of a boot is read as it was written; a damaged one counts as none', async () => {
  await using dir = await tempDir();
  const empty = { format: 'sandwarden.boot/1', heal: [] } as const;
  assert.deepEqual(await readBootRecord(dir.path), empty);
  const { ports } = scene();
  const clock = await floorClock(ports, { conf, witnesses: both });
  await writeBootRecord({ ...empty, heal: [], clock }, dir.path);
  assert.deepEqual((await readBootRecord(dir.path)).clock, clock);
  writeFileSync(dir.join('boot.json'), '{"format":"sandwarden.boot/1"');
  assert.deepEqual(await readBootRecord(dir.path), empty);
  await setFlag(flags.afterKubelet, true, dir.path);
  assert.equal(await readFlag(flags.afterKubelet, dir.path), '');
  for (const _ of [1, 2]) await setFlag(flags.afterKubelet, false, dir.path);
  assert.equal(await readFlag(flags.afterKubelet, dir.path), undefined);
});
