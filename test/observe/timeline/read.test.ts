// Goal: the journal of all boots is told as it was, with figures that are right, also where it is damaged, its clock
// jumped or somebody forged lines; in bounded memory. Method: real journal files, read by the real journalctl; the rest
// with a program that says what journalctl would.
import assert from 'node:assert/strict';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { SandwardenError } from '../../../src/model/errors.ts';
import type { TimelineBoot } from '../../../src/model/incident.ts';
import type { Run } from '../../../src/observe/child.ts';
import { endOfJournal, journalArgv, readTimeline } from '../../../src/observe/timeline/read.ts';
import { cannotMakeJournals, type JournalEntry, writeJournal } from '../../helpers/journal-file.ts';
import { november, novemberEntries } from '../../helpers/november.ts';
import { tempDir } from '../../helpers/temp.ts';

const skip = cannotMakeJournals ?? false;
const startUs = Date.parse('2026-03-01T00:00:00Z') * 1_000;
const [bootA, bootB] = ['a', 'b'].map((each) => each.repeat(32)) as [string, string];
const stall = 'rcu: INFO: rcu_preempt detected expedited stalls on CPUs/tasks: { 1-...D } 21 jiffies s: 5 root: 0x2/.';
const kernel = { _TRANSPORT: 'kernel', SYSLOG_IDENTIFIER: 'kernel' };
const kubelet = { _SYSTEMD_UNIT: 'kubelet.service', SYSLOG_IDENTIFIER: 'kubelet', _PID: '7' };

function line(bootId: string, us: number, wallUs: number, fields: Record<string, string>): JournalEntry {
  return { bootId, monotonicUs: us, wallUs, fields };
}

/** What journalctl would print of these, one JSON object a line. */
function programOf(entries: readonly JournalEntry[], boots = '[]', stderr = ''): Run {
  return async (argv, options) => {
    if (argv.includes('--list-boots')) return { stdout: boots, stderr: '' };
    for (const { bootId, monotonicUs, wallUs, fields } of entries) {
      const record = { __REALTIME_TIMESTAMP: `${wallUs}`, __MONOTONIC_TIMESTAMP: `${monotonicUs}`, _BOOT_ID: bootId };
      options?.onLine?.(JSON.stringify({ ...record, ...fields }));
    }
    return { stdout: '', stderr };
  };
}

describe('the November journal', { skip }, () => {
  test('its figures: boots and ends, dead sandboxes, driver, pods, creations, stalls, freeze', async () => {
    await using dir = await tempDir();
    const path = dir.join('november.journal');
    await writeJournal(path, novemberEntries());
    const { boots, gaps, lines } = await readTimeline({ sinceNs: 0n, journal: { path, isDirectory: false } });
    assert.deepEqual(gaps, []);
    assert.deepEqual(
      boots.map((each) => [each.bootId, each.end, each.ghosts?.holders, each.loops.length, stallsOf(each)]),
      [
        [november.bootIds[0], 'unclean', undefined, 0, 0],
        [november.bootIds[1], 'unclean', 36, 8, 1_191],
        [november.bootIds[2], 'unknown', 36, 8, 9],
      ],
    );
    const [, sick] = boots;
    assert.ok(sick && lines > 70_000);
    assert.deepEqual(
      sick.drivers.map((each) => each.driver),
      [november.driver],
    );
    assert.deepEqual(new Set(sick.loops.map((each) => each.pod)).size, 8);
    // One each 2.5 s until the freeze.
    const seconds = (november.freezeUs - november.resetUs) / 1e6 - 100;
    assert.deepEqual([sick.creationsFrom, sick.creations], ['systemd', Math.ceil(seconds / 2.5)]);
    assert.equal(
      sick.hours.reduce((sum, each) => sum + each.stalls, 0),
      1_191,
    );
    const [freeze, ...others] = sick.freezes;
    assert.ok(freeze?.untilTheEnd && freeze.silent && others.length === 0);
    assert.equal(freeze.first.wallNs, BigInt(november.freezeUs) * 1_000n);
    assert.equal(freeze.lastedNs, 3n * 3_600_000_000_000n);
    assert.deepEqual(sick.kernel.tasks, [{ task: 'runc:[2:INIT]', count: 1_191 }]);
  });

  test('cut off, or with a hole in it: what can be read is told, and what is damaged is said', async () => {
    await using dir = await tempDir();
    const path = dir.join('november.journal');
    await writeJournal(path, novemberEntries(60_000_000));
    const whole = readFileSync(path);
    const read = () => readTimeline({ sinceNs: 0n, journal: { path, isDirectory: false } });
    const all = (await read()).lines;
    truncateSync(path, Math.floor(whole.length / 3));
    assert.ok(await isTold(read, all), 'cut off');
    const hole = Buffer.from(whole);
    hole.fill(0xff, Math.floor(whole.length / 4), Math.floor(whole.length / 4) + 200_000);
    writeFileSync(path, hole);
    assert.ok(await isTold(read, all), 'a hole');
    writeFileSync(path, 'no journal at all');
    await assert.rejects(read(), SandwardenError);
  });
});

/** Fewer lines and a gap that says so; or an error that says what to do. */
async function isTold(read: () => ReturnType<typeof readTimeline>, all: number): Promise<boolean> {
  try {
    const { lines, gaps } = await read();
    return lines === all || (lines < all && gaps.length > 0 && gaps.every((each) => each.hint !== ''));
  } catch (error) {
    return error instanceof SandwardenError && error.hint !== '';
  }
}

function stallsOf(boot: TimelineBoot): number {
  return boot.kernel.troubles
    .filter((each) => each.kind === 'rcu-expedited')
    .reduce((sum, each) => sum + each.count, 0);
}

const shutdown = { _PID: '1', SYSLOG_IDENTIFIER: 'systemd', MESSAGE: 'Reached target reboot.target - System Reboot.' };

describe('boots', () => {
  const read = (entries: readonly JournalEntry[], bootId?: string) =>
    readTimeline({
      sinceNs: 0n,
      journal: { path: '/x', isDirectory: false },
      run: programOf(entries),
      ...(bootId ? { bootId } : {}),
    });

  test('a shutdown at the end is one; one that only looks like it is none', async () => {
    const end = line(bootA, 3_600e6, startUs + 3_600e6, shutdown);
    const next = line(bootB, 1e6, startUs + 3_700e6, { ...kernel, MESSAGE: 'Linux version 6.6' });
    const ends = async (entries: readonly JournalEntry[]) => (await read(entries, bootB)).boots.map((each) => each.end);
    assert.deepEqual(await ends([end, next]), ['clean', 'running']);
    const forged = { ...kubelet, MESSAGE: shutdown.MESSAGE, MESSAGE_ID: 'd93fb3c9c24d451a97cea615ce59c00b' };
    assert.deepEqual(await ends([{ ...end, fields: forged }, next]), ['unclean', 'running']);
    // The target was reached, and then it went on for an hour.
    const later = line(bootA, 7_300e6, startUs + 7_300e6, { ...kernel, MESSAGE: 'alive' });
    assert.deepEqual(await ends([end, later, next]), ['unclean', 'running']);
  });

  test('the order is that of the lines, whatever the clock says; a step is told with its size', async () => {
    const entries = [
      line(bootA, 10e6, startUs, { ...kernel, MESSAGE: 'first' }),
      line(bootA, 20e6, startUs + 10e6 + 7_200e6, { ...kernel, MESSAGE: 'two hours forward' }),
      line(bootA, 30e6, startUs + 20e6 + 7_200e6, { ...kernel, MESSAGE: stall }),
      // Booted again, in the past.
      line(bootB, 5e6, startUs - 86_400e6, { ...kernel, MESSAGE: stall }),
    ];
    const { boots } = await read(entries);
    assert.deepEqual(
      boots.map((each) => each.bootId),
      [bootA, bootB],
    );
    assert.deepEqual(
      boots[0]?.clockSteps.map((each) => [each.byNs, each.at.monotonicUs]),
      [[7_200_000_000_000n, 20_000_000n]],
    );
    assert.deepEqual(boots[1]?.clockSteps, []);
  });

  test("what a pod's author wrote into an object is no event: only kubelet's errors count", async () => {
    const quoted = (severity: string) =>
      `${severity}0301 00:00:10.100000       7 x.go:1] "Syncing" err="failed to reserve sandbox name \\"a_b_u_0\\": name ` +
      `\\"a_b_u_0\\" is reserved for \\"cafe\\"; back-off 5m0s restarting failed container=c pod=p_n(u)"`;
    const of = async (severity: string) => {
      const { boots } = await read([line(bootA, 10e6, startUs, { ...kubelet, MESSAGE: quoted(severity) })]);
      return [boots[0]?.ghosts?.holders, boots[0]?.loops.length];
    };
    assert.deepEqual(await of('E'), [1, 1]);
    assert.deepEqual(await of('I'), [undefined, 0]);
    // A process that calls itself kubelet is none.
    const forged = { SYSLOG_IDENTIFIER: 'kubelet', _SYSTEMD_UNIT: 'evil.service', MESSAGE: quoted('E') };
    assert.equal((await read([line(bootA, 10e6, startUs, forged)])).boots[0]?.ghosts, undefined);
    const kmsg = { SYSLOG_IDENTIFIER: 'kernel', _SYSTEMD_UNIT: 'evil.service', MESSAGE: stall };
    assert.deepEqual((await read([line(bootA, 10e6, startUs, kmsg)])).boots[0]?.kernel.troubles, []);
  });

  test('300,000 lines of ever new names and hours: all counted, few kept', async () => {
    function* many(): Generator<JournalEntry> {
      for (let n = 0; n < 100_000; n++) {
        const us = n * 60e6;
        const text = `failed to reserve sandbox name \\"p${n}_ns_u${n}_0\\": name \\"p${n}_ns_u${n}_0\\" is reserved for \\"h${n}\\"`;
        const at = (MESSAGE: string, who: Record<string, string>) => line(bootA, us, startUs + us, { ...who, MESSAGE });
        yield at(`E0301 00:00:10.100000       7 x.go:1] "Failed" err="${text}"`, kubelet);
        yield at(`INFO: task evil${n}:${n} blocked for more than 122 seconds.`, kernel);
        yield at(
          `Started cri-containerd-${`${n}`.padEnd(64, '0')}.scope - libcontainer container ${`${n}`.padEnd(64, '0')}.`,
          { _PID: '1' },
        );
      }
    }
    const { boots, lines } = await read([...many()]);
    const [boot] = boots;
    assert.ok(boot);
    assert.deepEqual([lines, boot.kernel.troubles[0]?.count], [300_000, 100_000]);
    assert.ok((boot.ghosts?.pods.length ?? 0) <= 1_000 && boot.kernel.tasks.length <= 8);
    assert.ok(boot.hours.length <= 2_160 && boot.hours.length > 1_600);
  });

  test('half a line and lines without a date are counted as not read; of a run that broke off the rest is told', async () => {
    const good = JSON.stringify({
      ...{
        __REALTIME_TIMESTAMP: `${startUs}`,
        __MONOTONIC_TIMESTAMP: '9000000',
        _BOOT_ID: bootA,
        ...kernel,
        MESSAGE: stall,
      },
    });
    const run: Run = async (argv, options) => {
      if (argv.includes('--list-boots')) return { stdout: 'garbage', stderr: '' };
      for (const each of [good, good.slice(0, 60), '{}', '-- No entries --']) options?.onLine?.(each);
      throw new SandwardenError('ERR_COMMAND_FAILED', 'journalctl failed: Bad message', { hint: 'Run it by hand.' });
    };
    const { boots, gaps, lines } = await readTimeline({
      sinceNs: 0n,
      journal: { path: '/x', isDirectory: false },
      run,
    });
    assert.deepEqual([lines, boots.length], [1, 1]);
    assert.deepEqual(
      gaps.map((each) => each.message),
      ['broke off: journalctl failed: Bad message', '2 lines could not be read, or had no date'],
    );
  });

  test('no permission is an error that says so', async () => {
    const hint = 'Hint: You are currently not seeing messages from other users and the system.';
    const run = programOf([], '[]', hint);
    await assert.rejects(readTimeline({ sinceNs: 0n, run, bootId: bootA }), { code: 'ERR_FORBIDDEN' });
  });
});

describe('journalArgv', () => {
  const sinceNs = BigInt(startUs) * 1_000n;
  const boot = (bootId: string, fromS: number) => {
    const firstNs = sinceNs + BigInt(fromS) * 1_000_000_000n;
    return { bootId, firstNs, lastNs: sinceNs + 10n ** 15n, end: 'unknown' as const };
  };

  test('by date; all of it where a clock was wrong, so that no boot is missed', () => {
    assert.ok(journalArgv({ sinceNs }, [boot(bootA, -90), boot(bootB, 90)]).includes(`--since=@${startUs / 1e6}`));
    const jumped = journalArgv({ sinceNs }, [boot(bootA, -90), boot(bootB, -50 * 365 * 86_400)]);
    assert.ok(!jumped.some((each) => each.startsWith('--since')));
  });
});

describe('endOfJournal', () => {
  const day = (date: string) => BigInt(Date.parse(date)) * 1_000_000n;
  const listed = (...boots: readonly (readonly [string, string, string])[]): Run => {
    const us = (date: string) => Date.parse(date) * 1_000;
    const list = boots.map(([id, from, to], index) => {
      const at = { first_entry: us(from), last_entry: us(to) };
      return { index: index - boots.length + 1, boot_id: id.repeat(32), ...at };
    });
    return programOf([], JSON.stringify(list));
  };
  const ends = (run: Run, now: string) =>
    endOfJournal({ journal: { path: '/x', isDirectory: true }, run }, day(`${now}T00:00:00Z`));
  const early = ['a', '2026-03-01', '2026-03-02'] as const;
  const wrong = ['b', '2036-01-01', '2036-01-02'] as const;
  const late = ['c', '2026-03-03', '2026-03-04'] as const;

  test('it is that of the boot written last, though another one has later dates', async () => {
    const { endNs, gaps } = await ends(listed(early, ['b', '2026-05-01', '2026-05-02'], late), '2026-06-01');
    assert.deepEqual([endNs, gaps], [day('2026-03-04'), []]);
  });
  test('a boot in the future is passed over and named, be it the last one', async () => {
    for (const boots of [
      [early, wrong, late],
      [early, late, wrong],
    ]) {
      const { endNs, gaps } = await ends(listed(...boots), '2026-06-01');
      assert.equal(endNs, day('2026-03-04'));
      assert.deepEqual(
        gaps.map((each) => each.source),
        ['the dates of boot bbbbbbbb'],
      );
      assert.match(gaps[0]?.message ?? '', /2036-01-02 00:00 UTC/);
    }
  });
  test('where all boots are in the future it is this clock that is behind; no boots have no end', async () => {
    assert.deepEqual(await ends(listed(early, late), '1970-01-02'), { endNs: day('2026-03-04'), gaps: [] });
    assert.deepEqual(await ends(listed(), '2026-06-01'), { gaps: [] });
  });
  test('a real journal: the list of journalctl has the order in which it was written', { skip }, async () => {
    await using dir = await tempDir();
    const path = dir.join('node.journal');
    const at = (id: string, date: string) =>
      line(id.repeat(32), 1e6, Date.parse(date) * 1_000, { ...kernel, MESSAGE: 'Linux version 6.6' });
    await writeJournal(path, [at('a', '2026-03-01'), at('b', '2026-05-02'), at('c', '2026-03-04')]);
    const { endNs } = await endOfJournal({ journal: { path, isDirectory: false } }, day('2026-06-01'));
    assert.equal(endNs, day('2026-03-04'));
  });
});
