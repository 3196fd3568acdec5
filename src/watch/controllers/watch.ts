import { requiredControllers } from '../../model/cgroups.ts';
import type { Clock } from '../../model/clock.ts';
import {
  type ControllerChange,
  type ControllerChanges,
  type ControllerWriter,
  isSameWriter,
  type SliceWriter,
  type ToldBy,
} from '../../model/controller-changes.ts';
import { isSandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Moment } from '../../model/records.ts';
import { wordsOf } from '../../observe/cgroup/pod-cgroup.ts';
import type { KernelEvent, OpenWriteSource, WatchDirectory, WatchFs, WriteSource } from './ports.ts';
import { isSameNow, RecentWriters } from './recent-writers.ts';
import { holdsSlices, mayBeSlice, podsIn, type WatchedSlice, watchedSlices } from './slices.ts';
import { Writers } from './writer.ts';

/** What the watch says while it goes on. */
export type WatchEvent =
  /** A controller went or came back; `pods` are the uids of those that are directly in the slice. */
  | { readonly kind: 'change'; readonly change: ControllerChange; readonly pods: readonly string[] }
  /** A slice was made or removed. Its controllers then are no changes: it has none at first. */
  | { readonly kind: 'slice'; readonly at: Moment; readonly path: string; readonly went: 'made' | 'removed' }
  /** The kernel's queue overflowed; what differs from before is told as changes by nobody. */
  | { readonly kind: 'overflow'; readonly at: Moment };

export interface WatchOptions {
  readonly fs: WatchFs;
  readonly clock: Clock;
  /** The id of this boot, for the moments; absent where the kernel does not tell. */
  readonly bootId?: string;
  /** The cgroup2 mount. */
  readonly base: string;
  /** kubelet's `--cgroup-root`, where it is known; without it the tree is looked for. */
  readonly cgroupRoot?: string;
  readonly open: OpenWriteSource;
  readonly watchDirectory: WatchDirectory;
  readonly onEvent: (event: WatchEvent) => void;
  /** The watch ended by itself: why. */
  readonly onError: (error: Error) => void;
}

/** A slice and which of the required controllers it hands down; undefined while it is not there. */
export interface SliceState extends WatchedSlice {
  readonly handsDown: readonly string[] | undefined;
}

/** What a slice with pods in it does not hand down. */
export interface MissingControllers {
  readonly path: string;
  readonly controllers: readonly string[];
  /** The uids of the pods. */
  readonly pods: readonly string[];
}

interface Armed {
  readonly slice: WatchedSlice;
  inode: bigint | undefined;
  handsDown: readonly string[] | undefined;
  directory: { close(): void } | undefined;
}

/**
 * Watches `cgroup.subtree_control` of the root, kubepods and the QoS slices. Reads nothing while nobody writes; a
 * write costs one read of the slice, one or two of the writer, and a listing of the pods where a controller went or
 * came back.
 */
export class ControllerWatch {
  /** What kubelet requires of a pod's cgroup here: a fixed list as far as the root has it. */
  readonly required: readonly string[];
  readonly by: ToldBy;
  readonly #options: WatchOptions;
  readonly #source: WriteSource;
  readonly #writers: Writers;
  readonly #armed = new Map<string, Armed>();
  readonly #since: Moment;
  readonly #changes: ControllerChange[] = [];
  readonly #wrote = new Map<string, SliceWriter[]>();
  readonly #recent = new RecentWriters();
  #kept = 0;
  #overflows = 0;
  #truncated = false;
  #whyLate: string | undefined;
  #closed = false;

  /** Begins. Throws what `open` throws. */
  constructor(options: WatchOptions) {
    const { fs, base } = options;
    this.#options = options;
    this.#writers = new Writers(fs);
    this.#since = this.#now();
    this.required = requiredControllers('v2', wordsOf(fs.read(`${base}/cgroup.controllers`)) ?? []);
    this.#source = options.open(base, {
      onEvents: (events) => this.#guarded(() => this.#told(events)),
      onError: options.onError,
    });
    this.by = this.#source.by;
    try {
      this.#scan(false);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      // The source holds a thread; it ends by itself once it is told to.
      this.close().catch(options.onError);
      throw error;
    }
  }

  /** Why slices that come and go may be noticed late; undefined where they are noticed at once. */
  get whyLate(): string | undefined {
    return this.#whyLate;
  }

  /** The slices as they are now, from the root down. */
  slices(): SliceState[] {
    return [...this.#armed.values()]
      .map(({ slice, handsDown }) => ({ ...slice, handsDown }))
      .toSorted((a, b) => (a.path < b.path ? -1 : 1));
  }

  /** The slices with pods in them that lack something now: one listing for each that lacks something. */
  missing(): MissingControllers[] {
    const { fs, base } = this.#options;
    return this.slices().flatMap((slice) => {
      const controllers = this.required.filter((each) => slice.handsDown?.includes(each) === false);
      const pods = controllers.length === 0 ? [] : podsIn(fs, base, slice);
      return pods.length === 0 ? [] : [{ path: slice.path, controllers, pods }];
    });
  }

  /** All that was seen until now. */
  result(): ControllerChanges {
    return {
      since: this.#since,
      until: this.#now(),
      by: this.by,
      writers: [...this.#wrote.values()].flat().toSorted((a, b) => compare(a.first.wallNs, b.first.wallNs)),
      changes: [...this.#changes],
      overflows: this.#overflows,
      truncated: this.#truncated,
    };
  }

  /** Ends the watch. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const each of this.#armed.values()) each.directory?.close();
    await this.#source.close();
  }

  /** What the kernel calls has nobody above it who would hear of an error. */
  #guarded(act: () => void): void {
    if (this.#closed) return;
    try {
      act();
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      this.#options.onError(error);
    }
  }

  #told(events: readonly KernelEvent[]): void {
    const at = this.#now();
    // Who wrote is asked first: a process may end at any moment, a file stays.
    const found = new Map<number, ControllerWriter>();
    const touched = new Map<string, ControllerWriter[]>();
    const before = new Map<string, readonly ControllerWriter[]>();
    const nowNs = this.#options.clock.uptimeNs();
    for (const event of events) {
      if (event.kind !== 'write') continue;
      const writers = touched.get(event.path) ?? [];
      touched.set(event.path, writers);
      if (!before.has(event.path)) before.set(event.path, this.#recent.before(nowNs));
      if (event.pid === undefined) continue;
      const writer = found.get(event.pid) ?? this.#recent.known(this.#writers.of(event.pid), nowNs);
      found.set(event.pid, writer);
      if (!writers.some((each) => isSameNow(each, writer))) writers.push(writer);
      this.#count(event.path, writer, at);
      this.#recent.add(writer, nowNs);
    }
    const overflowed = events.some((each) => each.kind === 'overflow');
    if (overflowed) {
      this.#overflows++;
      this.#options.onEvent({ kind: 'overflow', at });
    }
    for (const [path, writers] of touched) {
      this.#look(path, at, overflowed ? [] : writers, overflowed ? [] : before.get(path));
    }
    const isNews = overflowed || this.#whyLate !== undefined || events.some((each) => each.kind === 'tree');
    if (isNews) this.#scan(true);
    if (overflowed) for (const path of this.#armed.keys()) this.#look(path, at, []);
  }

  /** Reads a slice again and tells what differs from before. */
  #look(path: string, at: Moment, writers: readonly ControllerWriter[], before?: readonly ControllerWriter[]): void {
    const armed = this.#armed.get(path);
    if (armed === undefined) return;
    const now = this.#read(path);
    if (now === undefined) {
      this.#scan(true);
      return;
    }
    const had = armed.handsDown ?? [];
    armed.handsDown = now;
    const others = (before ?? []).filter((each) => !writers.some((writer) => isSameNow(each, writer)));
    const after = others.length === 0 || writers.length === 0 ? {} : { after: others };
    const changes = this.required.flatMap((controller): ControllerChange[] => {
      if (had.includes(controller) === now.includes(controller)) return [];
      if (now.includes(controller)) return [{ at, path, controller, went: 'back', writers }];
      return [{ at, path, controller, went: 'gone', writers, ...after }];
    });
    if (changes.length === 0) return;
    const pods = podsIn(this.#options.fs, this.#options.base, armed.slice);
    for (const change of changes) {
      if (this.#changes.length < limits.watchChanges) this.#changes.push(change);
      else this.#truncated = true;
      this.#options.onEvent({ kind: 'change', change, pods });
    }
  }

  /** A slice that is made while this looks is missed by the first look, and found by the one after the arming. */
  #scan(tells: boolean): void {
    for (let round = 0; round < MOST_ROUNDS && this.#scanOnce(tells); round++);
  }

  /**
   * Arms the slices that are there and not armed, or made anew; `tells` of those that came and went. Whether it armed
   * any.
   */
  #scanOnce(tells: boolean): boolean {
    let armedAny = false;
    const { fs, base, cgroupRoot } = this.#options;
    const at = this.#now();
    const seen = new Set<string>();
    for (const slice of watchedSlices(fs, base, cgroupRoot)) {
      seen.add(slice.path);
      const inode = fs.inode(`${base}${slice.path === '/' ? '' : slice.path}/cgroup.subtree_control`);
      const armed = this.#armed.get(slice.path) ?? {
        slice,
        inode: undefined,
        handsDown: undefined,
        directory: undefined,
      };
      this.#armed.set(slice.path, armed);
      if (inode !== undefined && inode === armed.inode) continue;
      this.#disarm(armed, at, tells);
      if (inode === undefined) continue;
      this.#arm(armed, inode, at, tells);
      armedAny = true;
    }
    for (const [path, armed] of this.#armed) {
      if (seen.has(path)) continue;
      this.#disarm(armed, at, tells);
      this.#armed.delete(path);
    }
    return armedAny;
  }

  #arm(armed: Armed, inode: bigint, at: Moment, tells: boolean): void {
    const { path } = armed.slice;
    // First armed, then read: what is written in between is told of and finds nothing changed.
    if (!this.#source.arm(path)) return;
    armed.inode = inode;
    armed.handsDown = this.#read(path);
    if (holdsSlices(armed.slice)) armed.directory = this.#watchDirectory(path);
    if (tells) this.#options.onEvent({ kind: 'slice', at, path, went: 'made' });
  }

  #watchDirectory(path: string): { close(): void } | undefined {
    try {
      return this.#options.watchDirectory(`${this.#options.base}${path === '/' ? '' : path}`, (name) => {
        if (mayBeSlice(name)) this.#guarded(() => this.#scan(true));
      });
    } catch (error) {
      // Without it a slice that is made anew is found at the next write to another one.
      if (!isSandwardenError(error)) throw error;
      this.#whyLate = error.message;
      return undefined;
    }
  }

  #disarm(armed: Armed, at: Moment, tells: boolean): void {
    if (armed.inode === undefined) return;
    armed.directory?.close();
    Object.assign(armed, { inode: undefined, handsDown: undefined, directory: undefined });
    if (tells) this.#options.onEvent({ kind: 'slice', at, path: armed.slice.path, went: 'removed' });
  }

  #read(path: string): string[] | undefined {
    const { fs, base } = this.#options;
    const words = wordsOf(fs.read(`${base}${path === '/' ? '' : path}/cgroup.subtree_control`));
    return words && this.required.filter((each) => words.includes(each));
  }

  #count(path: string, writer: ControllerWriter, at: Moment): void {
    const mine = this.#wrote.get(path) ?? [];
    this.#wrote.set(path, mine);
    const index = mine.findIndex((each) => isSameWriter(each.writer, writer));
    const known = mine[index];
    if (known !== undefined) mine[index] = { ...known, count: known.count + 1, last: at };
    else if (this.#kept < limits.watchWriters) {
      this.#kept++;
      mine.push({ path, writer, count: 1, first: at, last: at });
    } else this.#truncated = true;
  }

  #now(): Moment {
    const { clock, bootId } = this.#options;
    const wallNs = clock.wallNs();
    return bootId === undefined ? { wallNs } : { wallNs, bootId, monotonicUs: clock.uptimeNs() / 1_000n };
  }
}

/** Slices that are made and removed all the time are no reason to look for ever. */
const MOST_ROUNDS = 3;

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
