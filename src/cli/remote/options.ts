import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { safeText } from '../../model/safe-text.ts';
import type { CommandSpec } from '../frame/command.ts';
import { nodeOptions } from '../frame/node-options.ts';
import { didYouMean } from '../frame/suggest.ts';

/** A command line that begins with `--node`: where it is to run, and what follows for the program there. */
export interface RemoteRequest {
  readonly node: string;
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace: string;
  /** The debug pod's, where the program does not come out of one. */
  readonly image?: string;
  readonly program: ProgramChoice;
  /** How long the pod may take to start, milliseconds. */
  readonly startMs: number;
  /** COMMAND and its options, as they were typed. */
  readonly argv: readonly string[];
}

/** Which program is run on the node: the one there, this one, or that of an image. */
export type ProgramChoice =
  /** `elseHere`: where nobody said that it is there, and it is not, this one is taken. */
  | { readonly from: 'node'; readonly path: string; readonly elseHere?: true }
  | { readonly from: 'here' }
  | { readonly from: 'image'; readonly image: string };

/** Whether it is the help of `--node` that is asked for: `--help` stands before COMMAND. */
export function asksRemoteHelp(argv: readonly string[], commands: readonly CommandSpec[]): boolean {
  const names = new Set(commands.map(({ name }) => name));
  const at = argv.findIndex((each) => names.has(each));
  const before = at === -1 ? argv : argv.slice(0, at);
  const isHelp = before.some((each) => each === '--help' || each === '-h');
  return isHelp && before.some((each) => /^--node(?:=|$)/.test(each));
}

/**
 * The options that stand before COMMAND, where `--node` is among them; undefined where it is not. What stands after
 * COMMAND is for the program on the node. Throws ERR_USAGE.
 */
export function remoteRequest(argv: readonly string[], commands: readonly CommandSpec[]): RemoteRequest | undefined {
  if (!argv.some((each) => /^--node(?:=|$)/.test(each))) return undefined;
  const given = new Map<string, string>();
  const forBoth: string[] = [];
  let at = 0;
  for (; argv[at]?.startsWith('--'); at++) {
    if (argv[at] === '--no-color') {
      forBoth.push('--no-color');
      continue;
    }
    const [, typed = '', inline] = /^--([^=]*)(?:=(.*))?$/s.exec(argv[at] ?? '') ?? [];
    const option = nodeOptions.find((each) => each.name === typed);
    // `sandwarden --dry-run anchor --node`: not ours.
    if (option === undefined && !given.has('node')) return undefined;
    if (option === undefined) throw usage(`'--${safeText(typed, 60)}' cannot stand between --node and COMMAND`);
    const { name } = option;
    if (option.value === undefined && inline !== undefined) throw usage(`'--${name}' takes no value`);
    const value = option.value === undefined ? 'given' : (inline ?? argv[++at]);
    if (value === undefined || value === '') throw usage(`'--${name}' needs a value`);
    given.set(name, value);
  }
  const node = given.get('node');
  if (node === undefined) return undefined;
  const command = commands.find((each) => each.name === argv[at]);
  if (command === undefined) {
    const typed = argv[at];
    const what = typed === undefined ? 'a COMMAND is missing' : `there is no command '${safeText(typed, 60)}'`;
    const names = commands.filter((each) => !each.hidden).map((each) => each.name);
    throw usage(`${what} after --node`, `${didYouMean(typed ?? '', names)}${writeIt}`);
  }
  const [image, kubeconfig, context] = [given.get('image'), given.get('kubeconfig'), given.get('context')];
  return {
    node: checkedNode(node),
    namespace: given.get('namespace') ?? 'kube-system',
    program: programOf(given),
    startMs: startMs(given.get('start-timeout')),
    ...(image === undefined ? {} : { image }),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
    argv: [command.name, ...forBoth, ...argv.slice(at + 1)],
  };
}

function checkedNode(name: string): string {
  if (name.length <= 253 && /^[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?$/.test(name)) return name;
  throw usage(`'${safeText(name, 60)}' is no name of a node`, '`kubectl get nodes` lists them.');
}

function startMs(typed: string | undefined): number {
  if (typed === undefined) return limits.nodePodStartMs;
  const seconds = /^\d{1,4}(\.\d{1,3})?s?$/.test(typed) ? Number.parseFloat(typed) : 0;
  if (seconds > 0) return Math.round(seconds * 1_000);
  throw usage(`'${safeText(typed, 60)}' is no number of seconds for '--start-timeout'`);
}

function programOf(given: ReadonlyMap<string, string>): ProgramChoice {
  const [one, other] = ['program', 'copy', 'program-image'].filter((each) => given.has(each));
  if (other !== undefined) {
    const hint =
      'The program is one on the node (--program PATH), this one (--copy), or that of an image (--program-image NAME).';
    throw usage(`'--${one}' and '--${other}' contradict each other`, hint);
  }
  const image = given.get('program-image');
  if (image !== undefined) return { from: 'image', image };
  if (given.has('copy')) return { from: 'here' };
  const path = given.get('program');
  if (path !== undefined) return { from: 'node', path: checkedProgram(path) };
  return { from: 'node', path: '/usr/local/bin/sandwarden', elseHere: true };
}

function checkedProgram(path: string): string {
  if (path.startsWith('/') && !path.includes('\0')) return path;
  throw usage(`'${safeText(path, 60)}' is no absolute path for '--program'`);
}

const writeIt = "Write 'sandwarden --node NAME check'; docs/cluster.md tells all.";

function usage(message: string, hint = writeIt): SandwardenError {
  return new SandwardenError('ERR_USAGE', message, { hint });
}
