import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { RuntimeConfigFacts } from '../../src/model/runtime-config.ts';
import { readDump } from '../../src/observe/config/containerd-dump.ts';
import { loadContainerd } from '../../src/observe/config/containerd-files.ts';
import { mergeContainerd, mergeRuleOf } from '../../src/observe/config/containerd-merge.ts';
import type { FileSource } from '../../src/observe/config/file-source.ts';
import { targetOf } from '../../src/observe/config/target.ts';
import type { RecordingName } from './recording.ts';

/** The configuration of a recorded node, through the reader that a live node goes through; with its own dump. */
export async function recordedConfig(name: RecordingName): Promise<RuntimeConfigFacts> {
  const folder = join(import.meta.dirname, '..', 'recordings', name);
  const text = (file: string) => readFileSync(join(folder, file), 'utf8');
  const path = '/etc/containerd/config.toml';
  const facts = await configOfFiles({ [path]: text('containerd-config.toml') }, '1.7.24', path);
  const settings = await readDump(text('containerd-config-dump.toml'));
  return { ...facts, ...(settings ? { dump: { settings } } : {}) };
}

/** What `files`, by their paths, give in this version of containerd. */
export async function configOfFiles(
  files: Readonly<Record<string, string>>,
  containerd: string,
  first = '/etc/containerd/config.toml',
): Promise<RuntimeConfigFacts> {
  const config = await loadContainerd(first, containerd, sourceOf(files));
  const merged = config.refusal ? undefined : mergeContainerd(config.loaded, containerd);
  const refused = config.refusal ?? (merged?.ok === false ? merged : undefined);
  return {
    rule: mergeRuleOf(containerd),
    file: first,
    fileFrom: "containerd's default",
    files: config.files,
    ...(merged?.ok ? { version: merged.version, settings: merged.settings } : {}),
    ...(refused ? { refusal: { text: refused.text, ...(refused.at ? { at: refused.at } : {}) } } : {}),
    lost: merged?.ok ? merged.lost : [],
    ...(merged?.ok ? { target: targetOf(config.loaded, first, merged.version, containerd) } : {}),
  };
}

/** Files that are only in memory. */
export function sourceOf(files: Readonly<Record<string, string>>): FileSource {
  return {
    read: async (path) => {
      const text = files[path];
      return text === undefined ? undefined : { text };
    },
    names: async (folder) => {
      const inside = Object.keys(files).filter((path) => path.startsWith(`${folder}/`));
      return [...new Set(inside.map((path) => path.slice(folder.length + 1).split('/')[0] ?? ''))].sort();
    },
  };
}
