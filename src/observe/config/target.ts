import { dirname, isAbsolute, join } from 'node:path';
import type { ConfigTarget, FileLine, MergeRule } from '../../model/runtime-config.ts';
import { mergeRuleOf, versionOf } from './containerd-merge.ts';
import { criTables, type LoadedFile } from './containerd-tables.ts';
import { nodeAt, type TomlTable, tableAt } from './toml.ts';

/**
 * Where a setting of a handler has to be written so that it counts. In 1.x that is the file whose CRI table counts, the
 * last that has one; from 2.0 on any file will do, and best is a drop-in that is loaded last.
 */
export function targetOf(
  files: readonly LoadedFile[],
  first: string,
  version: number,
  containerd: string,
): ConfigTarget {
  const rule = mergeRuleOf(containerd);
  const newest = rule === 'replace-plugins' ? 2 : 3;
  const [main] = files;
  if (main === undefined) {
    return { file: first, table: criTables[newest], version: newest, options: {}, sealed: [], present: [] };
  }
  const table = tableName(files, rule, version);
  const holder = files.findLast((each) => tableAt(each.table, 'plugins', table) !== undefined);
  const file = (rule === 'replace-plugins' ? holder : undefined) ?? main;
  const own = rule === 'migrate-each' ? ownTable(file) : table;
  const folder = rule === 'replace-plugins' ? undefined : lastFolder(files);
  return {
    file: file.path,
    table: own,
    version: rule === 'migrate-each' ? Number(versionOf(file)?.value ?? 1n) : version,
    ...(folder === undefined ? {} : { dropInFolder: folder }),
    ...handlersOf(file, own),
  };
}

function tableName(files: readonly LoadedFile[], rule: MergeRule, version: number): string {
  if (rule === 'replace-plugins') return version <= 1 ? criTables[1] : criTables[2];
  // Up to version 2 the runtimes of a new table hide those of the old one.
  const isNew = files.some((each) => tableAt(each.table, 'plugins', criTables[3], 'containerd', 'runtimes'));
  return version <= 2 && !isNew ? criTables[2] : criTables[3];
}

function ownTable(file: LoadedFile): string {
  const version = versionOf(file)?.value ?? 1n;
  const isNew = tableAt(file.table, 'plugins', criTables[3], 'containerd', 'runtimes') !== undefined;
  if (version >= 3n || isNew) return criTables[3];
  return version === 2n ? criTables[2] : criTables[1];
}

/** The folder of the main file's last import, where that is a pattern of a whole folder and nothing comes after. */
function lastFolder([main, ...others]: readonly LoadedFile[]): string | undefined {
  const imports = nodeAt(main?.table, 'imports');
  const last = imports?.kind === 'array' ? imports.items.at(-1) : undefined;
  const nested = others.some((each) => {
    const own = nodeAt(each.table, 'imports');
    return own?.kind === 'array' && own.items.length > 0;
  });
  if (main === undefined || nested || last?.kind !== 'value' || typeof last.value !== 'string') return undefined;
  const match = /^([^*?[\\]*)\/\*(?:\.toml)?$/.exec(last.value);
  const folder = match?.[1];
  if (folder === undefined) return undefined;
  return isAbsolute(folder) ? folder : join(dirname(main.path), folder);
}

function handlersOf(file: LoadedFile, table: string): Pick<ConfigTarget, 'options' | 'sealed' | 'present'> {
  const runtimes = tableAt(file.table, 'plugins', table, 'containerd', 'runtimes');
  const options: Record<string, FileLine> = {};
  const sealed: string[] = [];
  for (const name of runtimes?.entries.keys() ?? []) {
    const own = tableAt(runtimes, name, 'options');
    if (own?.header) options[name] = own.header;
    if ([own, tableAt(runtimes, name), ...above(file, table)].some((each) => each?.sealed)) sealed.push(name);
  }
  const whole = above(file, table).some((each) => each?.sealed) ? ['*'] : [];
  return { options, sealed: [...sealed, ...whole], present: [...(runtimes?.entries.keys() ?? [])] };
}

/** The tables that lead to the handlers. */
function above(file: LoadedFile, table: string): (TomlTable | undefined)[] {
  const names = ['plugins', table, 'containerd', 'runtimes'];
  return names.map((_, index) => tableAt(file.table, ...names.slice(0, index + 1)));
}
