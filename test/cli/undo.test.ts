// Goal: `heal --undo` on the command line: it shows the diff, puts back, says it in history, finds nothing to do the
// second time, and leaves what somebody changed. Method: the program over a state directory and a file of its own, in a
// folder that is root's alone; there is no runtime.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { sha256Of } from '../../src/heal/backups.ts';
import { openStateDir } from '../../src/heal/state-dir.ts';
import type { FileIdentity } from '../../src/model/plan.ts';
import { systemClock } from '../../src/observe/clock.ts';
import { sandwarden } from './spawn.ts';

const skip = process.geteuid?.() === 0 ? false : 'only root writes where root writes';
const [was, is] = ['a\nb = false\n', 'a\nb = true\n'];

describe('heal --undo', { skip }, () => {
  let folder = '';
  let file = '';
  const run = (...args: string[]) => sandwarden([...args, '--state-dir', join(folder, 'state')]);

  before(async () => {
    folder = mkdtempSync(join(homedir(), '.sandwarden-test-'));
    file = join(folder, 'config.toml');
    writeFileSync(file, is, { mode: 0o644 });
    const state = await openStateDir(join(folder, 'state'));
    for (const text of [was, is]) await state.backups.save(sha256Of(text), Buffer.from(text));
    const journal = await state.openJournal('3f2a91c0-0000-4000-8000-000000000001', systemClock());
    const identity = (text: string): FileIdentity => ({ sha256: sha256Of(text), mode: 0o644, uid: 0, gid: 0 });
    const files = [{ path: file, before: identity(was), after: identity(is), folders: [] }];
    const words = { reason: 'r', precondition: 'p', expects: 'e', tier: 'disruptive', code: 'SW503' } as const;
    const guard = { kind: 'write-config', files, restarts: [] } as const;
    const action = { kind: 'write-config', target: file, object: file, ...words, guard } as const;
    const { seq } = await journal.append({ kind: 'intent', read: 'as planned', action });
    await journal.append({ kind: 'outcome', of: seq, result: 'done', why: '', tookMs: 3, found: false });
    await journal.close();
  });
  after(() => folder && rmSync(folder, { recursive: true }));

  test('history says that it can be', async () => {
    assert.match((await run('history')).stdout, /undo {4}sandwarden heal --undo 3f2a91c0/);
  });

  test('the plan is a diff, and a dry run changes nothing', async () => {
    const { stdout, code } = await run('heal', '--undo', '3f2a', '--dry-run');
    assert.match(stdout, /1\. put back .*config\.toml SW503 disruptive/);
    assert.match(stdout, /\n {3}-b = true\n {3}\+b = false\n/);
    assert.deepEqual([code, readFileSync(file, 'utf8')], [0, is]);
  });

  test('what somebody changed since stays: exit 30', async () => {
    appendFileSync(file, 'more\n');
    const { stdout, code } = await run('heal', '--undo', '3f2a', '--yes');
    assert.match(stdout.replaceAll(/\s+/g, ' '), /somebody changed it since the run 3f2a91c0 wrote it/);
    assert.match(stdout, /\n {2}\+more\n/);
    assert.deepEqual([code, readFileSync(file, 'utf8')], [30, `${is}more\n`]);
    writeFileSync(file, is);
  });

  test('put back, and the second time there is nothing to do', async () => {
    const { stdout, code } = await run('heal', '--undo', '3f2a', '--yes');
    assert.match(stdout, /done {4}put back/);
    assert.deepEqual([code, readFileSync(file, 'utf8')], [0, was]);
    const again = await run('heal', '--undo', '3f2a', '--yes', '-o', 'json');
    assert.deepEqual([again.code, JSON.parse(again.stdout).plan.actions], [0, []]);
    assert.match((await run('history')).stdout, /taking back 3f2a91c0/);
  });

  test('no id, an id of nobody, and two options that contradict each other', async () => {
    for (const [args, says] of [
      [['--undo', 'zz'], /no beginning of a run's id/],
      [['--undo', 'abcdef'], /no run in the journal/],
      [['--undo', '3f2a', '--only', 'SW503'], /contradict each other/],
    ] as const) {
      const { code, stderr } = await run('heal', ...args);
      assert.equal(code, 64);
      assert.match(stderr, says);
    }
  });
});
