/** A real process is SIGKILLed at every write of its journal on a real file system; a second one goes on. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readJournal } from '../../src/heal/journal.ts';
import { openIntents } from '../../src/heal/leftovers.ts';
import { journalStore } from '../../src/heal/state-dir.ts';

const child = fileURLToPath(new URL('./killed-child.ts', import.meta.url));
const sandboxes = ['a-0', 'b-0', 'c-0', 'd-0', 'e-0'];

interface Ended {
  readonly killed: boolean;
  readonly results: readonly string[];
  readonly points: number;
}

async function run(directory: string, point: number): Promise<Ended> {
  const process = spawn(globalThis.process.execPath, [child, directory, String(point)], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 20_000,
  });
  const [out, errors] = await Promise.all([text(process.stdout), text(process.stderr), once(process, 'close')]);
  if (process.signalCode === 'SIGKILL') return { killed: true, results: [], points: 0 };
  assert.equal(process.exitCode, 0, errors);
  return { killed: false, ...(JSON.parse(out) as Omit<Ended, 'killed'>) };
}

/** Kills a run at `point`, lets a second one go on, and checks what both did. False where the run has no such point. */
async function killedAt(point: number): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'sandwarden-killed-'));
  try {
    mkdirSync(join(directory, 'node'));
    for (const id of sandboxes) writeFileSync(join(directory, 'node', id), '');
    const first = await run(directory, point);
    if (!first.killed) return false;
    const second = await run(directory, -1);
    assert.ok(
      second.results.every((each) => each === 'done'),
      `point ${point}: ${second.results}`,
    );
    const log = readFileSync(join(directory, 'log'), 'utf8').split('\n');
    const removals = log.filter((each) => each.startsWith('remove')).sort();
    assert.deepEqual(
      removals,
      sandboxes.map((id) => `remove ${id} true`),
      `point ${point}`,
    );
    const { entries, torn } = await readJournal(journalStore(join(directory, 'state')));
    assert.equal(torn, undefined);
    assert.deepEqual(openIntents(entries), [], `point ${point}`);
    const done = entries.flatMap((each) => (each.kind === 'outcome' && each.result === 'done' ? [each.of] : []));
    assert.equal(new Set(done).size, sandboxes.length, `point ${point}`);
    return true;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('killed at every write point, then run again: each sandbox is removed once, each intent is answered', async () => {
  let point = 0;
  while ((await Promise.all([killedAt(point), killedAt(point + 1)])).every(Boolean)) point += 2;
  assert.ok(point >= 16, `only ${point} write points`);
});
