/**
 * What a machine leaves on this one while it lives: one folder in the temporary directory, whose name says which
 * process owns it (`sandwarden-vm-<pid>-<start>-<random>`). The emulator dies with its process by itself (machine.ts).
 */
import { rmSync } from 'node:fs';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identify, isAlive } from '../processes.ts';

const mine = new Set<string>();
let watching = false;

/** Makes a folder that goes when this process ends, however politely it is asked to. */
export async function makeWorkdir(): Promise<string> {
  watchEnd();
  const self = await identify(process.pid);
  const path = await mkdtemp(join(tmpdir(), `sandwarden-vm-${process.pid}-${self?.startTicks ?? '0'}-`));
  mine.add(path);
  return path;
}

/** Removes a folder that `makeWorkdir` made. */
export async function removeWorkdir(path: string): Promise<void> {
  mine.delete(path);
  await rm(path, { recursive: true, force: true });
}

/** Removes the folders of dead processes and gives them. Living ones are not touched. */
export async function sweepWorkdirs(): Promise<string[]> {
  const swept: string[] = [];
  for (const name of await readdir(tmpdir())) {
    const [, pid, startTicks] = /^sandwarden-vm-(\d+)-(\d+)-\w+$/.exec(name) ?? [];
    if (pid === undefined || startTicks === undefined) continue;
    if (await isAlive({ pid: Number(pid), startTicks })) continue;
    const path = join(tmpdir(), name);
    await rm(path, { recursive: true, force: true });
    swept.push(path);
  }
  return swept;
}

/** The emulators follow by PR_SET_PDEATHSIG; the folders need somebody. */
function watchEnd(): void {
  if (watching) return;
  watching = true;
  process.once('exit', removeAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      removeAll();
      // Somebody else's handler decides; where there is none, the signal does what it does without us.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
  }
}

function removeAll(): void {
  for (const path of mine) rmSync(path, { recursive: true, force: true });
  mine.clear();
}
