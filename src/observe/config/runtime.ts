import { dirname, isAbsolute, join } from 'node:path';
import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Observed } from '../../model/observed.ts';
import type { HandlerSettings, RuntimeConfigFacts } from '../../model/runtime-config.ts';
import { safeText } from '../../model/safe-text.ts';
import { Ended, Killed, type Run, run } from '../child.ts';
import { observed } from '../unknown.ts';
import { readDump } from './containerd-dump.ts';
import { loadContainerd } from './containerd-files.ts';
import { mergeContainerd, mergeRuleOf } from './containerd-merge.ts';
import { readCrio } from './crio.ts';
import { type FileSource, filesUnder } from './file-source.ts';
import { flagValue, type ProcessFiles, processFiles } from './process-files.ts';
import { targetOf } from './target.ts';
import { observeWriters } from './writers.ts';

export interface RuntimeToRead {
  /** As CRI's Version says them; empty where it did not answer. */
  readonly name: string;
  readonly version: string;
  /** The handlers that are in force, where the runtime tells. */
  readonly live?: HandlerSettings;
  /** The process behind the socket, where it is known. */
  readonly pid?: number;
  /** The socket's path. */
  readonly socket?: string;
  /** The unit it runs in, for a runtime that is down. */
  readonly unit?: string;
}

/**
 * What the configuration files of the runtime give when they are read now, and `containerd config dump` as its own
 * view of them. Kept are only the keys about cgroups. Gives ERR_NOT_SUPPORTED for a runtime that is none of the two.
 */
export function observeRuntimeConfig(
  runtime: RuntimeToRead,
  root = '',
  runner: Run = run,
): Promise<Observed<RuntimeConfigFacts>> {
  return observed(async () => {
    const process = runtime.pid === undefined ? undefined : await processFiles(runtime.pid, root);
    if (runtime.name === 'cri-o' || runtime.socket?.includes('/crio/')) {
      return readCrio(process?.argv ?? [], process?.files ?? filesUnder(root));
    }
    if (runtime.name !== 'containerd' && runtime.name !== '') {
      throw new SandwardenError('ERR_NOT_SUPPORTED', `the files of ${safeText(runtime.name, 60)} are not looked at`, {
        hint: 'Only those of containerd and CRI-O are.',
      });
    }
    // The files of another containerd would say that this one runs with other values than its files give.
    if (runtime.pid === undefined && runtime.name !== '') {
      throw new SandwardenError('ERR_NOT_SUPPORTED', 'which process serves the socket is not known, nor its files', {
        hint: 'Run it on the node itself, as root.',
      });
    }
    const version = runtime.version || (await askVersion(process, runner));
    const facts = await readContainerd({ ...runtime, version }, process, root, runner);
    // k3s and its like write the file and start containerd themselves: there is nothing to order.
    if (runtime.unit !== 'containerd.service') return facts;
    const files = facts.files.map((each) => each.path);
    const writers = await observeWriters({ unit: runtime.unit, file: facts.file, files }, root, runner);
    if (writers.known) return { ...facts, writers: writers.value };
    return { ...facts, writersUnknown: { message: writers.message, hint: writers.hint } };
  });
}

/** Whether two views agree about cgroups: the default handler, and SystemdCgroup of each handler that both have. */
export function sameDrivers(a: HandlerSettings, b: HandlerSettings): boolean {
  const other = new Map(b.handlers.map((each) => [each.name, each.systemdCgroup]));
  const differs = a.handlers.some((each) => other.has(each.name) && other.get(each.name) !== each.systemdCgroup);
  return a.defaultHandler === b.defaultHandler && !differs;
}

async function readContainerd(
  runtime: RuntimeToRead,
  process: ProcessFiles | undefined,
  root: string,
  runner: Run,
): Promise<RuntimeConfigFacts> {
  const files = process?.files ?? filesUnder(root);
  const { file, fileFrom } = await whichFile(runtime, process, files, runner);
  const config = await loadContainerd(file, runtime.version, files, process?.cwd);
  const merged = config.refusal ? undefined : mergeContainerd(config.loaded, runtime.version);
  const template = await templateOf(file, files);
  const given = merged?.ok && merged.lost.length === 0 ? merged.settings : undefined;
  const isClear = given !== undefined && runtime.live !== undefined && sameDrivers(given, runtime.live);
  const dump = isClear || !process?.program ? undefined : await askDump(process.program, file, runner);
  const refusal = config.refusal ?? (merged?.ok === false ? withoutOk(merged) : undefined);
  return {
    rule: mergeRuleOf(runtime.version),
    file,
    fileFrom,
    files: config.files,
    ...(template === undefined ? {} : { template }),
    ...(merged?.ok ? { version: merged.version, settings: merged.settings } : {}),
    ...(refusal === undefined ? {} : { refusal }),
    lost: merged?.ok ? merged.lost : [],
    ...(merged?.ok ? { target: targetOf(config.loaded, file, merged.version, runtime.version) } : {}),
    ...(dump === undefined ? {} : { dump }),
  };
}

function withoutOk({ text, at }: { text: string; at?: { file: string; line: number } }) {
  return { text, ...(at ? { at } : {}) };
}

/** How the files are merged hangs on the version; a runtime that does not answer is asked by its program. */
async function askVersion(process: ProcessFiles | undefined, runner: Run): Promise<string> {
  const program = process?.program;
  if (program === undefined) throw noVersion();
  const answer = await observed(() => runner([program, '--version'], { timeoutMs: limits.versionTimeoutMs }));
  const version = answer.known ? / v?(\d+\.\d+\.\S+)/.exec(answer.value.stdout)?.[1] : undefined;
  if (version === undefined) throw noVersion();
  return version;
}

function noVersion(): SandwardenError {
  return new SandwardenError('ERR_NOT_SUPPORTED', "without the runtime's version it is not known how it merges files", {
    hint: 'Look again when the runtime answers.',
  });
}

const usual = '/etc/containerd/config.toml';
const distributions = [
  {
    socket: '/run/k3s/',
    files: ['/var/lib/rancher/k3s', '/var/lib/rancher/rke2'],
    end: 'agent/etc/containerd/config.toml',
  },
  { socket: '/run/k0s/', files: ['/etc/k0s'], end: 'containerd.toml' },
  { socket: '/var/snap/microk8s/', files: ['/var/snap/microk8s/current/args'], end: 'containerd.toml' },
] as const;

/** The file it was started with; of one that does not run, what its unit or its distribution starts it with. */
async function whichFile(
  { socket, unit, pid }: RuntimeToRead,
  process: ProcessFiles | undefined,
  files: FileSource,
  runner: Run,
): Promise<{ file: string; fileFrom: string }> {
  const given = flagValue(process?.argv ?? [], 'config', 'c');
  const place = distributions.find((each) => socket?.startsWith(each.socket));
  if (process && given !== undefined) {
    return { file: isAbsolute(given) ? given : join(process.cwd, given), fileFrom: `the command line of pid ${pid}` };
  }
  for (const folder of place?.files ?? []) {
    const file = join(folder, place?.end ?? '');
    if (await files.read(file)) return { file, fileFrom: 'where its distribution keeps it' };
  }
  if (!process && unit !== undefined) {
    const file = flagValue(await execStartOf(unit, runner), 'config', 'c');
    if (file !== undefined) return { file, fileFrom: `ExecStart of ${unit}` };
  }
  return { file: usual, fileFrom: "containerd's default" };
}

async function execStartOf(unit: string, runner: Run): Promise<string[]> {
  const answer = await observed(() => runner(['systemctl', 'show', '--no-pager', '--property=ExecStart', unit]));
  const argv = answer.known ? /argv\[\]=(.*?) ;/.exec(answer.value.stdout)?.[1] : undefined;
  return argv?.split(' ') ?? [];
}

/** k3s and RKE2 make the file anew at each start, from a person's template where there is one. */
async function templateOf(file: string, files: FileSource): Promise<string | undefined> {
  if (!/\/agent\/etc\/containerd\/config\.toml$/.test(file)) return undefined;
  const names = await files.names(dirname(file));
  const name = ['config-v3.toml.tmpl', 'config.toml.tmpl'].find((each) => names.includes(each));
  return name === undefined ? undefined : join(dirname(file), name);
}

/**
 * containerd's own view of its files: `config dump` merges what is there now, not what the running daemon read.
 * Undefined where it could not be asked. Throws only what a broken program would.
 */
export async function askDump(
  program: string,
  file: string,
  runner: Run,
  timeoutMs: number = limits.versionTimeoutMs,
): Promise<RuntimeConfigFacts['dump']> {
  try {
    const { stdout } = await runner([program, '-c', file, 'config', 'dump'], {
      timeoutMs,
      maxBytes: limits.configBytes,
    });
    const settings = await readDump(stdout);
    return settings && { settings };
  } catch (error) {
    if (!isSandwardenError(error, 'ERR_COMMAND_FAILED', 'ERR_FORBIDDEN', 'ERR_COMMAND_MISSING')) throw error;
    if (error.cause instanceof Ended) return refusalOf(error.cause);
    // On a node that is out of breath it may not end in time; that is no refusal.
    if (error.code !== 'ERR_COMMAND_FAILED' || error.cause instanceof Killed) return undefined;
    return { refusal: safeText(error.message.replace(/^.*? failed: /, ''), 500) };
  }
}

/**
 * containerd's reason, in the line that begins with its name (cmd/containerd/main.go); before that it logs warnings.
 * Undefined where it may not read the files as this user, which is no word about them.
 */
function refusalOf({ message, stderr }: Ended): { readonly refusal: string } | undefined {
  const lines = stderr.trim().split('\n');
  const said = lines.findLast((line) => line.startsWith('containerd:')) ?? lines.at(-1);
  return /permission denied/i.test(said ?? '') ? undefined : { refusal: safeText(said || message, 500) };
}
