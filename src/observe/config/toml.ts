import type { AST } from 'toml-eslint-parser';
import type { FileLine } from '../../model/runtime-config.ts';

/** A table, an array or a value of a TOML file, with the place it stands in. */
export type TomlNode = TomlTable | TomlArray | TomlValue;

export interface TomlTable {
  readonly kind: 'table';
  readonly at: FileLine;
  readonly entries: Map<string, TomlNode>;
  /** The line of its own header, where it has one. */
  header?: FileLine;
  /** Written inline or by dotted keys: no header can add to it. */
  readonly sealed?: true;
}

export interface TomlArray {
  readonly kind: 'array';
  readonly at: FileLine;
  readonly items: TomlNode[];
}

export interface TomlValue {
  readonly kind: 'value';
  readonly at: FileLine;
  /** A number of TOML is a bigint where it is a whole one; a date is its text. */
  readonly value: string | number | bigint | boolean;
}

/** A file, or why it is none and where. */
export type TomlFile =
  | { readonly ok: true; readonly table: TomlTable; readonly beyond10: boolean }
  | { readonly ok: false; readonly line: number; readonly column: number; readonly message: string };

/**
 * Reads TOML 1.0 as containerd 1.x does (go-toml 1.9); `allow11` also takes what TOML 1.1 added, as go-toml 2 of
 * containerd 2.1 does, and says so in `beyond10`. Never throws for what the text holds: too deep a nesting is refused.
 */
export async function parseToml(text: string, file: string, allow11 = false): Promise<TomlFile> {
  const { parseTOML, ParseError } = await import('toml-eslint-parser');
  const parse = (tomlVersion: '1.0.0' | '1.1.0'): TomlFile => {
    try {
      const [top] = parseTOML(text, { tomlVersion }).body;
      return { ok: true, table: topTable(top, file), beyond10: tomlVersion === '1.1.0' };
    } catch (error) {
      if (error instanceof ParseError) {
        return { ok: false, line: error.lineNumber, column: error.column + 1, message: error.message };
      }
      // A stack that is too deep: nothing that a person wrote.
      if (error instanceof RangeError) return { ok: false, line: 1, column: 1, message: 'it is nested too deeply' };
      throw error;
    }
  };
  if (isTooDeep(text)) return { ok: false, line: 1, column: 1, message: 'it is nested too deeply' };
  if (/^\s*$/.test(text)) return { ok: true, table: emptyTable({ file, line: 1 }), beyond10: false };
  const strict = parse('1.0.0');
  if (strict.ok || !allow11) return strict;
  const lenient = parse('1.1.0');
  return lenient.ok ? lenient : strict;
}

const deepest = 1_000;

/** What no person writes takes the parser seconds. */
function isTooDeep(text: string): boolean {
  let depth = 0;
  for (let index = 0; index < text.length && depth <= deepest; index += 1) {
    const character = text.charCodeAt(index);
    if (character === 0x5b || character === 0x7b) depth += 1;
    else if ((character === 0x5d || character === 0x7d) && depth > 0) depth -= 1;
  }
  return depth > deepest;
}

/** The node at `path`, or undefined where it or a table on the way is not there. */
export function nodeAt(from: TomlNode | undefined, ...path: readonly string[]): TomlNode | undefined {
  let node = from;
  for (const key of path) node = node?.kind === 'table' ? node.entries.get(key) : undefined;
  return node;
}

/** The table at `path`, or undefined. */
export function tableAt(from: TomlNode | undefined, ...path: readonly string[]): TomlTable | undefined {
  const node = nodeAt(from, ...path);
  return node?.kind === 'table' ? node : undefined;
}

/** The value at `path`, or undefined where it is none or of another type. */
export function valueAt<T extends 'string' | 'boolean' | 'bigint'>(
  from: TomlNode | undefined,
  type: T,
  ...path: readonly string[]
): { readonly value: TypeOf[T]; readonly at: FileLine } | undefined {
  const node = nodeAt(from, ...path);
  if (node?.kind !== 'value' || typeof node.value !== type) return undefined;
  return { value: node.value as TypeOf[T], at: node.at };
}

interface TypeOf {
  readonly string: string;
  readonly boolean: boolean;
  readonly bigint: bigint;
}

/** A table without entries. */
export function emptyTable(at: FileLine): TomlTable {
  return { kind: 'table', at, entries: new Map() };
}

function topTable(top: AST.TOMLTopLevelTable, file: string): TomlTable {
  const root = emptyTable({ file, line: 1 });
  for (const each of top.body) {
    if (each.type === 'TOMLKeyValue') setPath(root, each, file);
    else {
      const table = openTable(root, each, { file, line: each.loc.start.line });
      for (const pair of each.body) setPath(table, pair, file);
    }
  }
  return root;
}

/** The table that a header opens; the parser has refused what is defined twice. */
function openTable(root: TomlTable, header: AST.TOMLTable, at: FileLine): TomlTable {
  const names = namesOf(header.key);
  const last = names.at(-1) ?? '';
  const parent = descend(root, names.slice(0, -1), at);
  if (header.kind === 'standard') {
    const table = descend(parent, [last], at);
    table.header = at;
    return table;
  }
  const known = parent.entries.get(last);
  const array: TomlArray = known?.kind === 'array' ? known : { kind: 'array', at, items: [] };
  parent.entries.set(last, array);
  const item = emptyTable(at);
  array.items.push(item);
  return item;
}

/** The table under `names`, made where it is missing; of an array of tables its last. */
function descend(from: TomlTable, names: readonly string[], at: FileLine, sealed = false): TomlTable {
  let table = from;
  for (const name of names) {
    const node = table.entries.get(name);
    const next = node?.kind === 'array' ? node.items.at(-1) : node;
    if (next?.kind === 'table') table = next;
    else {
      const made: TomlTable = { ...emptyTable(at), ...(sealed ? ({ sealed: true } as const) : {}) };
      table.entries.set(name, made);
      table = made;
    }
  }
  return table;
}

function setPath(from: TomlTable, pair: AST.TOMLKeyValue, file: string): void {
  const names = namesOf(pair.key);
  const at = { file, line: pair.loc.start.line };
  descend(from, names.slice(0, -1), at, true).entries.set(names.at(-1) ?? '', contentOf(pair.value, file));
}

function namesOf(key: AST.TOMLKey): string[] {
  return key.keys.map((each) => (each.type === 'TOMLBare' ? each.name : each.value));
}

function contentOf(node: AST.TOMLContentNode, file: string): TomlNode {
  const at = { file, line: node.loc.start.line };
  if (node.type === 'TOMLArray')
    return { kind: 'array', at, items: node.elements.map((each) => contentOf(each, file)) };
  if (node.type === 'TOMLInlineTable') {
    const table: TomlTable = { ...emptyTable(at), sealed: true };
    for (const pair of node.body) setPath(table, pair, file);
    return table;
  }
  if (node.kind === 'integer') return { kind: 'value', at, value: node.bigint };
  return { kind: 'value', at, value: node.value instanceof Date ? String(node.value) : node.value };
}
