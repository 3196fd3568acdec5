import { isNode, type Node, type Offence, type Source } from './source.ts';

/** A file can be read at a sitting. */
export function fileLength(source: Source): Offence[] {
  const length = source.text.trimEnd().split('\n').length;
  if (!isCode(source) || length <= 400) return [];
  return [{ path: source.path, line: 401, what: `${length} lines, 400 are allowed` }];
}

/** A function fits on a screen. A `describe` is a heading, not a function. */
export function functionLength(source: Source): Offence[] {
  const headings = new Set(source.nodes.filter((node) => isCallOf(node, 'describe', 'suite')).flatMap(argumentsOf));
  const functions = source.nodes.filter((node) => functionTypes.includes(node.type) && !headings.has(node));
  return functions.flatMap((node) => {
    const first = source.lineOf(node.start);
    const length = source.lineOf(node.end) - first + 1;
    return length <= 70
      ? []
      : [{ path: source.path, line: first, what: `function of ${length} lines, 70 are allowed` }];
  });
}

/** Lines fit in a window. Exempt is what cannot be broken: a long word, a regex, in tests a quoted line of a log. */
export function lineLength(source: Source): Offence[] {
  if (!isCode(source) && !/^(Makefile|\.ci\/run)$|\.sh$/.test(source.path)) return [];
  const quoting = /^(test|lab)\//.test(source.path);
  const literals = source.nodes.filter((node) => literalTypes.includes(node.type) && (quoting || 'regex' in node));
  const quoted = new Set(literals.flatMap((node) => linesOf(source, node)));
  return source.lines.flatMap((text, index) => {
    const unbreakable = text.split(/\s+/).some((word) => word.length > 100);
    if ([...text].length <= 120 || unbreakable || quoted.has(index + 1)) return [];
    return [{ path: source.path, line: index + 1, what: `${[...text].length} characters, 120 are allowed` }];
  });
}

/** `any` and the comments that switch the type checker off. */
export function types(source: Source): Offence[] {
  const any = source.nodes.filter((node) => node.type === 'TSAnyKeyword').map((node) => ({ node, what: '`any`' }));
  const off = source.comments
    .filter((comment) => /@ts-(ignore|expect-error|nocheck)/.test(String(comment.value)))
    .map((node) => ({ node, what: 'switches the type checker off' }));
  return [...any, ...off].map(({ node, what }) => ({ path: source.path, line: source.lineOf(node.start), what }));
}

/** A catch names its error and looks at it; a rejection is not thrown away. */
export function catches(source: Source): Offence[] {
  if (!source.path.startsWith('src/')) return [];
  return source.nodes.flatMap((node) => {
    const what = node.type === 'CatchClause' ? swallows(node, source) : dropsRejection(node);
    return what === undefined ? [] : [{ path: source.path, line: source.lineOf(node.start), what }];
  });
}

/** Only the command line writes to the terminal. */
export function consoles(source: Source): Offence[] {
  if (!source.path.startsWith('src/') || source.path.startsWith('src/cli/')) return [];
  const found = source.nodes.filter((node) => node.type === 'MemberExpression' && nameOf(node.object) === 'console');
  return found.map((node) => ({ path: source.path, line: source.lineOf(node.start), what: 'writes to the console' }));
}

/** The date comes from a clock that a test can turn. */
export function clocks(source: Source): Offence[] {
  if (!source.path.startsWith('src/') || /clock[^/]*\.ts$/.test(source.path)) return [];
  const found = source.nodes.filter((node) => {
    if (node.type === 'NewExpression') return nameOf(node.callee) === 'Date' && argumentsOf(node).length === 0;
    return node.type === 'CallExpression' && ['Date.now', 'Date'].includes(nameOf(node.callee));
  });
  return found.map((node) => ({ path: source.path, line: source.lineOf(node.start), what: 'reads the wall clock' }));
}

/** Waits and deadlines are named in model/limits.ts. */
export function timeouts(source: Source): Offence[] {
  if (!source.path.startsWith('src/') || source.path === 'src/model/limits.ts') return [];
  const found = source.nodes.filter((node) => {
    if (isCallOf(node, 'setTimeout', 'setInterval')) return isDuration(argumentsOf(node)[1]);
    if (node.type === 'CallExpression' && /(^|\.)(sleep|timeout)$/.test(nameOf(node.callee))) {
      return isDuration(argumentsOf(node)[0]);
    }
    return node.type === 'Property' && /^timeout(Ms)?$/.test(nameOf(node.key)) && isDuration(node.value);
  });
  return found.map((node) => ({ path: source.path, line: source.lineOf(node.start), what: 'a wait with a number' }));
}

/** Who calls a function of another file is told what it takes and gives. */
export function docstrings(source: Source): Offence[] {
  if (!source.path.startsWith('src/')) return [];
  return source.nodes.flatMap((node) => {
    const declaration = node.declaration;
    if (node.type !== 'ExportNamedDeclaration' || !isNode(declaration)) return [];
    const names = exportedFunctions(declaration);
    const documented = source.comments.some((comment) => {
      const between = source.text.slice(comment.end, node.start);
      return String(comment.value).startsWith('*') && comment.end <= node.start && between.trim() === '';
    });
    if (documented) return [];
    const line = source.lineOf(node.start);
    return names.map((name) => ({ path: source.path, line, what: `${name} has no docstring` }));
  });
}

const functionTypes = ['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression'];
const literalTypes = ['Literal', 'TemplateLiteral'];

function isCode(source: Source): boolean {
  return /\.m?ts$/.test(source.path);
}

/** `name` or `object.name` of an identifier or a member; else empty. */
function nameOf(value: unknown): string {
  if (!isNode(value)) return '';
  if (value.type === 'Identifier') return String(value.name);
  if (value.type !== 'MemberExpression' || value.computed === true) return '';
  return `${nameOf(value.object)}.${nameOf(value.property)}`;
}

function argumentsOf(node: Node): Node[] {
  return Array.isArray(node.arguments) ? node.arguments.filter(isNode) : [];
}

function isCallOf(node: Node, ...names: string[]): boolean {
  return node.type === 'CallExpression' && names.includes(nameOf(node.callee));
}

function isDuration(value: unknown): boolean {
  return isNode(value) && typeof value.value === 'number' && value.value !== 0;
}

function linesOf(source: Source, node: Node): number[] {
  const first = source.lineOf(node.start);
  return Array.from({ length: source.lineOf(node.end) - first + 1 }, (_, index) => first + index);
}

function swallows(node: Node, source: Source): string | undefined {
  const { param, body } = node;
  if (!isNode(param) || !isNode(body)) return 'catch without its error';
  const inside = source.nodes.filter((each) => each.start >= body.start && each.end <= body.end);
  const used = inside.some((each) => each.type === 'Identifier' && each.name === param.name);
  return used || param.type !== 'Identifier' ? undefined : 'catch that does not look at its error';
}

function dropsRejection(node: Node): string | undefined {
  if (node.type !== 'CallExpression' || !nameOf(node.callee).endsWith('.catch')) return undefined;
  const [handler] = argumentsOf(node);
  const body = handler?.body;
  if (!isNode(body)) return undefined;
  const empty = body.type === 'BlockStatement' && Array.isArray(body.body) && body.body.length === 0;
  return empty || nameOf(body) === 'undefined' ? 'drops a rejection' : undefined;
}

function exportedFunctions(declaration: Node): string[] {
  if (declaration.type === 'FunctionDeclaration') return [nameOf(declaration.id)];
  const declared = declaration.declarations;
  if (!Array.isArray(declared)) return [];
  const functions = declared.filter(isNode).filter((each) => {
    const value = each.init;
    return isNode(value) && functionTypes.includes(value.type);
  });
  return functions.map((each) => nameOf(each.id));
}
