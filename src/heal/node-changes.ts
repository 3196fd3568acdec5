import type { FileIdentity } from '../model/plan.ts';
import type { HandlerSettings } from '../model/runtime-config.ts';

/** What stands at a path, its last part not followed. */
export type FileNow =
  /** `missing` are the folders above it that are not there, outermost first. */
  | { readonly kind: 'nothing'; readonly missing: readonly string[] }
  | { readonly kind: 'file'; readonly content: Buffer; readonly identity: FileIdentity }
  /** A link, a folder, a device, a file too large, or one in a folder where others may write. */
  | { readonly kind: 'other'; readonly why: string };

/** A file that is to stand somewhere. */
export interface FileToBe {
  readonly content: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** What `containerd config dump` says of its files as they are now. */
export type DumpAnswer =
  | { readonly settings: HandlerSettings }
  | { readonly refusal: string }
  /** Its program may not be run from here. */
  | { readonly unknown: string };

/**
 * What healing changes beside sandboxes and processes: files of root's and properties of units. All throw ERR_FILE,
 * ERR_FORBIDDEN, ERR_COMMAND_FAILED or ERR_COMMAND_MISSING.
 */
export interface NodeChanges {
  fileNow(path: string): Promise<FileNow>;
  /**
   * Puts a file there, or removes it where `to` is undefined, by a rename in its folder: whoever reads (and a power
   * cut) finds the old or the new one. No link is followed. `folders` are made first.
   */
  replaceFile(path: string, to: FileToBe | undefined, folders: readonly string[]): Promise<void>;
  /** Removes folders that are empty, innermost first. */
  removeFolders(folders: readonly string[]): Promise<void>;
  /** Removes what a replaceFile that was cut off left beside `path`. */
  sweep(path: string): Promise<void>;
  dumpConfig(file: string): Promise<DumpAnswer>;
  /** systemctl daemon-reload. */
  reloadUnits(): Promise<void>;
  /** A property of a unit as `systemctl show` prints it. */
  readProperty(unit: string, name: string): Promise<string>;
  /** systemctl set-property --runtime. */
  setProperty(unit: string, name: string, value: string): Promise<void>;
  /** Whether systemd answers and manages cpuset. */
  canAnchor(): Promise<boolean>;
  /** Whether an anchor of ours holds a slice. */
  isHeld(slice: string): Promise<boolean>;
  holdSlice(slice: string): Promise<void>;
  releaseSlice(slice: string): Promise<void>;
  /** The handlers in force, by CRI Status; undefined where the runtime does not tell. */
  handlersInForce(): Promise<HandlerSettings | undefined>;
  /** The unit a process runs in; undefined where it is in none. */
  unitOf(pid: number): Promise<string | undefined>;
  /** The CPUs that may be used, as the root cgroup lists them (`0-3`); undefined where that is not known. */
  cpus(): Promise<string | undefined>;
}

/** The contents of files by their hash, kept with the journal: what taking back needs. */
export interface Backups {
  /** Durable once it resolves. Throws ERR_FILE, ERR_FORBIDDEN. */
  save(sha256: string, content: Buffer): Promise<void>;
  /** Undefined where it is not there or is not what its name says. */
  read(sha256: string): Promise<Buffer | undefined>;
  /** Where a person finds it. */
  pathOf(sha256: string): string;
}
