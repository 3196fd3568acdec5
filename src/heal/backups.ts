import { createHash, randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { Backups } from './node-changes.ts';

/** The hash by which a content is kept and known again, 64 hexadecimal digits. */
export function sha256Of(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex');
}

/**
 * The files that were replaced, each under its hash in `directory`/backups (0700, files 0600: they may hold passwords
 * of registries). A content is kept once, and a name always has the whole of it.
 */
export function fileBackups(directory: string): Backups {
  const folder = join(directory, 'backups');
  const read = async (sha256: string) => {
    const content = await readWhole(join(folder, sha256));
    return content !== undefined && sha256Of(content) === sha256 ? content : undefined;
  };
  return {
    pathOf: (sha256) => join(folder, sha256),
    read: (sha256) => translated(folder, () => read(sha256)),
    save: (sha256, content) =>
      translated(folder, async () => {
        if ((await read(sha256)) !== undefined) return;
        await mkdir(folder, { recursive: true, mode: 0o700 });
        const draft = join(folder, `draft.${randomBytes(6).toString('hex')}`);
        const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;
        await using file = await open(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
        await file.writeFile(content);
        await file.sync();
        await rename(draft, join(folder, sha256));
        for (const path of [folder, directory]) {
          await using parent = await open(path, O_RDONLY | O_DIRECTORY);
          await parent.sync();
        }
      }),
  };
}

async function readWhole(path: string): Promise<Buffer | undefined> {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants;
  try {
    await using file = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    const { size } = await file.stat();
    return size > limits.configBytes ? undefined : await file.readFile();
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function translated<T>(folder: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const code = codeOf(error);
    if (code === undefined) throw error;
    const denied = code === 'EACCES' || code === 'EPERM';
    throw new SandwardenError(denied ? 'ERR_FORBIDDEN' : 'ERR_FILE', `cannot keep a copy in ${folder} (${code})`, {
      hint: denied ? 'run as root' : 'nothing is written without a copy of what was there: look at that disk',
      cause: error,
    });
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && 'syscall' in error ? String(error.code) : undefined;
}
