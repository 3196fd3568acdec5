/**
 * A run of `heal` with the real state directory on a node of files, for execute-killed-process.test.ts.
 * `node killed-child.ts DIR POINT`: kills itself with SIGKILL at write point POINT, or never where it is -1.
 * DIR/node/ID is a sandbox; DIR/log gets a line for each call that reached the node.
 */
import { appendFileSync, existsSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileBackups } from '../../src/heal/backups.ts';
import { execute } from '../../src/heal/execute.ts';
import { openJournal } from '../../src/heal/journal.ts';
import { takeLock } from '../../src/heal/lock.ts';
import { journalStore, lockStore, realProcesses } from '../../src/heal/state-dir.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';
import { killPoints } from './kill-points.ts';
import { realClock } from './real-clock.ts';
import { SimWorld } from './sim-world.ts';

const [directory, point] = [process.argv[2] ?? '', Number(process.argv[3])];
const stateDir = join(directory, 'state');
mkdirSync(stateDir, { recursive: true, mode: 0o700 });

class FileWorld extends SimWorld {
  override readonly clock = realClock as SimWorld['clock'];

  load(): void {
    this.sandboxes = readdirSync(join(directory, 'node')).map((id): Sandbox => {
      const name = id.slice(0, id.lastIndexOf('-'));
      // A date that is the same in every process.
      return { ...this.sandbox(name, 0, 'notready', 0n), createdAtNs: 4_000_000_000_000_000_000n };
    });
  }

  override readPod(podUid: string) {
    this.load();
    return super.readPod(podUid);
  }

  override async stopSandbox(id: string): Promise<void> {
    appendFileSync(join(directory, 'log'), `stop ${id}\n`);
  }

  override async removeSandbox(id: string): Promise<void> {
    const path = join(directory, 'node', id);
    appendFileSync(join(directory, 'log'), `remove ${id} ${existsSync(path)}\n`);
    unlinkSync(path);
  }
}

const { killable, seen } = killPoints(point);
const processes = realProcesses();
const { bootId } = await processes.self();
const store = journalStore(stateDir);
const world = new FileWorld();
world.load();
world.identity = { runtimePid: 10, runtimeStartedUptimeNs: 7n, kubeletRunning: false };
const look = world.look();
const { actions, stopped } = await execute({
  look,
  plan: look.plan,
  world,
  state: {
    bootId,
    lock: (wallNs) => takeLock(lockStore(stateDir), processes, wallNs),
    openJournal: (runId, of) =>
      openJournal({ ...store, open: async () => killable(await store.open()) }, { runId, bootId, clock: of }),
    backups: fileBackups(stateDir),
  },
  signal: new AbortController().signal,
  onProgress: () => undefined,
  kubeletDown: true,
  stillRight: () => undefined,
  order: 'by-date',
});
process.stdout.write(`${JSON.stringify({ results: actions.map((each) => each.result), stopped, points: seen() })}\n`);
