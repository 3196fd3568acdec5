import type {
  KernelEvent,
  KernelListener,
  WatchDirectory,
  WatchFs,
  WriteSource,
} from '../../src/watch/controllers/ports.ts';
import { ControllerWatch, type WatchEvent, type WatchOptions } from '../../src/watch/controllers/watch.ts';
import { unifiedMount } from './cgroup-tree.ts';

const BASE = '/sys/fs/cgroup';
export const allControllers = 'cpuset cpu io memory hugetlb pids';

/** A cgroup tree that can be changed while it is watched; it counts what is asked of it. */
export class WatchedTree implements WatchFs {
  readonly files = new Map<string, string>();
  readonly #inodes = new Map<string, bigint>();
  #lastInode = 100n;
  asked = 0;

  constructor(slices: readonly string[] = ['/', kubepods, besteffort, burstable]) {
    this.files.set('/proc/self/mountinfo', unifiedMount);
    this.files.set('/proc/sys/kernel/random/boot_id', '1e730c19-933b-4454-abfa-855f78d534ce\n');
    this.files.set(`${BASE}/cgroup.controllers`, `${allControllers}\n`);
    this.process(1, 'systemd', '/init.scope');
    this.process(376, 'kubelet', '/system.slice/kubelet.service');
    for (const each of slices) this.make(each, allControllers);
  }

  /** Makes a slice, or makes it anew: it is another file then. */
  make(slice: string, controllers = ''): void {
    this.#inodes.set(slice, ++this.#lastInode);
    this.write(slice, controllers);
  }

  remove(slice: string): void {
    for (const each of this.#inodes.keys())
      if (each === slice || each.startsWith(`${slice}/`)) this.#inodes.delete(each);
    for (const path of this.files.keys()) if (path.startsWith(`${BASE}${slice}/`)) this.files.delete(path);
  }

  write(slice: string, controllers: string): void {
    this.files.set(`${BASE}${slice === '/' ? '' : slice}/cgroup.subtree_control`, `${controllers}\n`);
  }

  pod(slice: string, uid: string): void {
    const name = slice.slice(slice.lastIndexOf('/') + 1).replace('.slice', '');
    this.files.set(`${BASE}${slice}/${name}-pod${uid.replaceAll('-', '_')}.slice/cgroup.events`, 'populated 1\n');
  }

  process(pid: number, comm: string, cgroup: string, ticks = pid): void {
    this.files.set(`/proc/${pid}/stat`, `${pid} (${comm}) S 1 ${'0 '.repeat(17)}${ticks} 0\n`);
    this.files.set(`/proc/${pid}/cgroup`, `0::${cgroup}\n`);
  }

  read(path: string): string | undefined {
    this.asked++;
    return this.files.get(path);
  }

  directories(path: string): readonly string[] | undefined {
    this.asked++;
    const above = `${path.replace(/\/$/, '')}/`;
    const below = [...this.files.keys()].filter((each) => each.startsWith(above));
    if (below.length === 0) return undefined;
    const names = below.map((each) => each.slice(above.length).split('/'));
    return [...new Set(names.flatMap(([name = '', ...rest]) => (rest.length > 0 ? [name] : [])))];
  }

  countDirectories(path: string): number | undefined {
    return this.directories(path)?.length;
  }

  link(): undefined {
    return undefined;
  }

  inode(path: string): bigint | undefined {
    this.asked++;
    const slice = path.slice(BASE.length, -'/cgroup.subtree_control'.length);
    return this.#inodes.get(slice === '' ? '/' : slice);
  }
}

export const kubepods = '/kubepods.slice';
export const besteffort = '/kubepods.slice/kubepods-besteffort.slice';
export const burstable = '/kubepods.slice/kubepods-burstable.slice';

/** A watch over such a tree, told by hand. The clock stands until it is moved; it begins at the recorded evening. */
export class ToldWatch {
  readonly events: WatchEvent[] = [];
  readonly errors: Error[] = [];
  readonly armed: string[] = [];
  readonly watch: ControllerWatch;
  readonly tree: WatchedTree;
  nowNs = 1_795_291_380_771_000_000n;
  #listener: KernelListener | undefined;
  readonly #directories = new Map<string, (name: string | undefined) => void>();

  constructor(tree = new WatchedTree(), more: Partial<WatchOptions> = {}) {
    this.tree = tree;
    const watchDirectory: WatchDirectory = (path, onName) => {
      this.#directories.set(path, onName);
      return { close: () => this.#directories.delete(path) };
    };
    this.watch = new ControllerWatch({
      fs: tree,
      base: BASE,
      bootId: '1e730c19933b4454abfa855f78d534ce',
      clock: {
        wallNs: () => this.nowNs,
        uptimeNs: () => this.nowNs - 1_795_291_000_000_000_000n,
        sleep: () => Promise.reject(new Error('nobody sleeps here')),
      },
      open: (_base, listener) => this.#open(listener),
      watchDirectory,
      onEvent: (event) => this.events.push(event),
      onError: (error) => this.errors.push(error),
      ...more,
    });
  }

  /** The kernel tells a batch. */
  tell(...events: readonly KernelEvent[]): void {
    this.#listener?.onEvents(events);
  }

  /** Somebody writes, and the kernel tells of it. */
  write(path: string, controllers: string, pid?: number): void {
    this.tree.write(path, controllers);
    this.tell({ kind: 'write', path, ...(pid === undefined ? {} : { pid }) });
  }

  /** A directory came or went. */
  changed(directory: string, name: string): void {
    this.#directories.get(`${BASE}${directory}`)?.(name);
  }

  #open(listener: KernelListener): WriteSource {
    this.#listener = listener;
    return {
      by: 'fanotify',
      arm: (path) => {
        this.armed.push(path);
        return this.tree.inode(`${BASE}${path === '/' ? '' : path}/cgroup.subtree_control`) !== undefined;
      },
      close: () => Promise.resolve(),
    };
  }
}
