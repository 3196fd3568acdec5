// Goal: where there is no bus, systemd's own programs do the same. Method: programs of the test's own in place of
// systemctl and systemd-run; texts that systemctl 252 printed.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { SandwardenError } from '../../src/model/errors.ts';
import { run } from '../../src/observe/child.ts';
import { openSystemd } from '../../src/systemd/open.ts';
import { type RunProgram, shownUnit, systemdOverPrograms } from '../../src/systemd/systemctl.ts';
import { tempDir } from '../helpers/temp.ts';

const active = `Id=sandwarden-anchor-burstable.scope
Description=sandwarden anchor: kubepods-burstable.slice
LoadState=loaded
ActiveState=active
SubState=running
Transient=yes
FragmentPath=/run/systemd/transient/sandwarden-anchor-burstable.scope
After=kubepods-burstable.slice
Before=
ActiveEnterTimestampMonotonic=123456789
InactiveEnterTimestampMonotonic=0
ControlGroup=/kubepods.slice/kubepods-burstable.slice/sandwarden-anchor-burstable.scope
Slice=kubepods-burstable.slice
Delegate=yes
DelegateControllers=cpu cpuset io memory pids
AllowedCPUs=0-2 5
MemoryCurrent=184320
`;
const notFound = 'Id=a.scope\nLoadState=not-found\nActiveState=inactive\nDelegate=no\n';

const scope = {
  name: 'sandwarden-anchor-burstable.scope',
  slice: 'kubepods-burstable.slice',
  description: 'sandwarden anchor: kubepods-burstable.slice',
  command: ['/bin/sleep', '2147483647'] as const,
};

/** systemctl of the test's own: what it answers by its first word, and what it was asked. */
function systemctl(answers: Readonly<Record<string, () => string>>): { run: RunProgram; asked: string[] } {
  const asked: string[] = [];
  const answer: RunProgram = async (argv) => {
    asked.push(argv.slice(1).join(' '));
    if (argv.includes('--property=Version')) return { stdout: '252.38-1~deb12u1\n' };
    return { stdout: answers[argv[1] ?? '']?.() ?? '' };
  };
  return { run: answer, asked };
}

describe('a unit, as systemctl shows it', () => {
  test('all that is used of it', () => {
    const unit = shownUnit(active);
    assert.deepEqual(
      [unit?.activeState, unit?.slice, unit?.delegate, unit?.transient, unit?.activeSinceUs, unit?.memoryBytes],
      ['active', 'kubepods-burstable.slice', true, true, 123_456_789n, 184_320n],
    );
    assert.deepEqual(unit?.allowedCpus, [0, 1, 2, 5]);
    assert.deepEqual(unit?.after, ['kubepods-burstable.slice']);
  });
  test('one that is not there; one whose memory is not counted; no answer', () => {
    assert.equal(shownUnit(notFound), undefined);
    assert.equal(shownUnit(''), undefined);
    for (const word of ['[not set]', '18446744073709551615', '']) {
      assert.equal(shownUnit(active.replace('=184320', `=${word}`))?.memoryBytes, undefined, word);
    }
  });
});

describe('by the programs', () => {
  /** A systemd-run that says what it was given and then is what it was to run, as the real one. */
  async function systemdRun(script: string): Promise<AsyncDisposable & { path: string; said: string }> {
    const folder = await tempDir();
    await writeFile(folder.join('systemd-run'), `#!/bin/sh\n${script}\n`);
    await chmod(folder.join('systemd-run'), 0o755);
    return {
      path: `${folder.path}:/usr/bin:/bin`,
      said: folder.join('said'),
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    };
  }

  test('a scope', async () => {
    await using program = await systemdRun(`f="$(dirname "$0")/said"; echo "$$ $*" >"$f.new"; mv "$f.new" "$f"
      while [ "$1" != -- ]; do shift; done; shift; exec "$@"`);
    const { run } = systemctl({ show: () => (existsSync(program.said) ? active : notFound) });
    await using bus = await systemdOverPrograms(run, program.path);
    assert.deepEqual([bus.via, bus.release], ['systemctl', 252]);
    await bus.startScope(scope);
    const [pid = '', ...words] = readFileSync(program.said, 'utf8').trim().split(' ');
    try {
      assert.equal(
        words.join(' '),
        '--scope --quiet --collect --unit=sandwarden-anchor-burstable.scope --slice=kubepods-burstable.slice ' +
          '--description=sandwarden anchor: kubepods-burstable.slice --property=Delegate=yes ' +
          '--property=DefaultDependencies=no -- /bin/sleep 2147483647',
      );
      assert.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), /sleep/);
    } finally {
      process.kill(Number(pid), 'SIGKILL');
    }
  });
  test('a scope that systemd refuses: its own words', async () => {
    await using program = await systemdRun(
      "echo 'Failed to start transient scope unit: Unit x already exists.' >&2; exit 1",
    );
    const { run } = systemctl({ show: () => notFound });
    await using bus = await systemdOverPrograms(run, program.path);
    await assert.rejects(bus.startScope(scope), { code: 'ERR_SYSTEMD_FAILED', message: /already exists/ });
  });
  test('units are listed, started, stopped; what is not there is not asked for', async () => {
    const list = '  sandwarden-anchor-burstable.scope loaded active running x\n● -odd.scope loaded failed failed y\n';
    const { run, asked } = systemctl({ show: () => active, 'list-units': () => list });
    await using bus = await systemdOverPrograms(run);
    assert.deepEqual(await bus.unitNames(['sandwarden-anchor-*']), ['sandwarden-anchor-burstable.scope']);
    await bus.startUnit('a.service');
    await bus.stopUnit('a.service');
    await bus.reload();
    assert.deepEqual(
      asked.filter((each) => !each.startsWith('show') && !each.startsWith('list')),
      ['start -- a.service', 'stop -- a.service', 'daemon-reload'],
    );
    const none = systemctl({ show: () => notFound });
    await using without = await systemdOverPrograms(none.run);
    await without.stopUnit('a.service');
    await assert.rejects(without.startUnit('a.service'), { code: 'ERR_PRECONDITION' });
    await assert.rejects(without.setProperties('a.slice', [], false), { code: 'ERR_SYSTEMD_UNREACHABLE' });
    assert.deepEqual(
      none.asked.filter((each) => !each.startsWith('show')),
      [],
    );
  });
  test('without systemd: said, with what to do', async () => {
    const words = 'System has not been booted with systemd as init system (PID 1). Can’t operate.';
    const refuse: RunProgram = async () => {
      throw new SandwardenError('ERR_COMMAND_FAILED', `systemctl show failed: ${words}`, { hint: 'x' });
    };
    await assert.rejects(systemdOverPrograms(refuse), { code: 'ERR_SYSTEMD_UNREACHABLE', hint: /OpenRC/ });
    const missing: RunProgram = (argv) => run([`/nowhere/${argv[0]}`]);
    await assert.rejects(systemdOverPrograms(missing), { code: 'ERR_SYSTEMD_UNREACHABLE' });
    const other: RunProgram = async () => {
      throw new SandwardenError('ERR_COMMAND_FAILED', 'systemctl show failed: out of memory', { hint: 'x' });
    };
    await assert.rejects(systemdOverPrograms(other), { code: 'ERR_SYSTEMD_FAILED' });
  });
  test('no bus: the programs are asked', async () => {
    await using folder = await tempDir();
    const { run } = systemctl({});
    await using bus = await openSystemd(run, folder.join('no-bus'));
    assert.equal(bus.via, 'systemctl');
  });
});
