/** A real process is SIGKILLed at every write, of its journal and of the node's files; the next ones go on. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { readJournal } from '../../src/heal/journal.ts';
import { openIntents } from '../../src/heal/leftovers.ts';
import { journalStore } from '../../src/heal/state-dir.ts';

const child = fileURLToPath(new URL('./killed-files-child.ts', import.meta.url));
const skip = process.geteuid?.() === 0 ? false : "only root makes files that are root's";
const both = ['containerd.service', 'kubelet.service'];

interface Ended {
  readonly killed: boolean;
  readonly planned: number;
}

async function run(directory: string, what: 'heal' | 'undo', point = -1): Promise<Ended> {
  const args = [child, directory, what, String(point)];
  const process = spawn(globalThis.process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 });
  const [out, errors] = await Promise.all([text(process.stdout), text(process.stderr), once(process, 'close')]);
  if (process.signalCode === 'SIGKILL') return { killed: true, planned: -1 };
  assert.equal(process.exitCode, 0, errors);
  return { killed: false, ...(JSON.parse(out) as { planned: number }) };
}

/** Runs until nothing is planned and no intent is open. */
async function untilDone(directory: string, what: 'heal' | 'undo', where: string): Promise<void> {
  for (let runs = 0; runs < 5; runs += 1) {
    const { planned } = await run(directory, what);
    const { entries } = await readJournal(journalStore(join(directory, 'state')));
    if (planned === 0 && openIntents(entries).length === 0) return;
  }
  assert.fail(`${where}: it does not come to an end`);
}

function tree(directory: string): string {
  const names = readdirSync(join(directory, 'root'), { recursive: true, encoding: 'utf8' }).sort();
  return names
    .map((name) => {
      const path = join(directory, 'root', name);
      const found = statSync(path);
      return `${name} ${found.mode.toString(8)} ${found.isFile() ? readFileSync(path, 'utf8') : ''}`;
    })
    .join('\n');
}

const restarts = (directory: string) => JSON.parse(readFileSync(join(directory, 'node.json'), 'utf8')).restarts;

/** False where the run has no such point. */
async function killedAt(what: 'heal' | 'undo', point: number): Promise<boolean> {
  const directory = mkdtempSync(join(tmpdir(), 'sandwarden-killed-'));
  const where = `${what}, point ${point}`;
  try {
    for (const name of ['state', 'root/etc/containerd'])
      mkdirSync(join(directory, name), { recursive: true, mode: 0o700 });
    writeFileSync(join(directory, 'root/etc/containerd/config.toml'), 'off', { mode: 0o640 });
    const untouched = tree(directory);
    if (what === 'undo') await untilDone(directory, 'heal', where);
    const healed = tree(directory);
    const { killed } = await run(directory, what, point);
    if (!killed) return false;
    await untilDone(directory, what, where);
    if (what === 'undo') {
      assert.equal(tree(directory), untouched, where);
      assert.notEqual(healed, untouched);
      assert.deepEqual(restarts(directory), [...both, ...both], where);
    } else {
      assert.match(tree(directory), /conf\.d\/zz\.toml 100644 on\netc\/containerd\/config\.toml 100640 on$/, where);
      assert.deepEqual(restarts(directory), both, where);
    }
    return true;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

// Each point is tried by the simulation (change-files-killed.test.ts); here each eighth, with processes and files.
for (const what of ['heal', 'undo'] as const) {
  test(`${what}, killed at each eighth write, then run again`, { skip }, async () => {
    let point = what === 'heal' ? 1 : 3;
    while ((await Promise.all([killedAt(what, point), killedAt(what, point + 8)])).every(Boolean)) point += 16;
    assert.ok(point >= 20, `only ${point} points`);
  });
}
