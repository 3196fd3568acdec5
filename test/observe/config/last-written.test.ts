// Goal: a unit is told to have written a file by its date only where that is certain. Method: runs, dates and clocks of
// each kind, and what a systemd before 247 answers.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { SandwardenError } from '../../../src/model/errors.ts';
import { Ended, type Run } from '../../../src/observe/child.ts';
import { lastWriters, type UnitRun, wallUs } from '../../../src/observe/config/last-written.ts';
import { observeWriters, parseUnits } from '../../../src/observe/config/writers.ts';
import { tempDir } from '../../helpers/temp.ts';

const second = 1_000_000n;
const bootedUs = 1_790_000_000n * second;
const now = { wallUs: bootedUs + 600n * second, monotonicUs: 600n * second };
const path = '/etc/containerd/config.toml';

function run(id: string, from: bigint, to?: bigint): UnitRun {
  const done = to === undefined ? {} : { doneWallUs: bootedUs + to * second };
  return { id, startedUs: from * second, startedWallUs: bootedUs + from * second, ...done };
}

const written = (atS: bigint, changedS = atS) => [
  { path, modifiedNs: (bootedUs + atS * second) * 1_000n, changedNs: (bootedUs + changedS * second) * 1_000n },
];
const namesOf = (...args: Parameters<typeof lastWriters>) => [...lastWriters(...args).keys()];

describe('who last wrote a file', () => {
  test('the one unit that ran then, with the time', () => {
    const runs = [run('early', 1n, 5n), run('setup', 10n, 20n), run('late', 21n, 30n)];
    assert.deepEqual([...lastWriters(written(12n), runs, now)], [['setup', { path, atUs: 12n * second }]]);
    assert.deepEqual(namesOf(written(7n), runs, now), [], 'nobody ran');
    assert.deepEqual(namesOf(written(-90n), runs, now), [], 'before the boot');
  });

  test('a unit that has not ended, and two at once', () => {
    assert.deepEqual(namesOf(written(500n), [run('setup', 10n)], now), ['setup']);
    assert.deepEqual(namesOf(written(12n), [run('setup', 10n), run('other', 11n, 13n)], now), []);
  });

  test('the date of a file lags by a tick of the kernel', () => {
    const early = [{ path, modifiedNs: (bootedUs + 10n * second) * 1_000n - 9_000_000n, changedNs: 0n }];
    assert.deepEqual(namesOf(early, [run('setup', 10n, 20n)], now), ['setup']);
  });

  test('a copy that kept the date of its original', () => {
    const runs = [run('setup', 10n, 20n)];
    assert.deepEqual([...lastWriters(written(-9_000n, 12n), runs, now)], [['setup', { path, atUs: 12n * second }]]);
    // What was changed later without being written (chmod) was still written then.
    assert.deepEqual(namesOf(written(12n, 300n), runs, now), ['setup']);
  });

  test('a clock that was stepped since: the date may be of another boot', () => {
    const runs = [run('setup', 10n, 20n)];
    const stepped = { ...now, wallUs: now.wallUs + 7_200n * second };
    assert.deepEqual(namesOf(written(12n), runs, stepped), []);
    assert.deepEqual(namesOf(written(12n), runs, { ...now, wallUs: now.wallUs + second }), ['setup'], 'slewed');
  });

  test('the dates of systemctl', () => {
    assert.equal(wallUs('Sun 2026-11-22 09:49:54.123456 UTC'), 1_795_340_994_123_456n);
    for (const text of ['Sun 2026-11-22 09:49:54 UTC', 'n/a', '', 'Sun 2026-99-22 09:49:54.123456 UTC', undefined])
      assert.equal(wallUs(text), undefined, text);
  });

  test('what a timer starts is no part of the boot; what ran on is known by its start alone', () => {
    const of = (...lines: string[]) => parseUnits(['Id=x.service', 'LoadState=loaded', ...lines].join('\n'))[0];
    const at = (key: string, s: string) => `${key}=Sun 2026-11-22 09:49:${s}.000000 UTC`;
    const began = at('InactiveExitTimestamp', '10');
    const up = at('ActiveEnterTimestamp', '11');
    const seconds = (unit: ReturnType<typeof of>) =>
      unit?.doneWallUs === undefined ? undefined : Number((unit.doneWallUs / second) % 60n);
    assert.equal(of(began, up, 'TriggeredBy=apt.timer a.socket')?.isTimed, true);
    assert.equal(of(began, up, 'TriggeredBy=a.socket')?.isTimed, false);
    assert.equal(seconds(of(began)), undefined);
    assert.equal(seconds(of(began, up)), 11);
    assert.equal(seconds(of(began, up, at('InactiveEnterTimestamp', '40'))), 40);
    assert.equal(seconds(of(began, up, at('InactiveEnterTimestamp', '05'))), 11, 'of the run before');
    assert.equal(seconds(of(began, up, 'InactiveEnterTimestamp=Sun 2026-11-22 19:00:00.000000 UTC')), 11);
  });

  test('a systemd that has no such option is asked without it', async () => {
    await using root = await tempDir();
    const asked: boolean[] = [];
    const old: Run = async (argv) => {
      asked.push(argv.includes('--timestamp=us+utc'));
      if (asked.length === 2) return { stdout: 'Id=containerd.service\nLoadState=loaded\n', stderr: '' };
      throw new SandwardenError('ERR_COMMAND_FAILED', 'systemctl failed', {
        hint: '',
        cause: new Ended('exit 1', "systemctl: unrecognized option '--timestamp=us+utc'"),
      });
    };
    const answer = await observeWriters({ unit: 'containerd.service', file: path, files: [path] }, root.path, old);
    assert.deepEqual([answer, asked], [{ known: true, value: [] }, [true, false]]);
  });
});
