import { constants } from 'node:fs';
import { access, type FileHandle, open, stat } from 'node:fs/promises';
import { SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';

/**
 * A file as text, at most `maxBytes` of it; undefined where it is not there. Never waits at a fifo or a device.
 * Throws ERR_FORBIDDEN, or ERR_FILE where it is too large, no file, or cannot be read.
 */
export async function readText(path: string, maxBytes: number): Promise<string | undefined> {
  const read = await readBytes(path, (file) => readFrom(file, 0, maxBytes + 1));
  if (read && read.length > maxBytes) throw fileError(path, `it is larger than ${maxBytes} bytes`);
  return read?.toString('utf8');
}

/** The last `maxBytes` of a file, and whether something stands before them. Errors as readText. */
export async function readTail(path: string, maxBytes: number): Promise<{ bytes: Buffer; cut: boolean } | undefined> {
  let cut = false;
  const bytes = await readBytes(path, async (file) => {
    const { size } = await file.stat();
    cut = size > maxBytes;
    return readFrom(file, cut ? size - maxBytes : 0, maxBytes);
  });
  return bytes && { bytes, cut };
}

/** A file of /proc or /sys; undefined where it (or its process) is gone or may not be read: both are normal there. */
export async function readProc(path: string, maxBytes = 64 * 1024): Promise<string | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    return (await readFrom(file, 0, maxBytes)).toString('utf8');
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}

/** Whether `error` is one of a system call. */
export function isErrno(error: unknown): error is NodeJS.ErrnoException & { code: string } {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && 'syscall' in error;
}

async function readBytes(path: string, read: (file: FileHandle) => Promise<Buffer>): Promise<Buffer | undefined> {
  try {
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    if (!(await file.stat()).isFile()) throw fileError(path, 'it is no regular file');
    return await read(file);
  } catch (error) {
    if (!isErrno(error)) throw error;
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    if (error.code === 'EACCES' || error.code === 'EPERM') {
      throw new SandwardenError('ERR_FORBIDDEN', `no permission to read '${safeText(path, 300)}'`, {
        hint: 'Run it as root (sudo sandwarden …).',
        cause: error,
      });
    }
    throw fileError(path, error.message, error);
  }
}

async function readFrom(file: FileHandle, position: number, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  while (total < maxBytes) {
    const chunk = Buffer.alloc(Math.min(64 * 1024, maxBytes - total));
    const { bytesRead } = await file.read(chunk, 0, chunk.length, position + total);
    if (bytesRead === 0) break;
    chunks.push(chunk.subarray(0, bytesRead));
    total += bytesRead;
  }
  return Buffer.concat(chunks);
}

function fileError(path: string, why: string, cause?: unknown): SandwardenError {
  return new SandwardenError('ERR_FILE', `cannot read '${safeText(path, 300)}': ${safeText(why, 300)}`, {
    hint: 'Name a readable file.',
    cause,
  });
}

/** Whether something is at that path. What may not be looked at counts as not there. */
export async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}

/** Whether a regular file is at that path, links followed. */
export async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}
