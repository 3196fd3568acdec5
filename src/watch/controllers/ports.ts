import type { ToldBy } from '../../model/controller-changes.ts';
import type { CgroupFs } from '../../observe/cgroup/cgroup-fs.ts';

/** The files that a watch reads, and what tells whether a path still leads to the same one. */
export interface WatchFs extends CgroupFs {
  /** The number of the file at a path; undefined where there is none. */
  inode(path: string): bigint | undefined;
}

/** One thing that the kernel tells of the slices that are armed. */
export type KernelEvent =
  /** Somebody wrote to the `cgroup.subtree_control` of a slice; `pid` is absent where the kernel does not say who. */
  | { readonly kind: 'write'; readonly path: string; readonly pid?: number }
  /** The queue was full: some writes were not told of. */
  | { readonly kind: 'overflow' }
  /** A directory came or went, or a file vanished while it was told of. */
  | { readonly kind: 'tree' };

/** What is done with what the kernel tells; a batch is what was waiting at one moment, in order. */
export interface KernelListener {
  readonly onEvents: (events: readonly KernelEvent[]) => void;
  /** The watch cannot go on. */
  readonly onError: (error: Error) => void;
}

/** What tells of writes. It sleeps in the kernel until there is something to tell. */
export interface WriteSource {
  readonly by: ToldBy;
  /** Begins to tell of writes to the slice at this path (from the mount); false where it is gone already. */
  arm(path: string): boolean;
  /** Ends, and gives back what it holds. */
  close(): Promise<void>;
}

/** Opens a source that tells `listener`. Throws ERR_NOT_SUPPORTED or ERR_FORBIDDEN where the kernel refuses it. */
export type OpenWriteSource = (base: string, listener: KernelListener) => WriteSource;

/** Tells when a directory in `path` comes or goes, by its name where the kernel gives it. Throws as OpenWriteSource. */
export type WatchDirectory = (path: string, onName: (name: string | undefined) => void) => { close(): void };
