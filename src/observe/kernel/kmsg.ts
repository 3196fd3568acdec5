import { closeSync, constants, openSync, readSync } from 'node:fs';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { isErrno } from '../read-file.ts';

/** A record of /dev/kmsg (Documentation/ABI/testing/dev-kmsg). */
export interface KmsgRecord {
  readonly sequence: number;
  readonly monotonicUs: number;
  readonly text: string;
  /** false: a process wrote it into /dev/kmsg. */
  readonly byKernel: boolean;
}

/**
 * What is read record by record. `read` gives one record's bytes, `empty` where none is there now, and `overwritten`
 * where the ring has gone round before the next one was read.
 */
export interface KmsgDevice {
  read(): Buffer | 'empty' | 'overwritten';
  close(): void;
}

/**
 * Opens the kernel's ring from its oldest record on. Reading never waits.
 * Throws ERR_FORBIDDEN (root, or CAP_SYSLOG where kernel.dmesg_restrict is set), ERR_NOT_SUPPORTED where there is none.
 */
export function openKmsg(path = '/dev/kmsg'): KmsgDevice {
  const descriptor = translated(path, () => openSync(path, constants.O_RDONLY | constants.O_NONBLOCK));
  const buffer = Buffer.allocUnsafe(limits.kmsgRecordBytes);
  return {
    read: () => {
      try {
        const length = readSync(descriptor, buffer, 0, buffer.length, null);
        return length === 0 ? 'empty' : buffer.subarray(0, length);
      } catch (error) {
        if (isErrno(error) && error.code === 'EAGAIN') return 'empty';
        if (isErrno(error) && error.code === 'EPIPE') return 'overwritten';
        // A record longer than the buffer: the kernel keeps its place, so it would come again and again.
        return translated(path, () => {
          throw error;
        });
      }
    },
    close: () => closeSync(descriptor),
  };
}

/**
 * `6,339,5140900,-;NET: Registered …`, then lines of a dictionary that begin with a space; undefined where it is no
 * record. A process that writes into the ring gets the facility `user` (1), or names another one (systemd: 3); those
 * are daemons' own words and come without text.
 */
export function parseKmsg(record: string): KmsgRecord | undefined {
  const found = /^(\d{1,4}),(\d{1,16}),(\d{1,16}),[^;]{0,100};([^\n]*)/.exec(record);
  if (!found) return undefined;
  const facility = Number(found[1]) >> 3;
  return {
    sequence: Number(found[2]),
    monotonicUs: Number(found[3]),
    text: facility > 1 ? '' : unescaped(found[4] ?? ''),
    byKernel: facility === 0,
  };
}

/** What is not printable is written as `\x1b`; ASCII that the patterns look for comes back, control characters not. */
function unescaped(text: string): string {
  return text.includes('\\x')
    ? text.replace(/\\x([2-7][0-9a-f])/g, (all, hex: string) =>
        hex === '7f' ? all : String.fromCharCode(Number(`0x${hex}`)),
      )
    : text;
}

function translated<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (!isErrno(error)) throw error;
    if (error.code === 'EPERM' || error.code === 'EACCES') {
      throw new SandwardenError('ERR_FORBIDDEN', `no permission to read ${path}`, {
        hint: 'Run it as root on the node itself.',
        cause: error,
      });
    }
    throw new SandwardenError('ERR_NOT_SUPPORTED', `cannot read ${path}: ${error.code ?? error.message}`, {
      hint: 'Run it on the node itself, where the log of the kernel is.',
      cause: error,
    });
  }
}
