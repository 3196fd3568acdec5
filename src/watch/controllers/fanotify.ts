import { closeSync, fstatSync, readSync, statSync, writeSync } from 'node:fs';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { isErrno } from '../../observe/read-file.ts';
import { type Libc, loadLibc } from './libc.ts';
import type { KernelEvent, KernelListener, WriteSource } from './ports.ts';

// include/uapi/linux/fanotify.h
const FAN_CLOEXEC = 0x1;
const FAN_NONBLOCK = 0x2;
const FAN_CLASS_NOTIF = 0x0;
const FAN_MARK_ADD = 0x1;
const FAN_MODIFY = 0x2n;
const FAN_Q_OVERFLOW = 0x4000n;
const FANOTIFY_METADATA_VERSION = 3;
const METADATA_BYTES = 24;
// include/uapi/asm-generic/fcntl.h, the same on x86 and arm64.
const O_RDONLY = 0;
const O_NONBLOCK = 0x800;
const O_CLOEXEC = 0x80000;
const AT_FDCWD = -100;
const POLLIN = 0x1;
const POLLFD_BYTES = 8;

/** One event of a fanotify group: `fd` is a file that the reader must close, or negative. */
export interface FanotifyEvent {
  readonly mask: bigint;
  readonly fd: number;
  readonly pid: number;
}

/**
 * The events in what was read of a fanotify group (fanotify(7): struct fanotify_event_metadata). Throws
 * ERR_NOT_SUPPORTED where the kernel speaks another version of it.
 */
export function parseFanotifyEvents(bytes: Buffer): FanotifyEvent[] {
  const events: FanotifyEvent[] = [];
  for (let at = 0; at + METADATA_BYTES <= bytes.length; ) {
    const length = bytes.readUInt32LE(at);
    const version = bytes.readUInt8(at + 4);
    if (version !== FANOTIFY_METADATA_VERSION || length < METADATA_BYTES) {
      throw new SandwardenError('ERR_NOT_SUPPORTED', `the kernel writes fanotify events of version ${version}`, {
        hint: `Sandwarden reads version ${FANOTIFY_METADATA_VERSION}.`,
      });
    }
    events.push({
      mask: bytes.readBigUInt64LE(at + 8),
      fd: bytes.readInt32LE(at + 16),
      pid: bytes.readInt32LE(at + 20),
    });
    at += length;
  }
  return events;
}

/**
 * Writes to the `cgroup.subtree_control` of armed slices below `base`, with the process that wrote. One thread of
 * libuv's pool sleeps in poll(2) on the group and on an eventfd that ends it: nothing wakes without an event.
 * Throws ERR_FORBIDDEN without CAP_SYS_ADMIN and ERR_NOT_SUPPORTED where the kernel has it not.
 */
export function openFanotify(base: string, listener: KernelListener, libc: Libc = loadLibc()): WriteSource {
  const group = libc.fanotifyInit(FAN_CLASS_NOTIF | FAN_CLOEXEC | FAN_NONBLOCK, O_RDONLY | O_CLOEXEC);
  if (group < 0) throw refused(libc.errno());
  const wake = libc.eventfd(0, O_NONBLOCK | O_CLOEXEC);
  if (wake < 0) {
    closeSync(group);
    throw refused(libc.errno());
  }
  return new Fanotify(base, listener, { libc, group, wake });
}

class Fanotify implements WriteSource {
  readonly by = 'fanotify';
  readonly #base: string;
  readonly #listener: KernelListener;
  readonly #libc: Libc;
  readonly #group: number;
  readonly #wake: number;
  /** The slice of each armed file: the path that an event's file shows depends on the writer's mounts. */
  readonly #paths = new Map<bigint, string>();
  readonly #buffer = Buffer.alloc(limits.watchReadBytes);
  readonly #listening: Promise<void>;
  #closed = false;

  constructor(
    base: string,
    listener: KernelListener,
    { libc, group, wake }: { libc: Libc; group: number; wake: number },
  ) {
    this.#base = base;
    this.#listener = listener;
    this.#libc = libc;
    this.#group = group;
    this.#wake = wake;
    // A process that ends joins the threads of libuv's pool: one that sleeps in poll(2) would hold it for ever.
    process.once('exit', this.#end);
    this.#listening = this.#listen();
  }

  arm(path: string): boolean {
    const file = `${this.#base}${path === '/' ? '' : path}/cgroup.subtree_control`;
    const inode = inodeOf(file);
    if (inode === undefined) return false;
    if (this.#libc.fanotifyMark(this.#group, FAN_MARK_ADD, FAN_MODIFY, AT_FDCWD, file) < 0) {
      const errno = this.#libc.errno();
      if (errno === 2 || errno === 19 || errno === 20) return false;
      throw refused(errno);
    }
    // The mark of a file that vanished went with it.
    for (const [old, its] of this.#paths) if (its === path) this.#paths.delete(old);
    this.#paths.set(inode, path);
    return true;
  }

  async close(): Promise<void> {
    this.#end();
    process.off('exit', this.#end);
    await this.#listening;
  }

  #end = (): void => {
    if (this.#closed) return;
    this.#closed = true;
    writeSync(this.#wake, ONE);
  };

  async #listen(): Promise<void> {
    const polled = Buffer.alloc(2 * POLLFD_BYTES);
    [this.#group, this.#wake].forEach((fd, index) => {
      polled.writeInt32LE(fd, index * POLLFD_BYTES);
      polled.writeInt16LE(POLLIN, index * POLLFD_BYTES + 4);
    });
    try {
      while (!this.#closed) {
        const ready = await this.#libc.poll(polled, 2);
        if (ready < 0) throw notSupported('poll(2) failed');
        if (!this.#closed) this.#drain();
      }
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#closed = true;
      this.#listener.onError(error);
    } finally {
      closeSync(this.#group);
      closeSync(this.#wake);
    }
  }

  /** What is waiting, a buffer at a time; bounded, so that a burst without an end leaves a turn to others. */
  #drain(): void {
    for (let reads = 0; reads < limits.watchReadsAtOnce && !this.#closed; reads++) {
      let length: number;
      try {
        length = readSync(this.#group, this.#buffer);
      } catch (error) {
        if (!isErrno(error)) throw error;
        if (error.code === 'EAGAIN') return;
        // The kernel could not open the file of an event: the slice went meanwhile, and the event with it.
        this.#listener.onEvents([{ kind: 'tree' }]);
        continue;
      }
      const events = parseFanotifyEvents(this.#buffer.subarray(0, length));
      this.#listener.onEvents(events.flatMap((event) => this.#told(event)));
    }
  }

  #told({ mask, fd, pid }: FanotifyEvent): KernelEvent[] {
    try {
      if ((mask & FAN_Q_OVERFLOW) !== 0n) return [{ kind: 'overflow' }];
      const path = fd < 0 ? undefined : this.#paths.get(fstatSync(fd, { bigint: true }).ino);
      return path === undefined ? [{ kind: 'tree' }] : [{ kind: 'write', path, pid }];
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }
}

const ONE = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);

function inodeOf(path: string): bigint | undefined {
  return statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

function refused(errno: number): SandwardenError {
  // errno-base.h; ENOSYS is 38 on x86 and arm64.
  if (errno === 1 || errno === 13) {
    return new SandwardenError('ERR_FORBIDDEN', 'fanotify needs CAP_SYS_ADMIN', {
      hint: 'Run it as root on the node itself, or from a privileged pod with hostPID.',
    });
  }
  if (errno === 38) return notSupported('this kernel has no fanotify');
  if (errno === 24 || errno === 23) return notSupported('the limit of fanotify groups or open files is reached');
  return notSupported(`the kernel refuses fanotify on cgroup files (errno ${errno})`);
}

function notSupported(message: string): SandwardenError {
  return new SandwardenError('ERR_NOT_SUPPORTED', message, { hint: 'Writers cannot be named here.' });
}
