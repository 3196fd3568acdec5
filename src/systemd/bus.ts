import type { DBusValue, Variant } from './dbus/types.ts';

/** A property of a unit, by systemd's name of it on the bus (org.freedesktop.systemd1(5)). */
export type UnitProperty = readonly [name: string, value: Variant];

/** What systemd says of a unit that it has loaded. Times are microseconds since boot; 0 is never. */
export interface UnitState {
  readonly id: string;
  readonly description: string;
  readonly loadState: string;
  /** `active`, `activating`, `inactive`, `failed` … */
  readonly activeState: string;
  readonly subState: string;
  /** Made by a call, with no file: gone at the next boot. */
  readonly transient: boolean;
  /** The file that it was loaded from; empty where there is none. */
  readonly fragmentPath: string;
  readonly after: readonly string[];
  readonly before: readonly string[];
  readonly activeSinceUs: bigint;
  readonly inactiveSinceUs: bigint;
  /** Empty while it has no cgroup. */
  readonly controlGroup: string;
  /** The slice that it is in; empty for a kind of unit that is in none. */
  readonly slice: string;
  /** Only scopes and services can be; undefined where systemd does not tell. */
  readonly delegate: boolean | undefined;
  readonly delegateControllers: readonly string[];
  /** `AllowedCPUs`, as a list of numbers: `[0, 1]`; empty where it is not set. */
  readonly allowedCpus: readonly number[];
  readonly memoryBytes: bigint | undefined;
}

/**
 * What Sandwarden asks of systemd. Each call has a deadline. Throws ERR_SYSTEMD_UNREACHABLE (no bus, hung, gone in the
 * middle), ERR_SYSTEMD_FAILED (systemd refused, or a job failed), ERR_FORBIDDEN, ERR_USAGE for a name that no unit can
 * have.
 */
export interface SystemdBus extends AsyncDisposable {
  /** How it is spoken to. */
  readonly via: 'dbus' | 'systemctl';
  /** The number of systemd's release: 252. */
  readonly release: number;
  /** undefined for a unit that is not loaded. */
  unit(name: string): Promise<UnitState | undefined>;
  /** The names of loaded units that match one of the patterns (`sandwarden-anchor-*`). */
  unitNames(patterns: readonly string[]): Promise<string[]>;
  /**
   * Starts a process that outlives this one, in a new scope. Resolves when the scope is active; where it cannot be
   * made, no process stays.
   */
  startScope(scope: ScopeSpec): Promise<void>;
  /** Resolves when the job is done. Throws ERR_PRECONDITION where systemd knows no such unit. */
  startUnit(name: string): Promise<void>;
  /** Resolves when the job is done, or at once where it is not loaded. */
  stopUnit(name: string): Promise<void>;
  /** Properties of a unit that runs; those not `lasting` are forgotten at the next boot. */
  setProperties(name: string, properties: readonly UnitProperty[], lasting: boolean): Promise<void>;
  /** daemon-reload. */
  reload(): Promise<void>;
}

/** A scope, as StartTransientUnit makes one. */
export interface ScopeSpec {
  readonly name: string;
  readonly slice: string;
  readonly description: string;
  /** The program to run in it, by its whole path, and its arguments. */
  readonly command: readonly [string, ...string[]];
}

/** The properties of a scope that holds its slice up: systemd then wants every controller in all slices above it. */
export function scopeProperties({ slice, description }: ScopeSpec, pid: number): UnitProperty[] {
  return [
    ['Description', text(description)],
    ['Slice', text(slice)],
    ['PIDs', { signature: 'au', value: [pid] }],
    // The boolean, not a list: it stands for all controllers, cpuset among them (systemd src/core/cgroup.c
    // unit_get_delegate_mask).
    ['Delegate', { signature: 'b', value: true }],
    // What kubelet and runc give their units: the scope lives as long as its slice, through a shutdown's first half.
    ['DefaultDependencies', { signature: 'b', value: false }],
    ['CollectMode', text('inactive-or-failed')],
  ];
}

/** A name that systemd can take for a unit and nobody for an option (systemd.unit(5)). */
export function isUnitName(name: string): boolean {
  return (
    /^[A-Za-z0-9:_.\\@][A-Za-z0-9:_.\\@-]*\.(service|scope|slice|target|timer|path|mount|socket)$/.test(name) &&
    name.length <= 255
  );
}

/** A string, as a property. */
export function text(value: DBusValue): Variant {
  return { signature: 's', value };
}
