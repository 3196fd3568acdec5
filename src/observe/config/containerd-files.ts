import { dirname, isAbsolute, join, normalize, relative } from 'node:path';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { ConfigFile, FileLine } from '../../model/runtime-config.ts';
import { mergeRuleOf, versionOf } from './containerd-merge.ts';
import type { LoadedFile } from './containerd-tables.ts';
import { type FileSource, glob } from './file-source.ts';
import { nodeAt, parseToml, type TomlTable } from './toml.ts';

/** The files containerd would load now, in its order, or why it would not start with them. */
export interface LoadedConfig {
  readonly loaded: readonly LoadedFile[];
  readonly files: readonly ConfigFile[];
  readonly refusal?: { readonly text: string; readonly at?: FileLine };
}

/**
 * Loads containerd's configuration as its LoadConfig does: breadth first, each path once, imports in the order they
 * are written. They are relative to the file that names them (resolveImports). Before containerd pull requests 9834
 * and 9835 (1.7.14, 1.6.29) a pattern was relative to the daemon's own folder (`cwd`); what it finds has a relative
 * name then, and may be loaded twice.
 * A first file that is not there is no error: containerd then has its built-in defaults.
 * Throws what the source throws: ERR_FORBIDDEN, ERR_FILE; and ERR_CONFIG where there are too many files.
 */
export async function loadContainerd(
  first: string,
  containerd: string,
  source: FileSource,
  cwd = '/',
): Promise<LoadedConfig> {
  const strict = mergeRuleOf(containerd) === 'replace-plugins';
  const globFrom = strict && globsFromCwd(containerd) ? cwd : undefined;
  const loaded: LoadedFile[] = [];
  const files: ConfigFile[] = [];
  const pending: { name: string; importedBy?: FileLine }[] = [{ name: first }];
  const seen = new Set<string>();
  for (let next = pending.shift(); next; next = pending.shift()) {
    const { name, importedBy } = next;
    if (seen.has(name)) continue;
    seen.add(name);
    const path = isAbsolute(name) ? name : join(cwd, name);
    if (seen.size > limits.configFiles) throw tooMany(first);
    const file = await source.read(path);
    if (file === undefined) {
      if (importedBy === undefined) break;
      return { loaded, files, refusal: { text: `it imports ${path}, which is not there`, at: importedBy } };
    }
    const parsed = await parseToml(file.text, path, !strict);
    const by = importedBy ? { importedBy } : {};
    const modified = file.modifiedNs === undefined ? {} : { modifiedNs: file.modifiedNs };
    if (!parsed.ok) {
      files.push({ path, ...by, ...modified });
      const text = `it is no valid TOML: ${parsed.message} (line ${parsed.line}, column ${parsed.column})`;
      return { loaded, files, refusal: { text, at: { file: path, line: parsed.line } } };
    }
    const { table } = parsed;
    const version = versionOf({ path, table });
    files.push({ path, ...(version ? { version: Number(version.value) } : {}), ...by, ...modified });
    loaded.push({ path, table });
    for (const each of importsOf(table)) pending.push(...(await resolve(each, name, source, globFrom)));
  }
  return { loaded, files };
}

interface Import {
  readonly text: string;
  readonly at: FileLine;
}

function importsOf(table: TomlTable): Import[] {
  const imports = nodeAt(table, 'imports');
  if (imports?.kind !== 'array') return [];
  return imports.items.flatMap((each) => {
    return each.kind === 'value' && typeof each.value === 'string' ? [{ text: each.value, at: each.at }] : [];
  });
}

async function resolve(
  { text, at }: Import,
  parent: string,
  source: FileSource,
  globFrom: string | undefined,
): Promise<{ name: string; importedBy: FileLine }[]> {
  const absolute = isAbsolute(text);
  if (text.includes('*') && globFrom !== undefined && !absolute) {
    const found = await glob(join(globFrom, text), source);
    return found.map((each) => ({ name: relative(globFrom, each), importedBy: at }));
  }
  const path = absolute ? normalize(text) : join(dirname(parent), text);
  const paths = text.includes('*') ? await glob(path, source) : [path];
  return paths.map((each) => ({ name: each, importedBy: at }));
}

function globsFromCwd(containerd: string): boolean {
  const [, minor, patch] = /^v?1\.(\d+)\.(\d+)/.exec(containerd) ?? [];
  if (minor === undefined) return false;
  return Number(minor) < 6 || (minor === '6' && Number(patch) < 29) || (minor === '7' && Number(patch) < 14);
}

function tooMany(first: string): SandwardenError {
  return new SandwardenError('ERR_CONFIG', `${first} imports more than ${limits.configFiles} files`, {
    hint: 'Look at its imports: containerd would load all of them.',
  });
}
