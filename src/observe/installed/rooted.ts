import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { posix } from 'node:path';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { safeText } from '../../model/safe-text.ts';
import { isErrno, readText } from '../read-file.ts';

/** A link on the way to a path, as a process inside the root would follow it. */
export interface FollowedLink {
  readonly from: string;
  readonly to: string;
  /** Whether only its owner (root) could have made it. */
  readonly trusted: boolean;
}

export interface Resolved {
  /** The path inside the root with no link left in its folders. */
  readonly path: string;
  readonly links: readonly FollowedLink[];
  /** What the last component is; undefined where it is not there. */
  readonly stat: Stats | undefined;
}

/**
 * A tree of files seen as if `root` were `/`: absolute links stay inside, as they will when an image that was made
 * here is booted. `root` is empty for this machine.
 */
export class Rooted {
  readonly root: string;

  constructor(root = '') {
    this.root = root.replace(/\/+$/, '');
  }

  /** Where `path` lies for the kernel. */
  real(path: string): string {
    return `${this.root}${path}`;
  }

  /**
   * Follows the links in `path`; the last component too unless `keepLast`. A component that is not there ends the
   * search: what comes after it is taken as it is written. Throws ERR_FILE for a circle of links, ERR_FORBIDDEN.
   */
  async resolve(path: string, options: { readonly keepLast?: boolean } = {}): Promise<Resolved> {
    const todo = posix.normalize(path).split('/').filter(Boolean);
    const links: FollowedLink[] = [];
    let at = '';
    let stat: Stats | undefined;
    for (let name = todo.shift(); name !== undefined; name = todo.shift()) {
      if (name === '..') {
        at = at.slice(0, Math.max(at.lastIndexOf('/'), 0));
        continue;
      }
      const next = `${at}/${name}`;
      stat = await this.#lstat(next);
      if (!stat?.isSymbolicLink() || (todo.length === 0 && options.keepLast)) {
        at = next;
        continue;
      }
      const to = await readlink(this.real(next));
      links.push({ from: next, to, trusted: stat.uid === this.owner });
      if (links.length > MOST_LINKS) throw circle(path);
      if (to.startsWith('/')) at = '';
      todo.unshift(...posix.normalize(to).split('/').filter(Boolean));
    }
    return { path: at === '' ? '/' : at, links, stat: at === '' ? await this.#lstat('/') : stat };
  }

  /** A file as text, or undefined where it is not there. Throws as readText. */
  async read(path: string, maxBytes: number = limits.configBytes): Promise<string | undefined> {
    const { path: found } = await this.resolve(path);
    return await readText(this.real(found), maxBytes);
  }

  /** The names in a folder, sorted; none where it is not there. Throws ERR_FORBIDDEN. */
  async names(path: string): Promise<string[]> {
    const { path: found } = await this.resolve(path);
    try {
      return (await readdir(this.real(found))).sort();
    } catch (error) {
      if (isErrno(error) && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return [];
      throw translated(error, found);
    }
  }

  /** Whether something is there; a link that leads nowhere is not. */
  async has(path: string): Promise<boolean> {
    return (await this.resolve(path)).stat !== undefined;
  }

  /** Where a link points, or undefined where `path` is none. */
  async linkAt(path: string): Promise<string | undefined> {
    const { path: found, stat } = await this.resolve(path, { keepLast: true });
    return stat?.isSymbolicLink() ? await readlink(this.real(found)) : undefined;
  }

  /** Who may own what root runs: root; below a prefix also who builds the image. */
  get owner(): number {
    return this.root === '' ? 0 : (process.geteuid?.() ?? 0);
  }

  async #lstat(path: string): Promise<Stats | undefined> {
    try {
      return await lstat(this.real(path));
    } catch (error) {
      if (isErrno(error) && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return undefined;
      throw translated(error, path);
    }
  }
}

/** Makes what was written in a folder survive a power cut. */
export async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
  await folder.sync();
}

/** The one place where errors of the installer's files become ours; a programmer's error is given back as it is. */
export function translated(error: unknown, path: string): unknown {
  if (!isErrno(error)) return error;
  const name = safeText(path, 300);
  if (error.code === 'EACCES' || error.code === 'EPERM') {
    return new SandwardenError('ERR_FORBIDDEN', `no permission: ${name} (${error.code})`, {
      hint:
        'Run it as root (sudo sandwarden …). Where root is refused too, the file is immutable (lsattr) or a policy ' +
        'forbids it.',
      cause: error,
    });
  }
  if (error.code === 'EROFS') {
    return new SandwardenError('ERR_FILE', `${name} lies on a read-only file system`, {
      hint: 'On an image-based system install when the image is built: sandwarden install --root DIR.',
      cause: error,
    });
  }
  const full = error.code === 'ENOSPC' || error.code === 'EDQUOT';
  return new SandwardenError('ERR_FILE', full ? `the disk is full: ${name}` : `${name}: ${error.message}`, {
    hint: full ? 'Make room on that disk and run it again.' : `Look at it: ls -ld '${name}'`,
    cause: error,
  });
}

const MOST_LINKS = 40;

function circle(path: string): SandwardenError {
  return new SandwardenError('ERR_FILE', `${safeText(path, 300)}: too many links`, {
    hint: 'Its links lead in a circle; put the folder right first.',
  });
}
