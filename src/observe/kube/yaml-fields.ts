import type { LineCounter, Node, YAMLMap } from 'yaml';
import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';

/**
 * A YAML file as fields, its root being a mapping. Throws ERR_CONFIG with file and line where it is none.
 * No alias is followed and no complaint quotes the file: it may be full of secrets.
 */
export async function openYaml(text: string, file: string): Promise<Fields> {
  // A parser that recurses needs seconds to find that a million brackets are too many.
  if (isNestedTooDeep(text)) throw configError(file, 1, 'nests too deep');
  const yaml = await import('yaml');
  const lines = new yaml.LineCounter();
  const options = { lineCounter: lines, prettyErrors: false, logLevel: 'error', uniqueKeys: false } as const;
  const document = yaml.parseDocument(text, options);
  const [problem] = document.errors;
  if (problem) throw configError(file, lines.linePos(problem.pos[0]).line, `is no valid YAML (${problem.code})`);
  if (!yaml.isMap(document.contents)) throw configError(file, 1, 'is empty or no mapping of names to values');
  return new Fields(document.contents, { file, lines, yaml });
}

/** One mapping of a file, read field by field. What is absent, null or empty is undefined. */
export class Fields {
  readonly #map: YAMLMap;
  readonly #where: Where;

  constructor(map: YAMLMap, where: Where) {
    this.#map = map;
    this.#where = where;
  }

  /** A text. Numbers and booleans are taken as they are written, as Kubernetes does. */
  text(key: string): string | undefined {
    const node = this.#node(key);
    if (node === undefined) return undefined;
    if (!this.#where.yaml.isScalar(node)) throw this.error(key, `'${key}' is no text`);
    const text = typeof node.value === 'string' ? node.value : (node.source ?? '');
    return text === '' ? undefined : text;
  }

  /** `true` or `false`, false where it is absent. */
  flag(key: string): boolean {
    const text = this.text(key);
    if (text === undefined || text === 'false') return false;
    if (text === 'true') return true;
    throw this.error(key, `'${key}' is neither true nor false`);
  }

  /** The file that this mapping stands in. */
  get file(): string {
    return this.#where.file;
  }

  /** A list of texts. */
  texts(key: string): string[] {
    const node = this.#node(key);
    if (node === undefined) return [];
    const { isScalar, isSeq } = this.#where.yaml;
    if (!isSeq(node)) throw this.error(key, `'${key}' is no list`);
    return node.items.map((item) => {
      if (isScalar(item)) return typeof item.value === 'string' ? item.value : (item.source ?? '');
      throw this.error(key, `'${key}' holds what is no text`);
    });
  }

  map(key: string): Fields | undefined {
    const node = this.#node(key);
    if (node === undefined) return undefined;
    if (!this.#where.yaml.isMap(node)) throw this.error(key, `'${key}' is no mapping`);
    return new Fields(node, this.#where);
  }

  list(key: string): Fields[] {
    const node = this.#node(key);
    if (node === undefined) return [];
    const { isMap, isSeq } = this.#where.yaml;
    if (!isSeq(node)) throw this.error(key, `'${key}' is no list`);
    return node.items.map((item) => {
      if (isMap(item)) return new Fields(item, this.#where);
      throw this.error(key, `'${key}' holds what is no mapping`);
    });
  }

  /** The line that `key` stands in, 1 where it is absent. */
  lineOf(key: string): number {
    const at = (this.#pairs(key)[0]?.key as Node | undefined)?.range;
    return at ? this.#where.lines.linePos(at[0]).line : 1;
  }

  has(key: string): boolean {
    return this.#node(key) !== undefined;
  }

  /** What is wrong at `key` (or at this mapping, where it is absent). */
  error(key: string, what: string, code: 'ERR_CONFIG' | 'ERR_NOT_SUPPORTED' = 'ERR_CONFIG', hint?: string) {
    const pair = this.#pairs(key)[0];
    const at = (pair?.key as Node | null)?.range ?? this.#map.range;
    return configError(this.#where.file, this.#where.lines.linePos(at?.[0] ?? 0).line, what, code, hint);
  }

  #node(key: string): Node | undefined {
    const [pair, twin] = this.#pairs(key);
    if (twin) throw this.error(key, `'${key}' is given twice`);
    const { isAlias, isNode, isScalar } = this.#where.yaml;
    const node = pair?.value;
    if (!isNode(node) || (isScalar(node) && (node.value === null || node.value === ''))) return undefined;
    if (isAlias(node)) throw this.error(key, `'${key}' is an alias, which is not followed`);
    return node;
  }

  #pairs(key: string) {
    return this.#map.items.filter((pair) => this.#where.yaml.isScalar(pair.key) && pair.key.value === key);
  }
}

/** ERR_CONFIG (or ERR_NOT_SUPPORTED) at a line of a file. */
export function configError(
  file: string,
  line: number,
  what: string,
  code: 'ERR_CONFIG' | 'ERR_NOT_SUPPORTED' = 'ERR_CONFIG',
  hint = 'Correct it, or name another kubeconfig with --kubeconfig.',
): SandwardenError {
  return new SandwardenError(code, `${safeText(file, 300)}, line ${line}: ${safeText(what, 300)}`, { hint });
}

interface Where {
  readonly file: string;
  readonly lines: LineCounter;
  readonly yaml: typeof import('yaml');
}

const deepest = 100;

function isNestedTooDeep(text: string): boolean {
  let depth = 0;
  for (const [character] of text.matchAll(/[[\]{}]/g)) {
    depth += character === '[' || character === '{' ? 1 : -1;
    if (depth > deepest) return true;
  }
  return false;
}
