import type { FileLine, HandlerSettings, LostSetting, MergeRule, RuntimeHandler } from '../../model/runtime-config.ts';
import { criTables, type LoadedFile } from './containerd-tables.ts';
import { lostSettings } from './lost-settings.ts';
import { emptyTable, type TomlNode, type TomlTable, tableAt, valueAt } from './toml.ts';

/** What the files give together, or why containerd would not start with them. */
export type Merged =
  | {
      readonly ok: true;
      readonly version: number;
      readonly settings: HandlerSettings;
      readonly lost: readonly LostSetting[];
    }
  | { readonly ok: false; readonly text: string; readonly at?: FileLine };

/**
 * How a containerd of this version (`1.7.24~ds1`, `v2.1.9`) merges its files.
 * Up to 1.7 services/server/config/config.go mergeConfig (maps of plugins are replaced); from 2.0 on deep, with the
 * migration over the merged result; from 2.3 on cmd/containerd/server/config LoadConfigWithPlugins, migration per file.
 */
export function mergeRuleOf(version: string): Exclude<MergeRule, 'cri-o'> {
  const [major, minor] = numbersOf(version);
  if (major < 2) return 'replace-plugins';
  return major === 2 && minor < 3 ? 'migrate-merged' : 'migrate-each';
}

/** The highest version of configuration file that this containerd takes. 1.6 does not look (seen on 1.6.20). */
export function highestVersion(version: string): number {
  const [major, minor] = numbersOf(version);
  if (major < 2) return minor < 7 ? Number.POSITIVE_INFINITY : 2;
  return major === 2 && minor < 3 ? 3 : 4;
}

/**
 * Merges files in the order containerd loads them, as this containerd does: pure.
 * Only what decides about cgroups is looked at; a table of the wrong type counts as not there.
 */
export function mergeContainerd(files: readonly LoadedFile[], containerd: string): Merged {
  const rule = mergeRuleOf(containerd);
  const highest = highestVersion(containerd);
  // From 2.0 on one file of a higher version is too much, wherever it stands (2.1.9 even panics).
  const highestFile =
    rule === 'migrate-merged' ? files.map(versionOf).find((each) => Number(each?.value) > highest) : undefined;
  const versionAt = highestFile ?? lastVersion(files);
  const version = Number(versionAt?.value ?? 0n);
  if (version > highest) {
    return {
      ok: false,
      text: `version = ${version}, and this containerd reads up to ${highest}`,
      ...(versionAt && { at: versionAt.at }),
    };
  }
  const tooNew = rule === 'migrate-each' ? dropInTooNew(files) : undefined;
  if (tooNew) return tooNew;
  const short = rule === 'replace-plugins' && version >= 2 ? shortName(files) : undefined;
  if (short) return short;
  const plugin = pluginOf(files, rule, version);
  const settings = settingsOf(plugin, rule);
  const counts = versionAt?.at ?? { file: files[0]?.path ?? '', line: 1 };
  return { ok: true, version: version || 1, settings, lost: lostSettings(files, settings, rule, counts) };
}

function pluginOf(files: readonly LoadedFile[], rule: MergeRule, version: number): TomlTable | undefined {
  if (rule === 'replace-plugins') {
    // Without a version it is 1, and plugins have their short names.
    const id = version <= 1 ? criTables[1] : criTables[2];
    return files.map((each) => tableAt(each.table, 'plugins', id)).findLast((each) => each !== undefined);
  }
  const merged = emptyTable({ file: '', line: 1 });
  for (const file of files) {
    const plugins = tableAt(file.table, 'plugins');
    if (plugins === undefined) continue;
    const own = versionOf(file)?.value ?? 0n;
    mergeInto(merged, rule === 'migrate-each' && own < 4n ? migrated(plugins, own <= 1n) : plugins);
  }
  // Short names of version 1 are brought up to date only after the CRI plugin's own migration: too late for it (2.1.9).
  const result = rule === 'migrate-merged' && version <= 2 ? migrated(merged, false) : merged;
  return tableAt(result, criTables[3]);
}

/** plugins/cri/runtime/plugin.go migrateConfig: what the new table has stays, key by key of `containerd`. */
function migrated(plugins: TomlTable, shortNames: boolean): TomlTable {
  const old = tableAt(plugins, criTables[2]) ?? (shortNames ? tableAt(plugins, criTables[1]) : undefined);
  if (old === undefined) return plugins;
  const into = tableAt(plugins, criTables[3]);
  const containerd = tableAt(into, 'containerd');
  const from = tableAt(old, 'containerd');
  const entries = new Map([...(from?.entries ?? []), ...(containerd?.entries ?? [])]);
  const both: TomlTable = { kind: 'table', at: (containerd ?? from ?? old).at, entries };
  const cri: TomlTable = {
    kind: 'table',
    at: (into ?? old).at,
    entries: new Map<string, TomlNode>([...(into?.entries ?? []), ['containerd', both]]),
  };
  return { ...plugins, entries: new Map<string, TomlNode>([...plugins.entries, [criTables[3], cri]]) };
}

/** Tables are merged, everything else is replaced (mergo.Merge WithOverride over maps). */
function mergeInto(to: TomlTable, from: TomlTable): void {
  for (const [key, node] of from.entries) {
    const known = to.entries.get(key);
    if (node.kind === 'table' && known?.kind === 'table') mergeInto(known, node);
    else to.entries.set(key, node.kind === 'table' ? copyOf(node) : node);
  }
}

/** A file's own tables stay as they are: they tell later what it gave. */
function copyOf(table: TomlTable): TomlTable {
  const copy = emptyTable(table.at);
  mergeInto(copy, table);
  return copy;
}

/** The handlers of a CRI table (of any version, by its own name). */
export function settingsOf(plugin: TomlTable | undefined, rule: MergeRule): HandlerSettings {
  const containerd = tableAt(plugin, 'containerd');
  const runtimes = tableAt(containerd, 'runtimes');
  const handlers: RuntimeHandler[] = [...(runtimes?.entries ?? [])].map(([name, node]) => {
    const type = valueAt(node, 'string', 'runtime_type');
    const systemd = valueAt(node, 'boolean', 'options', 'SystemdCgroup');
    return {
      name,
      ...(type === undefined ? {} : { runtimeType: type.value }),
      systemdCgroup: systemd?.value ?? false,
      ...(systemd === undefined ? {} : { at: systemd.at }),
    };
  });
  // Up to 1.7 a table of runtimes replaces the built-in one; from 2.0 on it is decoded into it.
  if (runtimes === undefined || (rule !== 'replace-plugins' && !runtimes.entries.has('runc'))) {
    handlers.push({ name: 'runc', runtimeType: 'io.containerd.runc.v2', systemdCgroup: false });
  }
  const name = valueAt(containerd, 'string', 'default_runtime_name');
  return {
    handlers: handlers.sort((a, b) => (a.name < b.name ? -1 : 1)),
    defaultHandler: name?.value ?? 'runc',
    ...(name === undefined ? {} : { defaultAt: name.at }),
  };
}

/** The last file that gives a version gives it for all (0 is none). */
function lastVersion(files: readonly LoadedFile[]) {
  return files.map(versionOf).findLast((each) => each !== undefined && each.value !== 0n);
}

/** The `version` of a file. */
export function versionOf(file: LoadedFile): { readonly value: bigint; readonly at: FileLine } | undefined {
  return valueAt(file.table, 'bigint', 'version');
}

function dropInTooNew(files: readonly LoadedFile[]): Merged | undefined {
  const first = files.map(versionOf).find((each) => each !== undefined && each.value !== 0n);
  for (const file of files) {
    const own = versionOf(file);
    if (first !== undefined && own !== undefined && own.value > first.value) {
      return { ok: false, text: `version = ${own.value} is higher than the main file's ${first.value}`, at: own.at };
    }
  }
  return undefined;
}

/** Up to 1.7, ValidateV2: where a version 2 counts, the name of each plugin must be a whole one. */
function shortName(files: readonly LoadedFile[]): Merged | undefined {
  for (const file of files) {
    for (const [name, node] of tableAt(file.table, 'plugins')?.entries ?? []) {
      if (name.split('.').length >= 4) continue;
      return {
        ok: false,
        text: `the plugin name '${name}' is of version 1, and the files count as version 2`,
        at: node.at,
      };
    }
  }
  return undefined;
}

function numbersOf(version: string): [number, number] {
  const found = /^v?(\d{1,4})\.(\d{1,4})/.exec(version);
  // A build without a version is taken for one of today.
  return found ? [Number(found[1]), Number(found[2])] : [2, 3];
}
