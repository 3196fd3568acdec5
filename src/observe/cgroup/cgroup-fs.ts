import { closeSync, constants, openSync, readdirSync, readlinkSync, readSync, statSync } from 'node:fs';
import { isErrno } from '../read-file.ts';

/**
 * What the reader needs of /proc and /sys: absolute paths, and undefined for what is not there, vanished or may not be
 * read. Synchronous: these are small files of the kernel, and a trip through the thread pool costs more than the read.
 */
export interface CgroupFs {
  /** A file's text. */
  read(path: string): string | undefined;
  /** The names of the directories in a directory. */
  directories(path: string): readonly string[] | undefined;
  /** How many directories are in a directory, by its link count; undefined where the file system does not count. */
  countDirectories(path: string): number | undefined;
  /** What a symbolic link says. */
  link(path: string): string | undefined;
}

const READ_BYTES = 64 * 1024;
/** One for all reads: they are synchronous, and each text is copied out of it. */
const buffer = Buffer.alloc(READ_BYTES);

/** The real files, under a prefix in tests. */
export function systemCgroupFs(root = ''): CgroupFs {
  return {
    read: (path) => unlessGone(() => readSmall(`${root}${path}`)),
    directories: (path) =>
      unlessGone(() =>
        readdirSync(`${root}${path}`, { withFileTypes: true })
          .filter((each) => each.isDirectory())
          .map((each) => each.name),
      ),
    countDirectories: (path) => {
      const stat = unlessGone(() => statSync(`${root}${path}`, { throwIfNoEntry: false }));
      // A directory has two links and one of each directory in it; overlayfs and btrfs say 1 and do not count.
      return stat === undefined || stat.nlink < 2 ? undefined : stat.nlink - 2;
    },
    link: (path) => unlessGone(() => readlinkSync(`${root}${path}`)),
  };
}

function readSmall(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  try {
    let length = 0;
    for (;;) {
      const read = readSync(file, buffer, length, buffer.length - length, null);
      if (read === 0) return buffer.toString('utf8', 0, length);
      length += read;
    }
  } finally {
    closeSync(file);
  }
}

function unlessGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}
