import { readdir, readFile, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isAlive, signal, withEnvironment } from './processes.ts';
import { hasCode, until } from './run.ts';

/**
 * What a rig makes outside of its namespaces: one folder in the temporary directory, one cgroup of the same name in
 * each hierarchy, and processes with `SANDWARDEN_LAB=<folder>` in their environment. The name says who owns it:
 * `sandwarden-lab-<pid>-<start>-<random>`.
 */
export const prefix = 'sandwarden-lab-';
export const environmentName = 'SANDWARDEN_LAB';

/** Everything of the rig `home` that is still there, in words; empty where nothing is. */
export async function leftoversOf(home: string): Promise<string[]> {
  const marker = markerOf(home);
  const found = (await withEnvironment(`${environmentName}=${home}`)).map((pid) => `process ${pid}`);
  for (const folder of await cgroupsOf(marker)) found.push(`cgroup ${folder}`);
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  for (const line of mounts.split('\n')) if (line.includes(marker)) found.push(`mount ${line}`);
  for (const folder of [tmpdir(), '/run/netns', '/var/lib/cni/results', '/run/containerd/s']) {
    const names = await readdir(folder).catch(none);
    for (const name of names) if (name.includes(marker)) found.push(`file ${join(folder, name)}`);
  }
  return found;
}

/** Ends the processes of the rig `home` and removes its cgroups and its folder. */
export async function removeLeftovers(home: string): Promise<void> {
  const mine = `${environmentName}=${home}`;
  await until(`the processes of ${home} end`, 10_000, async () => {
    const pids = await withEnvironment(mine);
    for (const pid of pids) signal(pid, 'SIGKILL');
    return pids.length === 0 ? true : undefined;
  });
  for (const folder of await cgroupsOf(markerOf(home))) await removeCgroup(folder);
  await rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
}

/** Removes what rigs of processes left behind that are dead; gives their folders. Living ones are not touched. */
export async function sweep(): Promise<string[]> {
  const swept: string[] = [];
  for (const name of await readdir(tmpdir())) {
    const match = /^sandwarden-lab-(\d+)-(\d+)-\w+$/.exec(name);
    const [, pid, startTicks] = match ?? [];
    if (pid === undefined || startTicks === undefined) continue;
    if (await isAlive({ pid: Number(pid), startTicks })) continue;
    await removeLeftovers(join(tmpdir(), name));
    swept.push(join(tmpdir(), name));
  }
  return swept;
}

function markerOf(home: string): string {
  return home.slice(home.lastIndexOf('/') + 1);
}

/** The cgroups of that name at the root of each hierarchy (v1: one per controller; v2: one). */
async function cgroupsOf(marker: string): Promise<string[]> {
  const found: string[] = [];
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  for (const line of mounts.split('\n')) {
    const [before = '', after = ''] = line.split(' - ');
    const mountPoint = before.split(' ')[4];
    if (mountPoint === undefined || !/^cgroup2? /.test(after)) continue;
    const names: string[] = await readdir(mountPoint).catch(none);
    if (names.includes(marker)) found.push(join(mountPoint, marker));
  }
  return found;
}

/** Children first. A cgroup is busy until the kernel has buried its last process. */
async function removeCgroup(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(none);
  for (const entry of entries) {
    if (entry.isDirectory()) await removeCgroup(join(folder, entry.name));
  }
  await until(`the cgroup ${folder} is empty`, 10_000, async () => {
    try {
      await rmdir(folder);
      return true;
    } catch (error) {
      if (hasCode(error, 'ENOENT')) return true;
      if (hasCode(error, 'EBUSY')) return undefined;
      throw error;
    }
  });
}

function none(error: unknown): never[] {
  if (hasCode(error, 'ENOENT')) return [];
  throw error;
}
