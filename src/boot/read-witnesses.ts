import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isSandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { programEpochNs } from '../model/version.ts';
import { parseBootList } from '../observe/boots.ts';
import type { Run } from '../observe/child.ts';
import { plainBootId } from '../observe/log-line.ts';
import { inParallel } from '../observe/pool.ts';
import { isErrno, readProc } from '../observe/read-file.ts';
import { type BootConf, metaDbOf, sandboxesOf } from './boot-conf.ts';
import { commitIntervalNs } from './mounts.ts';
import type { ClockNow, Family, Witness } from './witnesses.ts';

export interface WitnessOptions {
  readonly conf: BootConf;
  readonly run: Run;
  /** A prefix of every path, for tests. */
  readonly root?: string;
}

/**
 * What the disk of the last boot tells of its time, before the runtime starts (containerd writes meta.db then).
 * A file or a program that is not there is no witness; nothing is thrown for it.
 */
export async function readWitnesses({ conf, run, root = '' }: WitnessOptions): Promise<Witness[]> {
  const mountinfo = (await readProc(`${root}/proc/self/mountinfo`, limits.configBytes)) ?? '';
  const dated = async (family: Family, path: string): Promise<Witness[]> => {
    const dateNs = await mtimeOf(`${root}${path}`);
    return dateNs === undefined ? [] : [{ family, from: path, dateNs, slackNs: commitIntervalNs(mountinfo, path) }];
  };
  const datedAll = async (family: Family, paths: readonly string[]) =>
    (await inParallel(paths, limits.criReadsInFlight, (path) => dated(family, path))).flat();
  const sandboxes = sandboxesOf(conf.containerdRoot);
  const parts = await Promise.all([
    dated('containerd', metaDbOf(conf.containerdRoot)),
    dated('containerd', sandboxes),
    listed(root, sandboxes).then((paths) => datedAll('containerd', paths)),
    cutJournals(root).then((paths) => datedAll('journal', paths)),
    lastEntries(run, root),
    dated('heartbeat', '/var/lib/sandwarden/heartbeat'),
    dated('timesync', '/var/lib/systemd/timesync/clock'),
    // Where timesyncd runs as a user of its own, systemd keeps its folder here (DynamicUser=, up to 246).
    dated('timesync', '/var/lib/private/systemd/timesync/clock'),
  ]);
  return parts.flat();
}

/**
 * Whether anything has set the clock since it lost its power. PID 1 and timesyncd move a clock that stands before
 * their own making to that date (systemd clock-util: clock_apply_epoch; /usr/lib/clock-epoch), so a clock there, or
 * one that no hardware keeps, is nobody's word.
 */
export async function readClockNow(wallNs: bigint, uptimeNs: bigint, root = ''): Promise<ClockNow> {
  const epochs = await Promise.all(epochFiles.map((path) => mtimeOf(`${root}${path}`)));
  const bootedNs = wallNs - uptimeNs;
  const atEpoch = epochs.some((epoch) => epoch !== undefined && bootedNs < epoch + DAY_NS && bootedNs > epoch - DAY_NS);
  const hasRtc = (await mtimeOf(`${root}/sys/class/rtc/rtc0`)) !== undefined;
  return { wallNs, neverSet: !hasRtc || atEpoch || wallNs < programEpochNs };
}

const epochFiles = ['/usr/lib/clock-epoch', '/usr/lib/systemd/systemd'];
const DAY_NS = 86_400_000_000_000n;

/** The last entries of the boots before this one; none where the journal is not kept on disk. */
async function lastEntries(run: Run, root: string): Promise<Witness[]> {
  const bootId = plainBootId(await readProc(`${root}/proc/sys/kernel/random/boot_id`));
  const argv = ['journalctl', '-q', '--no-pager', '--list-boots', '-o', 'json'] as const;
  try {
    const { stdout } = await run(argv, { timeoutMs: limits.timeSyncWaitMs });
    return parseBootList(stdout, bootId)
      .filter((boot) => boot.bootId !== bootId)
      .map((boot) => ({
        family: 'journal',
        from: `journalctl -b ${boot.bootId.slice(0, 8)}`,
        dateNs: boot.lastNs,
        slackNs: 0n,
      }));
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return [];
  }
}

/** Journals that a power cut left open: journald renames them and writes a new one. */
async function cutJournals(root: string): Promise<string[]> {
  const folders = await listed(root, '/var/log/journal');
  const files = await inParallel(folders, limits.criReadsInFlight, (folder) => listed(root, folder));
  return files
    .flat()
    .filter((path) => path.endsWith('.journal~'))
    .slice(-limits.clockWitnesses);
}

async function listed(root: string, folder: string): Promise<string[]> {
  try {
    const names = await readdir(`${root}${folder}`);
    return names.slice(0, limits.clockWitnesses).map((name) => join(folder, name));
  } catch (error) {
    if (isErrno(error)) return [];
    throw error;
  }
}

async function mtimeOf(path: string): Promise<bigint | undefined> {
  try {
    return (await stat(path, { bigint: true })).mtimeNs;
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}
