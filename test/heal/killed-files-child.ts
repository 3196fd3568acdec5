/**
 * A run of `heal` or `heal --undo` with the real state directory on real files (change-files-killed-process.test.ts).
 * `node killed-files-child.ts DIR heal|undo POINT`: kills itself with SIGKILL at point POINT, or never where it is -1.
 * DIR/root is the root of the files; DIR/node.json what is not a file: processes, what is in force, the restarts.
 */
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { changesHere } from '../../src/cli/node-changes.ts';
import { fileBackups } from '../../src/heal/backups.ts';
import { execute } from '../../src/heal/execute.ts';
import { openJournal, readJournal } from '../../src/heal/journal.ts';
import { takeLock } from '../../src/heal/lock.ts';
import type { NodeChanges } from '../../src/heal/node-changes.ts';
import { journalStore, lockStore, realProcesses } from '../../src/heal/state-dir.ts';
import { planUndo } from '../../src/heal/undo.ts';
import { ConfigWorld } from './config-world.ts';
import { killPoints } from './kill-points.ts';
import { realClock } from './real-clock.ts';

const [directory = '', what = '', point = '-1'] = process.argv.slice(2);
const [root, stateDir, nodeFile] = ['root', 'state', 'node.json'].map((name) => join(directory, name)) as [
  string,
  string,
  string,
];
const { killPoint, killable, seen } = killPoints(Number(point));

class DiskWorld extends ConfigWorld {
  override readonly clock = realClock as ConfigWorld['clock'];

  load(): void {
    this.files.clear();
    this.folders.clear();
    for (const name of readdirSync(root, { recursive: true, encoding: 'utf8' }).map((each) => `/${each}`)) {
      const { mode, uid, gid } = statSync(join(root, name));
      if (statSync(join(root, name)).isDirectory()) this.folders.add(name);
      else if (!name.includes('.sandwarden.')) {
        this.put(name, readFileSync(join(root, name), 'utf8'), mode & 0o7777, uid, gid);
      }
    }
    if (!existsSync(nodeFile)) return;
    const { live, kubeletStale, restarts, pids, started } = JSON.parse(readFileSync(nodeFile, 'utf8'));
    Object.assign(this, { live, kubeletStale, restarts });
    const runtimeStartedUptimeNs = BigInt(started);
    this.identity = { kubeletRunning: true, runtimePid: pids[0], kubeletPid: pids[1], runtimeStartedUptimeNs };
  }

  override async restartUnit(unit: string): Promise<void> {
    killPoint();
    await super.restartUnit(unit);
    const { live, kubeletStale, restarts, identity } = this;
    const started = String(identity.runtimeStartedUptimeNs ?? 0);
    const pids = [identity.runtimePid, identity.kubeletPid];
    // In one step: a half-written one is nothing that a node can have.
    writeFileSync(`${nodeFile}.new`, JSON.stringify({ live, kubeletStale, restarts, pids, started }));
    renameSync(`${nodeFile}.new`, nodeFile);
    killPoint();
  }
}

const world = new DiskWorld();
world.identity = { runtimePid: 10, runtimeStartedUptimeNs: 7n, kubeletRunning: true, kubeletPid: 20 };
world.wanted.set('/etc/containerd/config.toml', 'on').set('/etc/containerd/conf.d/zz.toml', 'on');
world.load();
const real = changesHere({
  cri: { status: () => Promise.reject(new Error('there is no CRI')) },
  readIdentity: () => world.readIdentity(),
  root,
});
const around = async <T>(work: () => Promise<T>): Promise<T> => {
  killPoint();
  const done = await work();
  world.load();
  killPoint();
  return done;
};
const changes: NodeChanges = {
  ...world.changes,
  fileNow: (path) => real.fileNow(path),
  replaceFile: (...args) => around(() => real.replaceFile(...args)),
  removeFolders: (folders) => around(() => real.removeFolders(folders)),
  sweep: (path) => around(() => real.sweep(path)),
};
const patched = new Proxy(world, {
  get: (target, name) => {
    if (name === 'changes') return changes;
    const value: unknown = Reflect.get(target, name, target);
    return typeof value === 'function' ? value.bind(target) : value;
  },
});
const processes = realProcesses();
const { bootId } = await processes.self();
const store = journalStore(stateDir);
const backups = fileBackups(stateDir);
const { entries } = await readJournal(store);
const first = entries.find((each) => each.kind === 'intent' && 'files' in each.action.guard)?.runId ?? '';
const undo = what === 'undo' ? await planUndo(entries, first.slice(0, 8), { changes, backups }, bootId) : undefined;
const look = { ...world.look(), ...(undo === undefined ? {} : { plan: undo.plan }) };
const { actions, stopped } = await execute({
  look,
  plan: look.plan,
  world: patched,
  state: {
    bootId,
    backups,
    lock: (wallNs) => takeLock(lockStore(stateDir), processes, wallNs),
    openJournal: (runId, of) =>
      openJournal({ ...store, open: async () => killable(await store.open()) }, { runId, bootId, clock: of }),
  },
  signal: new AbortController().signal,
  onProgress: () => undefined,
  kubeletDown: false,
  stillRight: () => undefined,
  order: 'by-date',
  // The budget of restarts would hold up the runs after a kill for half an hour, the second look each for 10 s.
  undoes: undo?.runId ?? 'none',
});
process.stdout.write(
  `${JSON.stringify({ results: actions.map((each) => each.result), stopped, points: seen(), planned: look.plan.actions.length })}\n`,
);
