import { readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { isSandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { UnitCall, UnitLine, UnitOrder, UnitsFacts } from '../model/node.ts';
import type { Observed } from '../model/observed.ts';
import { inParallel } from './pool.ts';
import { isErrno, readText } from './read-file.ts';
import { observed } from './unknown.ts';

/** The units that bring a runtime or contain kubelet. */
export const runtimeUnits = [
  'containerd.service',
  'crio.service',
  'docker.service',
  'k3s.service',
  'k3s-agent.service',
  'kubelet.service',
  'rke2-server.service',
  'rke2-agent.service',
] as const;

// systemd.unit(5), "System Unit Search Path", the first wins; what administrators write lies in the first three.
const own = ['/etc/systemd/system', '/run/systemd/system', '/usr/local/lib/systemd/system'];
const packaged = ['/usr/lib/systemd/system', '/lib/systemd/system'];

/**
 * What the units of this node do with the runtime, read from the files (systemd's own view has no line numbers).
 * Every unit of the administrator is read, of the packaged ones those of runtimes and kubelets. Nothing is run.
 * Kept are lines that name crictl or ctr and the order of their units: other Exec lines may hold tokens.
 */
export function observeUnits(root = ''): Promise<Observed<UnitsFacts>> {
  return observed(async () => {
    const units = [...Map.groupBy(await unitFiles(root), (each) => each.unit)];
    const parsed = await inParallel(units, limits.criReadsInFlight, async ([unit, files]) => {
      const read = await inParallel(inLoadOrder(files), 1, async ({ file }) => {
        const text = await readSmall(`${root}${file}`);
        return { file, isThere: text !== undefined, lines: linesOf(text ?? '').map((line) => ({ file, ...line })) };
      });
      const lines = read.flatMap((each) => each.lines);
      const calls = await inParallel(execsInForce(lines), 1, (exec) => callsOf(unit, exec, root));
      // A masked unit is a link to /dev/null, which is no file.
      const isThere = read.some((each) => each.isThere && each.file.endsWith(`/${unit}`));
      return { unit, isThere, orders: lines.flatMap((line) => ordersOf(unit, line)), calls: calls.flat() };
    });
    const calls = parsed.flatMap((each) => each.calls);
    const callers = new Set(calls.map((each) => each.unit));
    const isRuntime = (unit: string) => runtimeUnits.some((each) => each === unit);
    return {
      installed: runtimeUnits.filter((unit) => parsed.some((each) => each.unit === unit && each.isThere)),
      calls,
      orders: parsed
        .flatMap((each) => each.orders)
        .filter((each) => isRuntime(each.other) && (callers.has(each.unit) || isRuntime(each.unit))),
    };
  });
}

interface UnitFile {
  readonly unit: string;
  readonly file: string;
}

/** The files of each unit: the unit itself and each drop-in, of those of one name the first that is found. */
async function unitFiles(root: string): Promise<UnitFile[]> {
  const files: UnitFile[] = [];
  const seen = new Set<string>();
  for (const folder of [...own, ...packaged]) {
    // /lib is a link to /usr/lib on most systems.
    const real = await realOf(`${root}${folder}`);
    if (real === undefined || seen.has(real)) continue;
    seen.add(real);
    for (const name of await listed(`${root}${folder}`)) {
      const unit = name.replace(/\.d$/, '');
      const isWanted = /\.service$/.test(unit) && (own.includes(folder) || runtimeUnits.some((each) => each === unit));
      if (!isWanted || files.length >= limits.unitFiles) continue;
      if (name === unit) {
        if (!files.some((each) => each.file.endsWith(`/${name}`))) files.push({ unit, file: join(folder, name) });
        continue;
      }
      const dropIns = (await listed(`${root}${join(folder, name)}`)).filter((each) => each.endsWith('.conf'));
      const isNew = (each: string) => !files.some((other) => other.unit === unit && other.file.endsWith(`/${each}`));
      files.push(...dropIns.filter(isNew).map((each) => ({ unit, file: join(folder, name, each) })));
    }
  }
  return files;
}

/** systemd.unit(5): the unit's own file, then its drop-ins by their names, whatever folder each is in. */
function inLoadOrder(files: readonly UnitFile[]): readonly UnitFile[] {
  const place = ({ unit, file }: UnitFile) => (file.endsWith(`/${unit}`) ? '' : file.slice(file.lastIndexOf('/') + 1));
  return files.toSorted((a, b) => (place(a) < place(b) ? -1 : place(a) > place(b) ? 1 : 0));
}

/** Lines with their numbers; a backslash at the end joins the next one (systemd.syntax(7), and shells). */
export function linesOf(text: string): { line: number; text: string }[] {
  const lines: { line: number; text: string }[] = [];
  let open: { line: number; text: string } | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const trimmed = raw.trim();
    // A comment between two joined lines is left out.
    if (/^[#;]/.test(trimmed) || (trimmed === '' && open === undefined)) continue;
    const joined = trimmed.endsWith('\\');
    const part = joined ? trimmed.slice(0, -1).trimEnd() : trimmed;
    open = open === undefined ? { line: index + 1, text: part } : { line: open.line, text: `${open.text} ${part}` };
    if (joined) continue;
    lines.push(open);
    open = undefined;
  }
  return open === undefined ? lines : [...lines, open];
}

interface Exec extends UnitLine {
  readonly key: string;
  readonly command: string;
}

/** systemd.service(5): an empty value takes back every command of its key that was given before. */
function execsInForce(lines: readonly UnitLine[]): readonly Exec[] {
  let execs: readonly Exec[] = [];
  for (const line of lines) {
    const [, key = '', command = ''] = /^(Exec[A-Za-z]+)\s*=\s*(.*)$/.exec(line.text) ?? [];
    if (key === '') continue;
    execs = command === '' ? execs.filter((each) => each.key !== key) : [...execs, { ...line, key, command }];
  }
  return execs;
}

function ordersOf(unit: string, line: UnitLine): UnitOrder[] {
  const match = /^(After|Before|Requires|Requisite|Wants|BindsTo|PartOf)\s*=\s*(.+)$/.exec(line.text);
  return (match?.[2] ?? '')
    .split(/\s+/)
    .filter((other) => other !== '')
    .map((other) => ({ unit, key: match?.[1] ?? '', other, ...line, text: line.text.slice(0, TEXT) }));
}

const CALL = /(?:^|[\s;|&('"`/])(?:crictl|ctr)(?=\s)/;
const TEXT = 500;

async function callsOf(unit: string, exec: Exec, root: string): Promise<UnitCall[]> {
  const { key, command, file, line, text } = exec;
  const hidden = command.startsWith('-') ? 'a leading "-"' : undefined;
  const call = (at: UnitLine, by?: UnitLine): UnitCall => {
    const hides = hidden ?? hidesIn(at.text);
    const shown = { ...at, text: at.text.slice(0, TEXT) };
    return { unit, key, ...shown, ...(by ? { by } : {}), ...(hides === undefined ? {} : { hides }) };
  };
  if (CALL.test(command)) return [call({ file, line, text })];
  const by = { file, line, text: text.slice(0, TEXT) };
  for (const path of command.match(/\/[\w./@+-]+/g) ?? []) {
    const script = await readSmall(`${root}${path}`);
    if (script === undefined || !(script.startsWith('#!') || path.endsWith('.sh'))) continue;
    return linesOf(script)
      .filter((each) => CALL.test(each.text))
      .map((each) => call({ file: path, ...each }, by));
  }
  return [];
}

/** What of a line makes a failure look like success. */
function hidesIn(text: string): string | undefined {
  const words = [
    /\|\|\s*(?:true|:|\/bin\/true|exit\s+0)/,
    /;\s*(?:true|exit\s+0)\b/,
    /2>\s*\/dev\/null/,
    /\|\s*xargs\b/,
  ];
  const found = words.flatMap((each) => each.exec(text)?.[0].replace(/\s+/g, ' ') ?? []);
  return found.length === 0 ? undefined : found.join(', ');
}

/** A file that is small enough and can be read; anything else is not looked at. */
async function readSmall(path: string): Promise<string | undefined> {
  try {
    return await readText(path, limits.unitFileBytes);
  } catch (error) {
    if (isSandwardenError(error, 'ERR_FILE', 'ERR_FORBIDDEN')) return undefined;
    throw error;
  }
}

async function realOf(path: string): Promise<string | undefined> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}

async function listed(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (error) {
    if (isErrno(error)) return [];
    throw error;
  }
}
