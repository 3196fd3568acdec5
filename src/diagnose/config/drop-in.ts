import type { ConfigTarget, RuntimeConfigFacts, RuntimeHandler } from '../../model/runtime-config.ts';
import { unifiedDiff } from './diff.ts';
import { filesNow, isGenerated, isRunc } from './drivers.ts';

/** A file that is to be written. */
export interface ConfigEdit {
  readonly path: string;
  /** Undefined where it is not there yet. */
  readonly before: string | undefined;
  readonly after: string;
  /** Unified, for a person. */
  readonly diff: string;
}

/** How SystemdCgroup is turned on, or why that is left to a person. */
export type DropInPlan =
  | {
      readonly ok: true;
      readonly handlers: readonly string[];
      readonly edits: readonly ConfigEdit[];
      /** The units in the order they are restarted: kubelet asks the runtime at its own start. */
      readonly restart: readonly string[];
    }
  | { readonly ok: false; readonly why: string };

const dropIn = 'zz-sandwarden-systemd-cgroup';

/**
 * Turns SystemdCgroup on for every handler of runc's shim that the files leave without it, and changes nothing else.
 * From containerd 2.0 on, where a folder of imports is loaded last, by a file of its own there; else in the file that
 * counts, since in 1.x a drop-in that mentions the plugin would replace its whole table. Pure: `textOf` gives the text
 * of a file as it is now, undefined where it is not there. The result is to be held against `containerd config dump`.
 */
export function planSystemdCgroup(
  config: RuntimeConfigFacts,
  textOf: (path: string) => string | undefined,
  restart: readonly string[] = ['containerd.service', 'kubelet.service'],
): DropInPlan {
  const files = filesNow(config);
  if (files === undefined || config.settings === undefined) return no('the runtime would refuse its files as they are');
  const wanted = config.settings.handlers.filter((each) => isRunc(each) && !each.systemdCgroup);
  if (wanted.length > 0 && isGenerated(config)) return template(config, textOf, wanted, restart);
  if (config.rule === 'cri-o') return wanted.length === 0 ? nothing(restart) : crio(textOf, restart);
  const { target } = config;
  if (target === undefined) return no('it is not known which of its files counts');
  if (wanted.length === 0) return nothing(restart);
  const handlers = wanted.map((each) => each.name);
  if (target.dropInFolder !== undefined) {
    const path = `${target.dropInFolder}/${dropIn}.toml`;
    const before = textOf(path);
    const tables = handlers.map((name) => optionsTable(target, name));
    const after = [`version = ${target.version}`, ...tables].join('\n');
    return { ok: true, handlers, edits: [editOf(path, before, `${after}\n`)], restart };
  }
  const texts = new Map<string, string>();
  // In place first, then from the last line upwards: a line that is put in moves all below it.
  const lineOf = (each: RuntimeHandler) => (each.at ? Number.MAX_SAFE_INTEGER : (target.options[each.name]?.line ?? 0));
  for (const handler of wanted.toSorted((a, b) => lineOf(b) - lineOf(a))) {
    // Where it stands as false, that line is the one that counts.
    const path = handler.at?.file ?? target.file;
    const text = texts.get(path) ?? textOf(path);
    const changed = handler.at
      ? turnOn(text, handler.at.line)
      : added(text, target, handler.name, config.rule === 'replace-plugins');
    if (changed === undefined)
      return no(`SystemdCgroup of ${handler.name} is written in a way that only a person can change`);
    texts.set(path, changed);
  }
  const edits = [...texts].map(([path, after]) => editOf(path, textOf(path), after));
  return { ok: true, handlers, edits, restart };
}

function no(why: string): DropInPlan {
  return { ok: false, why };
}

function nothing(restart: readonly string[]): DropInPlan {
  return { ok: true, handlers: [], edits: [], restart };
}

/** The paths whose texts planSystemdCgroup may ask for. */
export function pathsOf(config: RuntimeConfigFacts): string[] {
  if (config.rule === 'cri-o') return [crioPath];
  const { target, template } = config;
  const paths = config.files.map((each) => each.path);
  if (target !== undefined) paths.push(target.file);
  if (target?.dropInFolder !== undefined) paths.push(`${target.dropInFolder}/${dropIn}.toml`);
  if (template !== undefined) paths.push(template);
  return [...new Set(paths)];
}

/** k3s, RKE2: the file is made anew at each start, from a person's template; only a value fixed there is changed. */
function template(
  { file, template: path }: RuntimeConfigFacts,
  textOf: (path: string) => string | undefined,
  wanted: readonly RuntimeHandler[],
  restart: readonly string[],
): DropInPlan {
  const before = path === undefined ? undefined : textOf(path);
  if (path === undefined || before === undefined) {
    return no(`${file} is written anew at each start, and no template of a person's makes it so`);
  }
  const after = before.replaceAll(/^([ \t]*SystemdCgroup[ \t]*=[ \t]*)false\b/gm, '$1true');
  if (after === before) return no(`${path}, which ${file} is made from, does not set SystemdCgroup = false itself`);
  return { ok: true, handlers: wanted.map((each) => each.name), edits: [editOf(path, before, after)], restart };
}

const crioPath = `/etc/crio/crio.conf.d/${dropIn}.conf`;

function crio(textOf: (path: string) => string | undefined, restart: readonly string[]): DropInPlan {
  const path = crioPath;
  const after = '[crio.runtime]\ncgroup_manager = "systemd"\n';
  const edits = [editOf(path, textOf(path), after)];
  return { ok: true, handlers: ['crio'], edits, restart };
}

function editOf(path: string, before: string | undefined, after: string): ConfigEdit {
  return { path, before, after, diff: unifiedDiff(path, before, after) };
}

/** The line with `false` in it, and only there: more than one on a line (inline tables) is left to a person. */
function turnOn(text: string | undefined, line: number): string | undefined {
  const lines = text?.split('\n');
  const own = lines?.[line - 1];
  if (lines === undefined || own === undefined) return undefined;
  const matches = [...own.matchAll(/(\bSystemdCgroup["']?\s*=\s*)false\b/g)];
  if (matches.length !== 1) return undefined;
  return lines.with(line - 1, own.replace(/(\bSystemdCgroup["']?\s*=\s*)false\b/, '$1true')).join('\n');
}

/** Below the header of its options where there is one, else as a table of its own at the end. */
function added(text: string | undefined, target: ConfigTarget, handler: string, isOld: boolean): string | undefined {
  const header = target.options[handler];
  if (text !== undefined && header !== undefined) {
    const lines = text.split('\n');
    const indent = /^\s*/.exec(lines[header.line - 1] ?? '')?.[0] ?? '';
    return lines.toSpliced(header.line, 0, `${indent}  SystemdCgroup = true`).join('\n');
  }
  if (target.sealed.includes(handler) || target.sealed.includes('*')) return undefined;
  const start = text ?? `version = ${target.version}\n`;
  const gap = start === '' || start.endsWith('\n') ? '' : '\n';
  // In 1.x the first table of a handler replaces the built-in ones, so that it must be whole.
  const whole = isOld && !target.present.includes(handler) ? `${runtimeTable(target, handler)}\n` : '';
  return `${start}${gap}${whole}${optionsTable(target, handler)}\n`;
}

/** The built-in runtime as `containerd config default` prints it; 1.6 knows no sandbox_mode and passes over it. */
function runtimeTable(target: ConfigTarget, handler: string): string {
  return [
    `[plugins."${target.table}".containerd.runtimes.${quoted(handler)}]`,
    '  runtime_type = "io.containerd.runc.v2"',
    '  sandbox_mode = "podsandbox"',
  ].join('\n');
}

function optionsTable(target: ConfigTarget, handler: string): string {
  return `[plugins."${target.table}".containerd.runtimes.${quoted(handler)}.options]\n  SystemdCgroup = true`;
}

/** A key of TOML: bare where it may be. */
function quoted(key: string): string {
  return /^[\w-]+$/.test(key) ? key : JSON.stringify(key);
}
