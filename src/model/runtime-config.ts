import type { CgroupDriver } from './cgroups.ts';

/**
 * The configuration of the runtime and of kubelet, as far as it decides who makes the pods' cgroups.
 * Nothing else of these files is kept: they hold the passwords of registries.
 */

/** A line of a file. */
export interface FileLine {
  readonly file: string;
  readonly line: number;
}

/** A runtime handler (`runc`, `nvidia`, `kata` …). */
export interface RuntimeHandler {
  readonly name: string;
  /** `io.containerd.runc.v2`; absent where the files do not say it. */
  readonly runtimeType?: string;
  /** containerd's default is false, in every version. */
  readonly systemdCgroup: boolean;
  /** Where SystemdCgroup is set; absent where no file sets it. */
  readonly at?: FileLine;
}

/** The handlers and which of them a pod without a RuntimeClass gets. */
export interface HandlerSettings {
  readonly handlers: readonly RuntimeHandler[];
  readonly defaultHandler: string;
  readonly defaultAt?: FileLine;
}

/** A file of the runtime's configuration, in the order they are loaded. */
export interface ConfigFile {
  readonly path: string;
  /** The `version` the file gives; absent where it gives none. */
  readonly version?: number;
  /** When its content was last written, nanoseconds of the wall clock. */
  readonly modifiedNs?: bigint;
  /** The line of the file that imports it; absent for the first one. */
  readonly importedBy?: FileLine;
}

/**
 * A setting in a file that does not count although no later file sets it anew.
 * `plugin-replaced`: a later file mentions the plugin and so replaces its whole table (containerd 1.x).
 * `section-ignored`: the section has the name of another configuration version than the one that counts.
 */
export interface LostSetting {
  /** `runtimes.runc.options.SystemdCgroup`, `default_runtime_name`. */
  readonly key: string;
  readonly value: string;
  readonly at: FileLine;
  /** What counts instead. */
  readonly effective: string;
  readonly reason: 'plugin-replaced' | 'section-ignored';
  /** The line that makes it not count: the later table, or the version that counts. */
  readonly by: FileLine;
}

/** How this version of the runtime puts its files together (docs/findings/SW506.md). */
export type MergeRule = 'replace-plugins' | 'migrate-merged' | 'migrate-each' | 'cri-o';

/** What the files of the runtime give when they are read now. */
export interface RuntimeConfigFacts {
  readonly rule: MergeRule;
  /** The file the runtime reads first, and how that is known. */
  readonly file: string;
  readonly fileFrom: string;
  readonly files: readonly ConfigFile[];
  /** k3s, RKE2: the template that the first file is made from at each start, where a person wrote one. */
  readonly template?: string;
  /** The configuration version that counts after the merge. */
  readonly version?: number;
  /** Absent where the runtime would refuse the files. */
  readonly settings?: HandlerSettings;
  /** Why the runtime would not start with these files. */
  readonly refusal?: { readonly text: string; readonly at?: FileLine };
  readonly lost: readonly LostSetting[];
  /** Absent where the files are refused. */
  readonly target?: ConfigTarget;
  /**
   * `containerd config dump`, the runtime's own view of its files; asked only where these give something else than
   * what is in force, or nothing.
   */
  readonly dump?: { readonly settings: HandlerSettings } | { readonly refusal: string };
  /** Units that write these files, in any order; absent where nobody asked, and where systemd did not tell. */
  readonly writers?: readonly ConfigWriter[];
  /** Why systemd, which runs the runtime's unit, did not tell of its other units. */
  readonly writersUnknown?: { readonly message: string; readonly hint: string };
}

/** Where SystemdCgroup can be written so that it counts, by this version's merge (diagnose/config/drop-in.ts). */
export interface ConfigTarget {
  /** The file to write into; it may not be there yet. */
  readonly file: string;
  /** The CRI plugin's table in that file. */
  readonly table: string;
  /** The version that the file has, or a new one gets. */
  readonly version: number;
  /** A folder of which the files of one pattern are loaded last: a new file there need only hold the setting. */
  readonly dropInFolder?: string;
  /** The headers `[….runtimes.<name>.options]` in `file`, by the handler. */
  readonly options: Readonly<Record<string, FileLine>>;
  /** The handlers that no header in `file` can add to, since their tables are written inline or by dotted keys. */
  readonly sealed: readonly string[];
  /** The handlers that `file` has a table for: in 1.x only these exist. */
  readonly present: readonly string[];
}

/** A unit that writes the runtime's configuration. */
export interface ConfigWriter {
  readonly unit: string;
  /** Why it counts as a writer. */
  readonly how: string;
  readonly at?: FileLine;
  /** systemd orders it before the runtime's unit. */
  readonly orderedBefore: boolean;
  /** systemd orders it after the runtime's unit: the other order would close a circle. */
  readonly orderedAfter?: boolean;
  /**
   * Whether it starts units itself, as far as the text of what it runs tells: ordered before the runtime it could wait
   * for the runtime for ever. Absent where nobody can say.
   */
  readonly startsUnits?: boolean;
  /** The runtime's unit. */
  readonly runtimeUnit: string;
  /**
   * A file of the configuration of which the date says that it was last written while this unit, and no other, was at
   * what it does at its start; and when, microseconds since boot.
   */
  readonly lastWrote?: { readonly path: string; readonly atUs: bigint };
  /** When it was last started, and when it was up or over, microseconds since boot; absent where it did not run. */
  readonly startedUs?: bigint;
  readonly doneUs?: bigint;
  /** When the runtime's unit was last started, microseconds since boot. */
  readonly runtimeStartedUs?: bigint;
}

/** One place that names kubelet's cgroup driver. */
export interface DriverSetting {
  readonly driver: string;
  /** `configz` is the running kubelet's own answer. */
  readonly from: 'default' | 'file' | 'drop-in' | 'flag' | 'configz';
  readonly at?: FileLine;
}

export interface KubeletConfigFacts {
  /** The files that were read, in order; the later wins. */
  readonly files: readonly { readonly path: string; readonly modifiedNs?: bigint }[];
  /** The weakest first: the last one counts, unless kubelet asks the runtime. */
  readonly drivers: readonly DriverSetting[];
  /** `featureGates.KubeletCgroupDriverFromCRI`, where it is set. */
  readonly asksRuntime?: boolean;
  readonly cgroupRoot?: string;
  /** The trees of pods that are there: `kubepods.slice` is systemd's, `kubepods` cgroupfs'. */
  readonly onDisk: readonly CgroupDriver[];
}
