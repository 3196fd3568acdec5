import { randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lstat, mkdir, open, readFile, rename, rmdir, symlink, unlink } from 'node:fs/promises';
import { posix } from 'node:path';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { safeText } from '../../model/safe-text.ts';
import { type FollowedLink, type Rooted, syncFolder, translated } from '../../observe/installed/rooted.ts';

/** What stands at a path now. */
export type Standing =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'file'; readonly content: Buffer; readonly mode: number }
  | { readonly kind: 'link'; readonly target: string }
  /** A folder, a device, or a file too large to be ours. */
  | { readonly kind: 'other' };

/** What stands at `path`; its last component is not followed. Throws ERR_FORBIDDEN, ERR_FILE. */
export async function standingAt(files: Rooted, path: string): Promise<Standing> {
  const { path: found, stat } = await files.resolve(path, { keepLast: true });
  if (stat === undefined) return { kind: 'nothing' };
  if (stat.isSymbolicLink()) return { kind: 'link', target: (await files.linkAt(path)) ?? '' };
  if (!stat.isFile() || stat.size > limits.configBytes) return { kind: 'other' };
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const content = await readFile(files.real(found), { flag: flags });
    return { kind: 'file', content, mode: stat.mode & 0o7777 };
  } catch (error) {
    throw translated(error, found);
  }
}

/**
 * The folder of `path` with its links followed, each of which only root can have made and in whose place nobody else
 * can put another. Throws ERR_FORBIDDEN where somebody else could, ERR_FILE where a part of it is no folder.
 */
export async function trustedFolder(
  files: Rooted,
  path: string,
): Promise<{ readonly path: string; readonly links: readonly FollowedLink[] }> {
  const { path: found, links } = await files.resolve(path);
  for (const { from, to, trusted } of links) {
    if (!trusted) throw untrusted(from, `is a link to '${safeText(to, 200)}' that is not root's`);
    await checkFolders(files, posix.dirname(from));
  }
  await checkFolders(files, found);
  return { path: found, links };
}

/**
 * Changes of files that are all made or all taken back. Each is made by a rename in its own folder, so that a reader
 * (and a power cut) finds the old or the new one and nothing between.
 */
export class Changes {
  readonly #files: Rooted;
  readonly #undo: (() => Promise<void>)[] = [];
  /** Folders that were made, outermost first. */
  readonly folders: string[] = [];

  constructor(files: Rooted) {
    this.#files = files;
  }

  /** Writes a file in whole; its folder is made where it is not there. It is root's unless `owner` says otherwise. */
  async write(
    path: string,
    content: Buffer | string,
    mode: number,
    owner?: { readonly uid: number; readonly gid: number },
  ): Promise<void> {
    await this.#replace(path, async (draft) => {
      const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
      await using file = await open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode);
      await file.writeFile(content);
      if (owner !== undefined) await file.chown(owner.uid, owner.gid);
      // The umask took its part of `mode`, and a change of the owner may.
      await file.chmod(mode);
      await file.sync();
    });
  }

  /** Makes a link, or lets it point elsewhere. */
  async link(path: string, target: string): Promise<void> {
    await this.#replace(path, (draft) => symlink(target, draft));
  }

  /** Removes a file or a link; nothing where it is not there. */
  async remove(path: string): Promise<void> {
    const before = await standingAt(this.#files, path);
    if (before.kind === 'nothing') return;
    const folder = (await trustedFolder(this.#files, posix.dirname(path))).path;
    const real = this.#files.real(posix.join(folder, posix.basename(path)));
    await this.#attempt(path, async () => {
      await unlink(real);
      this.#undo.push(() => this.#restore(real, before));
      await syncFolder(posix.dirname(real));
    });
  }

  /** Removes a folder where it is empty. */
  async removeFolder(path: string): Promise<void> {
    const folder = (await trustedFolder(this.#files, path)).path;
    await this.#attempt(path, async () => {
      try {
        const { mode } = await lstat(this.#files.real(folder));
        await rmdir(this.#files.real(folder));
        this.#undo.push(async () => void (await mkdir(this.#files.real(folder), { mode: mode & 0o7777 })));
      } catch (error) {
        if (!isOneOf(error, 'ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR')) throw error;
      }
    });
  }

  /** Puts back what was there before, last change first. Throws ERR_FILE with what could not be put back. */
  async takeBack(): Promise<void> {
    const failures: string[] = [];
    for (const undo of this.#undo.splice(0).reverse()) {
      try {
        await undo();
      } catch (error) {
        failures.push(error instanceof Error ? error.message : String(error));
      }
    }
    if (failures.length === 0) return;
    throw new SandwardenError('ERR_FILE', `not all could be put back: ${safeText(failures.join('; '), 600)}`, {
      hint: "Run 'sandwarden status' for what is there, then 'sandwarden uninstall'.",
    });
  }

  async #replace(path: string, make: (draft: string) => Promise<void>): Promise<void> {
    const before = await standingAt(this.#files, path);
    const folder = await this.#folder(posix.dirname(path));
    const real = this.#files.real(posix.join(folder, posix.basename(path)));
    const draft = this.#files.real(posix.join(folder, `.sandwarden.${randomBytes(6).toString('hex')}`));
    await this.#attempt(path, async () => {
      try {
        await make(draft);
        await rename(draft, real);
      } catch (error) {
        await unlink(draft).catch((late: unknown) => {
          if (!isOneOf(late, 'ENOENT')) throw late;
        });
        throw error;
      }
      this.#undo.push(() => this.#restore(real, before));
      await syncFolder(posix.dirname(real));
    });
  }

  /** Makes a folder and those above it; gives its path without links. */
  async #folder(path: string): Promise<string> {
    const { path: found } = await trustedFolder(this.#files, path);
    const missing: string[] = [];
    for (let at = found; !(await this.#files.has(at)); at = posix.dirname(at)) missing.unshift(at);
    for (const each of missing) {
      const real = this.#files.real(each);
      await this.#attempt(each, async () => {
        await mkdir(real, { mode: 0o755 });
        this.folders.push(each);
        this.#undo.push(() => rmdir(real));
        await syncFolder(posix.dirname(real));
      });
    }
    return found;
  }

  async #restore(real: string, before: Standing): Promise<void> {
    if (before.kind === 'nothing') return await unlink(real);
    const draft = `${real}.sandwarden-back`;
    if (before.kind === 'link') await symlink(before.target, draft);
    if (before.kind === 'file') {
      const { O_CREAT, O_EXCL, O_NOFOLLOW, O_WRONLY } = constants;
      await using file = await open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, before.mode);
      await file.writeFile(before.content);
      await file.chmod(before.mode);
      await file.sync();
    }
    await rename(draft, real);
  }

  async #attempt(path: string, work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      throw translated(error, path);
    }
  }
}

/** Whether only root can change what stands in it. */
export function isGuarded(stat: Pick<Stats, 'uid' | 'gid' | 'mode'>, owner: number): boolean {
  const others = stat.gid === 0 || stat.gid === process.getegid?.() ? 0o002 : 0o022;
  return (stat.uid === 0 || stat.uid === owner) && (stat.mode & others) === 0;
}

async function checkFolders(files: Rooted, path: string): Promise<void> {
  for (let at = path; ; at = posix.dirname(at)) {
    const { stat } = await files.resolve(at, { keepLast: true });
    if (stat !== undefined && !stat.isDirectory()) {
      throw new SandwardenError('ERR_FILE', `${safeText(at, 300)} is not a folder`, {
        hint: `Something else stands in its place; look at it: ls -ld '${safeText(at, 300)}'`,
      });
    }
    if (stat !== undefined && !isGuarded(stat, files.owner)) {
      throw untrusted(at, 'belongs to somebody else than root, or others may write in it');
    }
    if (at === '/') return;
  }
}

function untrusted(path: string, why: string): SandwardenError {
  return new SandwardenError('ERR_FORBIDDEN', `${safeText(path, 300)} ${why}: nothing is written there`, {
    hint: `What root runs at boot must be root's alone: chown root: and chmod go-w on '${safeText(path, 300)}'.`,
  });
}

function isOneOf(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code));
}
