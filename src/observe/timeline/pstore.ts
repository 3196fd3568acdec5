import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { CrashRecord, TimelineGap } from '../../model/incident.ts';
import { limits } from '../../model/limits.ts';
import { isErrno } from '../read-file.ts';

/** Where the kernel keeps what it said last (CONFIG_PSTORE), and where systemd-pstore.service moves it to. */
const folders = ['/sys/fs/pstore', '/var/lib/systemd/pstore'] as const;

/** The crashes that the kernel has kept, oldest first; nothing where there are none or there is no such store. */
export async function readCrashes(root: string, sinceNs: bigint, gaps: TimelineGap[]): Promise<CrashRecord[]> {
  const found: CrashRecord[] = [];
  for (const folder of folders) {
    for (const name of await namesIn(join(root, folder), gaps)) {
      if (found.length >= limits.pstoreFiles) break;
      // systemd-pstore joins the parts of a record to `dmesg.txt`; the kernel's own are `dmesg-BACKEND-ID`.
      if (!/(?:^|\/)dmesg/.test(name)) continue;
      const record = await readCrash(join(root, folder, name), join(folder, name), gaps);
      if (record && record.wallNs >= sinceNs) found.push(record);
    }
  }
  return found.sort((a, b) => (a.wallNs < b.wallNs ? -1 : a.wallNs > b.wallNs ? 1 : a.file < b.file ? -1 : 1));
}

async function namesIn(folder: string, gaps: TimelineGap[]): Promise<string[]> {
  try {
    return (await readdir(folder, { recursive: true })).sort().slice(0, 10 * limits.pstoreFiles);
  } catch (error) {
    if (!isErrno(error)) throw error;
    if (error.code !== 'ENOENT' && error.code !== 'ENOTDIR') gaps.push(gapOf(folder, error.code));
    return [];
  }
}

async function readCrash(path: string, file: string, gaps: TimelineGap[]): Promise<CrashRecord | undefined> {
  try {
    await using handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const stat = await handle.stat({ bigint: true });
    if (!stat.isFile()) return undefined;
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(limits.pstoreBytes), 0, limits.pstoreBytes, 0);
    const lines = buffer
      .toString('utf8', 0, bytesRead)
      .split('\n')
      .filter((line) => line.trim() !== '');
    const why = lines.find((line) => /Kernel panic|Oops|BUG:|LOCKUP|soft lockup|watchdog/.test(line)) ?? lines.at(-1);
    return why === undefined ? undefined : { file, wallNs: stat.mtimeNs, text: why.slice(0, 300) };
  } catch (error) {
    if (!isErrno(error)) throw error;
    if (error.code !== 'ENOENT') gaps.push(gapOf(path, error.code));
    return undefined;
  }
}

function gapOf(path: string, code: string): TimelineGap {
  return { source: 'pstore', message: `cannot read ${path}: ${code}`, hint: 'Run it as root.' };
}
