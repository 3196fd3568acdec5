import type { FileLine, HandlerSettings, LostSetting, MergeRule } from '../../model/runtime-config.ts';
import { criTables, type LoadedFile } from './containerd-tables.ts';
import { type TomlTable, tableAt, valueAt } from './toml.ts';

interface Assignment {
  readonly key: string;
  readonly value: string;
  readonly at: FileLine;
  readonly table: string;
  readonly file: number;
}

/**
 * The settings about cgroups that stand in a file and do not count, although no later file sets them anew.
 * `versionAt` is the line that decides which configuration version counts.
 */
export function lostSettings(
  files: readonly LoadedFile[],
  settings: HandlerSettings,
  rule: MergeRule,
  versionAt: FileLine,
): LostSetting[] {
  const given = files.flatMap((file, index) => assignmentsOf(file, index));
  const effective = effectiveOf(settings);
  return given.flatMap((each): LostSetting[] => {
    const counts = effective.get(each.key);
    const value = counts?.value ?? (each.key === 'default_runtime_name' ? 'runc' : 'false');
    if (value === each.value) return [];
    const setAgain = given.some((other) => other.key === each.key && other.file > each.file && isAt(other, counts?.at));
    if (setAgain) return [];
    const { key, at } = each;
    const replacedBy = rule === 'replace-plugins' ? laterTable(files, each) : undefined;
    return [
      {
        key,
        value: each.value,
        at,
        effective: value,
        reason: replacedBy ? 'plugin-replaced' : 'section-ignored',
        by: replacedBy ?? versionAt,
      },
    ];
  });
}

function assignmentsOf(file: LoadedFile, index: number): Assignment[] {
  return Object.values(criTables).flatMap((table) => {
    const containerd = tableAt(file.table, 'plugins', table, 'containerd');
    const name = valueAt(containerd, 'string', 'default_runtime_name');
    const of = (key: string, value: string, at: FileLine) => ({ key, value, at, table, file: index });
    return [
      ...(name === undefined ? [] : [of('default_runtime_name', name.value, name.at)]),
      ...[...(tableAt(containerd, 'runtimes')?.entries ?? [])].flatMap(([handler, node]) => {
        const systemd = valueAt(node, 'boolean', 'options', 'SystemdCgroup');
        return systemd === undefined ? [] : [of(keyOf(handler), String(systemd.value), systemd.at)];
      }),
    ];
  });
}

function effectiveOf(settings: HandlerSettings): ReadonlyMap<string, { value: string; at?: FileLine }> {
  const { defaultHandler, defaultAt, handlers } = settings;
  return new Map([
    ['default_runtime_name', { value: defaultHandler, ...(defaultAt ? { at: defaultAt } : {}) }],
    ...handlers.map((each) => {
      return [keyOf(each.name), { value: String(each.systemdCgroup), ...(each.at ? { at: each.at } : {}) }] as const;
    }),
  ]);
}

function isAt(given: Assignment, at: FileLine | undefined): boolean {
  return given.at.file === at?.file && given.at.line === at.line;
}

function keyOf(handler: string): string {
  return `runtimes.${handler}.options.SystemdCgroup`;
}

/** Where a later file mentions the same plugin: that replaces the whole table. */
function laterTable(files: readonly LoadedFile[], of: Assignment): FileLine | undefined {
  const tables = files.slice(of.file + 1).map((each): TomlTable | undefined => {
    return tableAt(each.table, 'plugins', of.table);
  });
  return tables.findLast((each) => each !== undefined)?.at;
}
