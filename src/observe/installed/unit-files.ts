import { limits } from '../../model/limits.ts';
import type { Rooted } from './rooted.ts';

/** Where systemd looks for units of the system, the strongest first (systemd.unit(5)). */
const unitFolders = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
] as const;

/** What a unit and its drop-ins say of how its program is started. */
export interface UnitFacts {
  readonly name: string;
  readonly path: string;
  readonly dropIns: readonly string[];
  /** The commands, each split into words. */
  readonly execStart: readonly (readonly string[])[];
  /** Environment= and the files of EnvironmentFile=, the last assignment winning. */
  readonly environment: ReadonlyMap<string, string>;
  readonly enabled: boolean;
}

/** The unit `name` as systemd would load it; undefined where it is not there or masked. Throws as readText. */
export async function readUnit(files: Rooted, name: string): Promise<UnitFacts | undefined> {
  const path = await fragmentOf(files, name);
  if (path === undefined) return undefined;
  const dropIns = await dropInsOf(files, name);
  const environment = new Map<string, string>();
  let execStart: string[][] = [];
  for (const file of [path, ...dropIns]) {
    const text = (await files.read(file, limits.unitFileBytes)) ?? '';
    for (const [key, value] of assignments(text, 'Service')) {
      if (key === 'ExecStart')
        execStart = value === '' ? [] : [...execStart, splitWords(value.replace(/^[-@:+!|]+/, ''))];
      else if (key === 'Environment') for (const word of splitWords(value)) setVariable(environment, word);
      else if (key === 'EnvironmentFile') await readEnvironment(files, value.replace(/^-/, ''), environment);
    }
  }
  return { name, path, dropIns, execStart, environment, enabled: await isEnabled(files, name) };
}

/** The names of all units that match, masked ones too. */
export async function unitNames(files: Rooted, pattern: RegExp): Promise<string[]> {
  const lists = await Promise.all(unitFolders.map((folder) => files.names(folder)));
  return [...new Set(lists.flat().filter((name) => pattern.test(name)))].sort();
}

/** The value of a flag in a command line: the last of `--name VALUE`, `--name=VALUE` and the same with short names. */
export function flagIn(words: readonly string[], ...names: readonly string[]): string | undefined {
  let value: string | undefined;
  for (const [index, word] of words.entries()) {
    for (const name of names) {
      if (word === name) value = words[index + 1];
      else if (word.startsWith(`${name}=`)) value = word.slice(name.length + 1);
    }
  }
  return value;
}

/** A command line of a unit or a shell's variable as words: blanks part them, quotes and backslashes hold together. */
export function splitWords(text: string): string[] {
  const words: string[] = [];
  for (const [found] of text.matchAll(/(?:"(?:\\.|[^"\\])*"|'[^']*'|\\.|[^\s"'\\])+/gs)) {
    words.push(
      found.replace(/"((?:\\.|[^"\\])*)"|'([^']*)'|\\(.)/gs, (_, double?: string, single?: string, one?: string) =>
        double === undefined ? (single ?? one ?? '') : double.replace(/\\(.)/gs, '$1'),
      ),
    );
  }
  return words;
}

async function fragmentOf(files: Rooted, name: string): Promise<string | undefined> {
  for (const folder of unitFolders) {
    const path = `${folder}/${name}`;
    if ((await files.linkAt(path)) === '/dev/null') return undefined;
    const { stat } = await files.resolve(path);
    // An empty file masks a unit too.
    if (stat?.isFile()) return stat.size === 0 ? undefined : path;
  }
  return undefined;
}

/** All `*.conf` of `NAME.d`, by name; of two with one name the stronger folder's counts. */
async function dropInsOf(files: Rooted, name: string): Promise<string[]> {
  const found = new Map<string, string>();
  for (const folder of unitFolders) {
    for (const file of await files.names(`${folder}/${name}.d`)) {
      if (file.endsWith('.conf') && !found.has(file)) found.set(file, `${folder}/${name}.d/${file}`);
    }
  }
  return [...found].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
}

async function isEnabled(files: Rooted, name: string): Promise<boolean> {
  for (const folder of unitFolders) {
    for (const target of await files.names(folder)) {
      if (!/\.(wants|requires)$/.test(target)) continue;
      if ((await files.names(`${folder}/${target}`)).includes(name)) return true;
    }
  }
  return false;
}

async function readEnvironment(files: Rooted, path: string, into: Map<string, string>): Promise<void> {
  if (!path.startsWith('/')) return;
  const text = (await files.read(path, limits.unitFileBytes)) ?? '';
  for (const line of text.split('\n')) {
    if (!/^\s*[#;]/.test(line)) setVariable(into, splitWords(line.trim()).join(' '));
  }
}

function setVariable(into: Map<string, string>, word: string): void {
  const at = word.indexOf('=');
  if (at > 0) into.set(word.slice(0, at), word.slice(at + 1));
}

/** The assignments of a section, in order; a backslash at the end continues a line (systemd.syntax(7)). */
function assignments(text: string, section: string): [key: string, value: string][] {
  const found: [string, string][] = [];
  let current = '';
  const plain = text
    .split('\n')
    .filter((line) => !/^\s*[#;]/.test(line))
    .join('\n');
  for (const line of plain.replace(/\\\n/g, ' ').split('\n')) {
    const head = /^\s*\[([^\]]+)\]\s*$/.exec(line)?.[1];
    if (head !== undefined) current = head;
    const at = line.indexOf('=');
    if (head === undefined && at > 0 && current === section)
      found.push([line.slice(0, at).trim(), line.slice(at + 1).trim()]);
  }
  return found;
}
