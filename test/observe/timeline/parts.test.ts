import assert from 'node:assert/strict';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { TimelineGap } from '../../../src/model/incident.ts';
import type { Moment } from '../../../src/model/records.ts';
import { type Entry, momentOf, parseEntry, SequenceWatch } from '../../../src/observe/timeline/entry.ts';
import { FreezeWatch } from '../../../src/observe/timeline/freezes.ts';
import { readCrashes } from '../../../src/observe/timeline/pstore.ts';
import { tempDir } from '../../helpers/temp.ts';

const bootId = 'a'.repeat(32);
const failed = 'E0301 00:00:10.1 7 controller.go:195] "Failed to update lease" err="context deadline exceeded"';
const at = (seconds: number, text = 'I0301 00:00:10.1 7 kubelet.go:1] "SyncLoop"'): Entry => ({
  ...{ writer: 'kubelet', text, bootId, cursor: '' },
  wallUs: 1.7e15 + seconds * 1e6,
  monotonicUs: seconds * 1e6,
});

describe('FreezeWatch', () => {
  const watch = (entries: readonly Entry[], endS: number) => {
    const freezes = new FreezeWatch();
    for (const each of entries) freezes.add(each);
    const last: Moment = momentOf(at(endS));
    return freezes.end(last);
  };
  const talk = (fromS: number, toS: number, everyS = 30) =>
    Array.from({ length: Math.floor((toS - fromS) / everyS) }, (_, n) => at(fromS + n * everyS));
  const failures = (fromS: number, toS: number) =>
    Array.from({ length: Math.floor((toS - fromS) / 10) }, (_, n) => at(fromS + n * 10, failed));
  const merged = (...parts: Entry[][]) => parts.flat().sort((a, b) => a.monotonicUs - b.monotonicUs);

  test('failures of the lease for two minutes, and then it goes on', () => {
    const [freeze, ...others] = watch(merged(talk(10, 9_000), failures(5_000, 5_120)), 9_000);
    assert.equal(others.length, 0);
    assert.deepEqual([freeze?.failures, freeze?.silent, freeze?.untilTheEnd], [12, false, false]);
    assert.equal(freeze?.lastedNs, 110n * 1_000_000_000n);
  });

  test('failures that go over into silence until the end are one freeze', () => {
    const [freeze, ...others] = watch(merged(talk(10, 5_000), failures(5_000, 5_240)), 16_000);
    assert.equal(others.length, 0);
    assert.deepEqual([freeze?.failures, freeze?.silent, freeze?.untilTheEnd], [24, true, true]);
    assert.equal(freeze?.lastedNs, 11_000n * 1_000_000_000n);
  });

  test('silence alone, where it spoke each half minute; not where it never spoke much', () => {
    assert.equal(watch(merged(talk(10, 5_000), talk(6_000, 7_000)), 7_000)[0]?.silent, true);
    assert.deepEqual(watch(talk(10, 90_000, 1_200), 90_000), []);
    assert.deepEqual(watch(merged(talk(10, 90_000, 300)), 95_000), []);
  });

  test('an API that comes up after kubelet, a short hiccup, and two failures are none', () => {
    assert.deepEqual(watch(merged(talk(10, 4_000), failures(20, 240)), 4_000), []);
    const started = at(2_000, 'I0301 00:00:10.1 7 server.go:1] "Kubelet version" kubeletVersion="v1.34.1"');
    assert.deepEqual(watch(merged(talk(10, 4_000), [started], failures(2_010, 2_200)), 4_000), []);
    assert.deepEqual(watch(merged(talk(10, 4_000), failures(3_000, 3_040)), 4_000), []);
    assert.deepEqual(watch(merged(talk(10, 4_000), failures(3_000, 3_020)), 4_000), []);
  });
});

describe('parseEntry', () => {
  const fields = { __REALTIME_TIMESTAMP: '1700000000000000', __MONOTONIC_TIMESTAMP: '5', _BOOT_ID: bootId };
  const entry = (more: object) => parseEntry(JSON.stringify({ ...fields, ...more }));

  test('who wrote it, by fields that nobody can forge', () => {
    assert.equal(entry({ _TRANSPORT: 'kernel' })?.writer, 'kernel');
    assert.equal(entry({ _PID: '1' })?.writer, 'systemd');
    assert.equal(entry({ _SYSTEMD_UNIT: 'rke2-agent.service' })?.writer, 'kubelet');
    assert.equal(entry({ _SYSTEMD_UNIT: 'containerd.service' })?.writer, 'runtime');
    assert.equal(entry({ SYSLOG_IDENTIFIER: 'kubelet', _SYSTEMD_UNIT: 'x.service' })?.writer, 'other');
  });

  test('bytes that are no UTF-8, texts that are given twice, none at all; without a date it is none', () => {
    assert.equal(entry({ MESSAGE: [114, 99, 117, 255] })?.text, 'rcu\ufffd');
    assert.equal(entry({ MESSAGE: ['a', 'b'] })?.text, 'a b');
    assert.equal(entry({ MESSAGE: null })?.text, '');
    assert.equal(entry({ __REALTIME_TIMESTAMP: 'never' }), undefined);
    assert.equal(entry({ _BOOT_ID: '../..' }), undefined);
  });

  test('any line: an entry or none', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.json()), (line) => {
        parseEntry(line);
      }),
      { numRuns: 300 },
    );
  });
});

test('SequenceWatch counts what is missing in between, and nothing where another numbering begins', () => {
  const watch = new SequenceWatch();
  const [one, two] = ['1', '2'].map((each) => each.repeat(32));
  for (const cursor of [
    `s=${one};i=9;b=`,
    `s=${one};i=a;b=`,
    `s=${one};i=14;b=`,
    `s=${two};i=1;b=`,
    `s=${two};i=2;b=`,
    '',
  ]) {
    watch.add(cursor);
  }
  assert.equal(watch.missing, 9);
});

describe('readCrashes', () => {
  test('the line that says why, of the kernel’s own store and of where systemd moves it; no link is followed', async () => {
    await using dir = await tempDir();
    const [kernel, moved] = [dir.join('sys/fs/pstore'), dir.join('var/lib/systemd/pstore/1763')];
    for (const each of [kernel, moved]) mkdirSync(each, { recursive: true });
    const dump =
      'Panic#1 Part1\n<4>[  12.1] something\n<0>[  12.3] Kernel panic - not syncing: hung_task\n<4>[ 12.4] end\n';
    writeFileSync(`${kernel}/dmesg-ramoops-0`, dump);
    writeFileSync(`${moved}/dmesg.txt`, 'only one line\n');
    writeFileSync(`${kernel}/console-ramoops-0`, 'Kernel panic - not a record of a crash');
    symlinkSync('/etc/passwd', `${kernel}/dmesg-evil`);
    const gaps: TimelineGap[] = [];
    const found = await readCrashes(dir.path, 0n, gaps);
    assert.deepEqual(found.map((each) => each.text).sort(), [
      '<0>[  12.3] Kernel panic - not syncing: hung_task',
      'only one line',
    ]);
    assert.deepEqual(
      gaps.map((each) => each.source),
      ['pstore'],
    );
    assert.deepEqual(await readCrashes(dir.path, 10n ** 20n, []), []);
    assert.deepEqual(await readCrashes(dir.join('nothing'), 0n, []), []);
  });
});
