import { constants } from 'node:fs';
import { lstat, readFile, rmdir, unlink } from 'node:fs/promises';
import { posix } from 'node:path';
import { Changes, trustedFolder } from '../boot/install/disk.ts';
import type { CriReader } from '../cri/types.ts';
import { sha256Of } from '../heal/backups.ts';
import type { DumpAnswer, FileNow, NodeChanges } from '../heal/node-changes.ts';
import type { Identity } from '../heal/ports.ts';
import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { type Run, run as runProgram } from '../observe/child.ts';
import { processFiles } from '../observe/config/process-files.ts';
import { askDump } from '../observe/config/runtime.ts';
import { inForce } from '../observe/cri.ts';
import { Rooted, syncFolder, translated } from '../observe/installed/rooted.ts';
import { isErrno, readProc } from '../observe/read-file.ts';
import { anchorName } from '../systemd/anchor-names.ts';
import { holdSlice, listAnchors, releaseAnchor } from '../systemd/anchors.ts';
import { FIRST_WITH_CPUSET, openSystemd } from '../systemd/open.ts';

export interface ChangesParts {
  readonly cri: Pick<CriReader, 'status'>;
  readIdentity(): Promise<Identity>;
  /** Runs systemctl and containerd; tests replace it. */
  readonly run?: Run;
  /** A prefix of every path, for tests. */
  readonly root?: string;
  /** containerd's program, where it is not to be found by the process that serves. */
  readonly program?: string;
}

/** The files and units of this machine, as root changes them. */
export function changesHere(parts: ChangesParts): NodeChanges {
  const { cri, run = runProgram, root = '' } = parts;
  const files = new Rooted(root);
  return {
    fileNow: (path) => fileNow(files, path),
    replaceFile: async (path, to, folders) => {
      const changes = new Changes(files);
      if (to === undefined) return await changes.remove(path);
      await changes.write(path, to.content, to.mode, { uid: to.uid, gid: to.gid });
      const unplanned = changes.folders.filter((each) => !folders.includes(each));
      if (unplanned.length > 0) throw new Error(`folders nobody planned: ${unplanned.join(', ')}`);
    },
    removeFolders: (folders) => removeFolders(files, folders),
    sweep: (path) => sweep(files, path),
    dumpConfig: (file) => dumpConfig(file, parts, run),
    reloadUnits: async () =>
      void (await run(['systemctl', 'daemon-reload'], { timeoutMs: limits.systemdJobTimeoutMs })),
    readProperty: async (unit, name) => {
      const { stdout } = await run(['systemctl', 'show', `--property=${name}`, '--', checked(unit)]);
      // systemctl shows a property that was asked for even where it is empty, and none that systemd does not have.
      if (!stdout.startsWith(`${name}=`)) {
        throw new SandwardenError('ERR_NOT_SUPPORTED', `systemd tells no ${name} of ${unit}`, {
          hint: 'This release of systemd does not have it, or the unit is of another kind.',
        });
      }
      return stdout.slice(name.length + 1).trim();
    },
    setProperty: async (unit, name, value) =>
      void (await run(['systemctl', 'set-property', '--runtime', '--', checked(unit), `${name}=${value}`])),
    canAnchor: async () => {
      await using bus = await openSystemd(run);
      return bus.release >= FIRST_WITH_CPUSET;
    },
    isHeld: async (slice) => {
      await using bus = await openSystemd(run);
      return (await listAnchors(bus)).some((each) => each.slice === slice && each.delegated && each.state === 'active');
    },
    holdSlice: async (slice) => {
      await using bus = await openSystemd(run);
      await holdSlice(bus, { slice });
    },
    releaseSlice: async (slice) => {
      await using bus = await openSystemd(run);
      await releaseAnchor(bus, anchorName(slice));
    },
    handlersInForce: async () => inForce(await cri.status()),
    unitOf: async (pid) => unitIn((await readProc(`${root}/proc/${pid}/cgroup`)) ?? ''),
    cpus: async () => (await readProc(`${root}/sys/fs/cgroup/cpuset.cpus.effective`))?.trim() || undefined,
  };
}

/** The service a process is in, by its /proc/PID/cgroup. */
export function unitIn(text: string): string | undefined {
  const lines = text.split('\n').filter((line) => /^(0::|\d+:name=systemd:)/.test(line));
  const paths = lines.map((line) => line.slice(line.indexOf('/')));
  return paths.flatMap((path) => path.split('/').findLast((part) => /^[\w:.\\@-]+\.service$/.test(part)) ?? [])[0];
}

async function fileNow(files: Rooted, path: string): Promise<FileNow> {
  const { stat, path: found } = await files.resolve(path, { keepLast: true });
  if (stat?.isSymbolicLink()) {
    return { kind: 'other', why: `it is a link to ${safeText((await files.linkAt(path)) ?? '', 200)}` };
  }
  const folder = await untrusted(files, posix.dirname(path));
  if (folder !== undefined) return { kind: 'other', why: folder };
  if (stat === undefined) return { kind: 'nothing', missing: await missingFolders(files, posix.dirname(path)) };
  if (!stat.isFile()) return { kind: 'other', why: 'it is no regular file' };
  if (stat.size > limits.configBytes) return { kind: 'other', why: `it is larger than ${limits.configBytes} bytes` };
  if (stat.nlink > 1) return { kind: 'other', why: 'it has a second name (a hard link)' };
  try {
    const flag = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const content = await readFile(files.real(found), { flag });
    const { uid, gid } = stat;
    return { kind: 'file', content, identity: { sha256: sha256Of(content), mode: stat.mode & 0o7777, uid, gid } };
  } catch (error) {
    throw translated(error, found);
  }
}

async function untrusted(files: Rooted, folder: string): Promise<string | undefined> {
  try {
    await trustedFolder(files, folder);
    return undefined;
  } catch (error) {
    if (isSandwardenError(error, 'ERR_FORBIDDEN', 'ERR_FILE')) return error.message;
    throw error;
  }
}

async function missingFolders(files: Rooted, folder: string): Promise<string[]> {
  const missing: string[] = [];
  let { path: at } = await files.resolve(folder);
  for (; !(await files.has(at)); at = posix.dirname(at)) missing.unshift(at);
  return missing;
}

async function removeFolders(files: Rooted, folders: readonly string[]): Promise<void> {
  for (const folder of folders.toReversed()) {
    try {
      await rmdir(files.real(folder));
      await syncFolder(posix.dirname(files.real(folder)));
    } catch (error) {
      if (isErrno(error) && ['ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR'].includes(error.code)) return;
      throw translated(error, folder);
    }
  }
}

/** The drafts of boot/install/disk.ts: a folder of imports may be loaded whole, with them. */
async function sweep(files: Rooted, path: string): Promise<void> {
  const { path: folder } = await files.resolve(posix.dirname(path));
  for (const name of await files.names(folder)) {
    if (!/^\.sandwarden\.[0-9a-f]{12}$/.test(name)) continue;
    const draft = files.real(posix.join(folder, name));
    try {
      if ((await lstat(draft)).isFile()) await unlink(draft);
    } catch (error) {
      throw translated(error, draft);
    }
  }
}

async function dumpConfig(file: string, parts: ChangesParts, run: Run): Promise<DumpAnswer> {
  const { program, root = '' } = parts;
  const { runtimePid } = program === undefined ? await parts.readIdentity() : {};
  const process = runtimePid === undefined ? undefined : await processFiles(runtimePid, root);
  const found = program ?? process?.program;
  if (found === undefined) return { unknown: "containerd's program is not to be seen from here, or not root's alone" };
  const answer = await askDump(found, `${root}${file}`, run, limits.configTryTimeoutMs);
  if (answer === undefined) return { unknown: `${safeText(found, 200)} config dump gave no answer` };
  return answer;
}

/** systemd.unit(5): what the name of a unit may hold; nothing of it can be taken for an option. */
function checked(unit: string): string {
  if (/^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]{0,254}$/.test(unit)) return unit;
  throw new SandwardenError('ERR_COMMAND_FAILED', `'${safeText(unit, 100)}' is no name of a unit`, {
    hint: 'Change it by hand.',
  });
}
