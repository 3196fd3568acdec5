import { createRequire } from 'node:module';
import { SandwardenError } from '../../model/errors.ts';

/** The few functions of libc that Node does not have. A negative answer is a failure; `errno` tells which. */
export interface Libc {
  /** fanotify_init(2). */
  fanotifyInit(flags: number, eventFlags: number): number;
  /** fanotify_mark(2). */
  fanotifyMark(fd: number, flags: number, mask: bigint, directory: number, path: string): number;
  /** eventfd(2). */
  eventfd(initial: number, flags: number): number;
  /** poll(2) without a deadline, in a thread of libuv's pool; `count` entries of 8 bytes are in `polled`. */
  poll(polled: Buffer, count: number): Promise<number>;
  errno(): number;
}

let loaded: Libc | undefined;

/**
 * libc through koffi's prebuilt module: beside the bundle (tools/build.ts puts it there), else in node_modules.
 * Throws ERR_NOT_SUPPORTED where there is none for this machine.
 */
export function loadLibc(): Libc {
  loaded ??= boundTo(loadKoffi());
  return loaded;
}

type Koffi = Pick<typeof import('koffi'), 'load' | 'errno'>;

function loadKoffi(): Koffi {
  const require = createRequire(import.meta.url);
  const tried: string[] = [];
  // A module for the other libc does not load: trying is how koffi itself tells them apart where in doubt.
  for (const libc of ['linux', 'musl']) {
    for (const path of [
      `../native/koffi-${libc}-${process.arch}.node`,
      `../../../node_modules/@koromix/koffi-linux-${process.arch}/${libc}_${process.arch}/koffi.node`,
    ]) {
      try {
        return require(path) as Koffi;
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        tried.push(error.message.split('\n')[0] ?? '');
      }
    }
  }
  throw new SandwardenError('ERR_NOT_SUPPORTED', `no bridge to libc for linux-${process.arch} is installed`, {
    hint: 'Install it as built by `make build`: dist/native holds it for x64 and arm64.',
    cause: new Error(tried.join('; ')),
  });
}

function boundTo(koffi: Koffi): Libc {
  try {
    return bind(koffi);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new SandwardenError('ERR_NOT_SUPPORTED', `libc has not what is needed: ${error.message}`, {
      hint: 'Use the Node that `make install` brings.',
      cause: error,
    });
  }
}

function bind(koffi: Koffi): Libc {
  // The process itself: Node is linked with libc, glibc or musl.
  const libc = koffi.load(null);
  const init = libc.func('int fanotify_init(unsigned int flags, unsigned int event_f_flags)');
  const mark = libc.func('int fanotify_mark(int fd, unsigned int flags, uint64_t mask, int dirfd, const char *path)');
  const eventfd = libc.func('int eventfd(unsigned int initval, int flags)');
  const poll = libc.func('int poll(void *fds, unsigned long nfds, int timeout)');
  return {
    fanotifyInit: (flags, eventFlags) => Number(init(flags, eventFlags)),
    fanotifyMark: (fd, flags, mask, directory, path) => Number(mark(fd, flags, mask, directory, path)),
    eventfd: (initial, flags) => Number(eventfd(initial, flags)),
    poll: (polled, count) =>
      new Promise((done, reject) => {
        poll.async(polled, count, -1, (error: Error | null, ready: unknown) => {
          if (error) reject(error);
          else done(Number(ready));
        });
      }),
    errno: () => koffi.errno(),
  };
}
