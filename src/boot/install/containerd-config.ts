import { basename, dirname, join } from 'node:path';
import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import type { Rooted } from '../../observe/installed/rooted.ts';
import { flagIn, type UnitFacts } from '../../observe/installed/unit-files.ts';

export interface ContainerdPlaces {
  /** Where it keeps meta.db. */
  readonly root: string;
  /** Its socket, where the configuration moves it. */
  readonly address?: string;
  /** The files that were read. */
  readonly from: readonly string[];
}

/**
 * Where containerd keeps its state: its flags, its configuration with what that imports, else /var/lib/containerd.
 * Source: containerd cmd/containerd/server/config LoadConfig: a file that is imported wins over the one that imports.
 * Throws ERR_CONFIG for a file that is no TOML.
 */
export async function containerdPlaces(files: Rooted, unit: UnitFacts | undefined): Promise<ContainerdPlaces> {
  const words = unit?.execStart.at(-1) ?? [];
  const start = flagIn(words, '--config', '-c') ?? '/etc/containerd/config.toml';
  const from: string[] = [];
  let [root, address]: (string | undefined)[] = [];
  const todo = [start];
  for (let path = todo.shift(); path !== undefined && from.length < MOST_FILES; path = todo.shift()) {
    const text = from.includes(path) ? undefined : await files.read(path);
    if (text === undefined) continue;
    from.push(path);
    const config = await parsed(text, path);
    root = textOf(config.root) ?? root;
    address = textOf(recordOf(config.grpc)?.address) ?? address;
    const imports = Array.isArray(config.imports) ? config.imports.flatMap((each) => textOf(each) ?? []) : [];
    for (const pattern of imports) todo.push(...(await matching(files, pattern, path)));
  }
  address = flagIn(words, '--address', '-a') ?? address;
  return {
    root: flagIn(words, '--root') ?? root ?? '/var/lib/containerd',
    ...(address === undefined || address === '/run/containerd/containerd.sock' ? {} : { address }),
    from,
  };
}

const MOST_FILES = 100;

async function parsed(text: string, path: string): Promise<Readonly<Record<string, unknown>>> {
  const { parse, TomlError } = await import('smol-toml');
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw new SandwardenError('ERR_CONFIG', `${safeText(path, 300)}, line ${error.line}: this is no valid TOML`, {
      hint: "containerd could not start with it either; put it right ('containerd config dump') and install again.",
    });
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function recordOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
}

/** The files of an import: a path or, in its last part, a pattern with `*`; relative to the file that names it. */
async function matching(files: Rooted, pattern: string, importer: string): Promise<string[]> {
  const path = pattern.startsWith('/') ? pattern : join(dirname(importer), pattern);
  if (!path.includes('*')) return [path];
  const parts = basename(path)
    .split('*')
    .map((each) => each.replace(/[.+?^${}()|[\]\\]/g, '\\$&'));
  const expression = new RegExp(`^${parts.join('.*')}$`);
  const names = await files.names(dirname(path));
  return names.filter((name) => expression.test(name)).map((name) => join(dirname(path), name));
}
