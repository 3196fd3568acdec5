import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseSync } from 'oxc-parser';

export const root = resolve(import.meta.dirname, '../..');

/** A node of the syntax tree, as the rules look at it: ESTree, with TypeScript's nodes. */
export interface Node {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [key: string]: unknown;
}

export interface Import {
  readonly specifier: string;
  readonly line: number;
}

/** A file in the words of the rules. `nodes` and what is made of them is empty for what is not TypeScript. */
export interface Source {
  readonly path: string;
  readonly text: string;
  readonly lines: readonly string[];
  readonly nodes: readonly Node[];
  readonly comments: readonly Node[];
  readonly imports: readonly Import[];
  lineOf(offset: number): number;
}

/** Something a rule does not allow: `file:line` and what it is. */
export interface Offence {
  readonly path: string;
  readonly line: number;
  readonly what: string;
}

/** Reads `text` as the file `path` (relative to the root). Throws where TypeScript does not parse. */
export function sourceOf(path: string, text: string): Source {
  const starts = [0];
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) starts.push(at + 1);
  const lineOf = (offset: number) => starts.findLastIndex((start) => start <= offset) + 1;
  const base = { path, text, lines: text.split('\n'), lineOf };
  if (!/\.m?ts$/.test(path)) return { ...base, nodes: [], comments: [], imports: [] };
  const { program, comments, errors } = parseSync(path, text);
  const [error] = errors;
  if (error !== undefined) throw new Error(`${path}: ${error.message}`);
  const nodes: Node[] = [];
  collect(program, nodes);
  const imports = nodes.flatMap((node) => importOf(node, lineOf));
  return { ...base, nodes, comments: comments.map((each) => ({ ...each })), imports };
}

/** All text files of the project: not what is ignored, generated, recorded or fetched. */
export function projectFiles(): Source[] {
  return walk('')
    .filter((path) => !/(\.png|\.gif|\.gz|\.tar|package-lock\.json)$|^LICENSE$/.test(path))
    .map((path) => sourceOf(path, readFileSync(join(root, path), 'utf8')));
}

const ignored = /^(node_modules|dist|\.git|\.tools|\.cache|src\/cri\/gen|test\/recordings)$/;

function walk(folder: string): string[] {
  const names = readdirSync(join(root, folder)).sort();
  return names.flatMap((name) => {
    const path = folder === '' ? name : `${folder}/${name}`;
    if (ignored.test(path)) return [];
    const stat = statSync(join(root, path), { throwIfNoEntry: false });
    if (stat?.isDirectory()) return walk(path);
    return stat?.isFile() ? [path] : [];
  });
}

function collect(value: unknown, into: Node[]): void {
  if (Array.isArray(value)) for (const each of value) collect(each, into);
  else if (isNode(value)) {
    into.push(value);
    for (const child of Object.values(value)) if (typeof child === 'object') collect(child, into);
  }
}

/** Whether a value of the tree is a node (and not a name, a number or null). */
export function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
}

function importOf(node: Node, lineOf: (offset: number) => number): Import[] {
  const types = [
    'ImportDeclaration',
    'ImportExpression',
    'TSImportType',
    'ExportNamedDeclaration',
    'ExportAllDeclaration',
  ];
  const source = node.source;
  if (!types.includes(node.type) || !isNode(source) || typeof source.value !== 'string') return [];
  return [{ specifier: source.value, line: lineOf(node.start) }];
}
