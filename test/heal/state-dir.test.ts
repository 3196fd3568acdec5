/** The real state directory: its permissions, links and pipes in it, the journal and the lock on a real disk. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, open, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { openJournal, readJournal } from '../../src/heal/journal.ts';
import { journalStore, openStateDir, realProcesses } from '../../src/heal/state-dir.ts';
import type { ErrorCode } from '../../src/model/errors.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { tempDir } from '../helpers/temp.ts';
import { realClock } from './real-clock.ts';

const clock = realClock;

async function refused(work: Promise<unknown>, code: ErrorCode, says: RegExp): Promise<void> {
  await assert.rejects(work, (error) => {
    assert.ok(isSandwardenError(error, code), `${error}`);
    assert.match(error.message, says);
    assert.notEqual(error.hint, '');
    return true;
  });
}

describe('the directory', () => {
  test('is made for its owner alone, and so are the journal and the lock in it', async () => {
    await using temp = await tempDir();
    const dir = temp.join('state');
    const state = await openStateDir(dir);
    const lock = await state.lock(0n);
    const journal = await state.openJournal('r', clock);
    await journal.append({ kind: 'note', text: 'hello' });
    assert.equal((await stat(dir)).mode & 0o777, 0o700);
    assert.equal((await stat(`${dir}/journal.ndjson`)).mode & 0o777, 0o600);
    assert.equal((await stat(`${dir}/lock.1`)).mode & 0o777, 0o600);
    await journal.close();
    await lock.release();
    const { entries } = await readJournal(journalStore(dir));
    assert.deepEqual(
      entries.map((each) => each.kind === 'note' && each.text),
      ['hello'],
    );
  });

  test('is made with all above it; where none can be made it says so, and does not try for ever', async () => {
    await using temp = await tempDir();
    await openStateDir(temp.join('a/b/state'));
    assert.equal((await stat(temp.join('a/b/state'))).mode & 0o777, 0o700);
    // mkdir(2) says ENOENT in /proc, as in a folder of autofs.
    await refused(openStateDir('/proc/a/state'), 'ERR_FILE', /cannot use \/proc\/a\/state \(ENOENT\)/);
  });

  test('that others may write in is not used, nor one of somebody else, nor a link, nor a file', async () => {
    await using temp = await tempDir();
    await mkdir(temp.join('open'));
    await chmod(temp.join('open'), 0o777);
    await refused(openStateDir(temp.join('open')), 'ERR_FORBIDDEN', /others may write/);
    if (process.geteuid?.() === 0) {
      await mkdir(temp.join('theirs'), { mode: 0o700 });
      await chown(temp.join('theirs'), 12_345, 12_345);
      await refused(openStateDir(temp.join('theirs')), 'ERR_FORBIDDEN', /belongs to somebody else/);
    }
    await mkdir(temp.join('real'), { mode: 0o700 });
    await symlink(temp.join('real'), temp.join('link'));
    await refused(openStateDir(temp.join('link')), 'ERR_FILE', /is not a directory/);
    await writeFile(temp.join('file'), '');
    await refused(openStateDir(temp.join('file')), 'ERR_FILE', /is not a directory/);
  });

  test('a link or a pipe in place of the journal is neither followed nor waited for', async () => {
    await using temp = await tempDir();
    const state = await openStateDir(temp.path);
    await writeFile(temp.join('target'), 'precious');
    await symlink(temp.join('target'), temp.join('journal.ndjson'));
    await refused(state.openJournal('r', clock), 'ERR_FILE', /symbolic link/);
    assert.equal(await readFile(temp.join('target'), 'utf8'), 'precious');
    await using second = await tempDir();
    execFileSync('mkfifo', [second.join('journal.ndjson')]);
    await refused((await openStateDir(second.path)).openJournal('r', clock), 'ERR_FILE', /is not a file/);
  });

  test('a full disk is said to be one', async () => {
    await using temp = await tempDir();
    await using handle = await open('/dev/full', 'r+');
    const full = {
      ...journalStore(temp.path),
      open: async () => ({
        append: async (bytes: Uint8Array) => void (await handle.write(bytes)),
        sync: () => Promise.resolve(),
        truncate: () => Promise.resolve(),
        close: () => Promise.resolve(),
      }),
    };
    const journal = await openJournal(full, { runId: 'r', bootId: 'b', clock });
    await refused(journal.append({ kind: 'note', text: 'x' }), 'ERR_JOURNAL_WRITE', /the disk is full.*ENOSPC/);
  });
});

describe('the lock on a real disk', () => {
  test('of a process that was killed is taken over; of one that lives it is not', async () => {
    await using temp = await tempDir();
    const holder = spawn(process.execPath, ['--input-type=module', '-e', HOLD, temp.path], {
      cwd: new URL('../..', import.meta.url),
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(holder.stdout, 'data');
      const state = await openStateDir(temp.path);
      await refused(state.lock(0n), 'ERR_LOCKED', new RegExp(`process ${holder.pid}, since 1970-01-01`));
      const closed = once(holder, 'close');
      holder.kill('SIGKILL');
      await closed;
      const lock = await state.lock(0n);
      await lock.release();
      await (await state.lock(0n)).release();
    } finally {
      holder.kill('SIGKILL');
    }
  });

  test('no drafts are left behind', async () => {
    await using temp = await tempDir();
    const state = await openStateDir(temp.path);
    await (await state.lock(0n)).release();
    assert.deepEqual(await readdir(temp.path), ['lock.2']);
  });
});

test('the start of a process is read past any name it gives itself', async () => {
  const processes = realProcesses();
  const self = await processes.self();
  const title = process.title;
  try {
    process.title = ') S 1 (';
    assert.equal((await processes.self()).startTicks, self.startTicks);
  } finally {
    process.title = title;
  }
  assert.ok(self.startTicks > 0);
  assert.equal(await processes.startTicks(2 ** 22 + 1), undefined);
});

const HOLD = `
const { openStateDir } = await import('./src/heal/state-dir.ts');
await (await openStateDir(process.argv[1])).lock(0n);
console.log('held');
setInterval(() => undefined, 1_000);
`;
