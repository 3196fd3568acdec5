import { parseArgs } from 'node:util';
import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import type { Args, CommandSpec, OptionSpec } from './command.ts';
import { didYouMean } from './suggest.ts';

/** What a command line asks for: a command to run, help about one, or the version. */
export type Request =
  | { readonly kind: 'run'; readonly command: CommandSpec; readonly args: Args }
  | { readonly kind: 'help'; readonly command: CommandSpec | undefined }
  | { readonly kind: 'version' };

/** Flags that every command takes. */
export const globalOptions: readonly OptionSpec[] = [
  { name: 'no-color', says: 'no colours (NO_COLOR and FORCE_COLOR are obeyed too)' },
  { name: 'help', short: 'h', says: 'this help' },
];

/** Flags that stand before a command, or without one. */
const STANDING_FIRST = ['--version', '--help', '--no-color', '--node'];

/**
 * Reads a command line. Flags may stand before the command too.
 * Throws ERR_USAGE with a hint for whatever does not fit the tables.
 */
export function readCommandLine(argv: readonly string[], commands: readonly CommandSpec[]): Request {
  const at = commandPosition(argv, commands);
  const leading = argv.slice(0, at);
  if (argv[at] === undefined) {
    if (leading.includes('--version') || leading.includes('-V')) return { kind: 'version' };
    if (leading.includes('--help') || leading.includes('-h')) return { kind: 'help', command: undefined };
    const stray = leading.find((each) => each !== '--no-color');
    throw stray === undefined
      ? noCommand()
      : usage(
          `unknown option '${safeText(stray, 60)}'`,
          `${didYouMean(stray, STANDING_FIRST)}${namesOf(commands)} comes first.`,
        );
  }
  const typed = argv[at];
  const rest = argv.slice(at + 1);
  if (typed === 'help') return helpOf(rest, commands);
  if (typed === 'version' && rest.length === 0) return { kind: 'version' };
  const command = findCommand(typed, commands);
  if (command.raw) return { kind: 'run', command, args: argsOf(command, undefined, new Map(), rest) };
  return readArguments(command, [...leading, ...rest]);
}

function helpOf([name, extra]: readonly string[], commands: readonly CommandSpec[]): Request {
  if (name === undefined || name.startsWith('-')) return { kind: 'help', command: undefined };
  const command = findCommand(name, commands);
  if (extra === undefined || extra.startsWith('-')) return { kind: 'help', command };
  throw unexpected(extra, name, "Write 'sandwarden help COMMAND'.");
}

function readArguments(command: CommandSpec, argv: readonly string[]): Request {
  const specs = [...command.options, ...globalOptions];
  const options = Object.fromEntries(
    specs.map((each) => [
      each.name,
      { type: each.value ? ('string' as const) : ('boolean' as const), ...(each.short ? { short: each.short } : {}) },
    ]),
  );
  const { tokens } = parseArgs({ args: [...argv], options, strict: false, allowPositionals: true, tokens: true });
  const given = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const spec = specs.find((each) => each.name === token.name);
    if (!spec) throw unknownOption(token.rawName, command, specs);
    const value = checkedValue(spec, token.rawName, token.value, token.inlineValue === true);
    given.set(spec.name, spec.multiple ? [...(given.get(spec.name) ?? []), value] : [value]);
  }
  if (given.has('help')) return { kind: 'help', command };
  const takesSecond = command.second !== undefined && command.second.after === positionals[0];
  const second = takesSecond ? secondPositional(command, positionals) : undefined;
  const first = firstPositional(command, positionals[0]);
  const allowed = command.argument === undefined ? 0 : second === undefined ? 1 : 2;
  const extra = positionals[allowed];
  if (extra !== undefined) throw unexpected(extra, positionals[allowed - 1], seeHelp(command), command);
  return {
    kind: 'run',
    command,
    args: { ...argsOf(command, first, given, argv), ...(second === undefined ? {} : { second }) },
  };
}

function checkedValue(spec: OptionSpec, rawName: string, value: string | undefined, inline: boolean): string {
  if (!spec.value) {
    if (value !== undefined) throw usage(`'${rawName}' takes no value`, `Write '${rawName}' alone.`);
    return '';
  }
  const missing = value === undefined || value === '' || (!inline && value.startsWith('-') && value !== '-');
  if (missing)
    throw usage(`'${rawName}' needs a value`, `Write '--${spec.name} ${spec.choices?.join('|') ?? spec.value}'.`);
  if (spec.choices && !spec.choices.includes(value)) {
    const hint = `${didYouMean(value, spec.choices)}It takes: ${spec.choices.join(', ')}.`;
    throw usage(`'${safeText(value, 60)}' is no value of '${rawName}'`, hint);
  }
  return value;
}

function firstPositional(command: CommandSpec, first: string | undefined): string | undefined {
  const { argument, second } = command;
  if (argument === undefined) return undefined;
  const { name, choices } = argument;
  if (first === undefined) {
    if (argument.optional) return undefined;
    const what = choices === undefined ? `a ${name}` : `one of ${choices.join(', ')}`;
    const also = second === undefined ? '' : `, or 'sandwarden ${command.name} ${second.after} ${second.name}'`;
    const hint = `Write 'sandwarden ${command.name} ${choices?.join('|') ?? name}'${also}.`;
    throw usage(`'${command.name}' needs ${what}`, hint);
  }
  if (choices === undefined || choices.includes(first)) return first;
  const hint = `${didYouMean(first, choices)}It takes: ${choices.join(', ')}.`;
  throw usage(`'${command.name}' does not take '${safeText(first, 60)}'`, hint);
}

function unexpected(extra: string, before: string | undefined, hint: string, command?: CommandSpec): SandwardenError {
  const where = before === undefined ? `: '${command?.name}' takes no argument` : ` after '${safeText(before, 60)}'`;
  return usage(`unexpected '${safeText(extra, 60)}'${where}`, hint);
}

function secondPositional(command: CommandSpec, positionals: readonly string[]): string | undefined {
  const [first = '', second] = positionals;
  if (second !== undefined && second !== '') return second;
  if (second === undefined && command.second?.optional) return undefined;
  const name = command.second?.name ?? '';
  throw usage(`'${command.name} ${first}' needs a ${name}`, `Write 'sandwarden ${command.name} ${first} ${name}'.`);
}

/** The index of the first argument that is neither a flag nor the value of one. */
function commandPosition(argv: readonly string[], commands: readonly CommandSpec[]): number {
  const known = [...commands.flatMap((each) => each.options), ...globalOptions];
  for (let index = 0; index < argv.length; index++) {
    const typed = argv[index] ?? '';
    if (!typed.startsWith('-') || typed === '-') return index;
    const spec = known.find((each) => typed === `--${each.name}` || (each.short && typed === `-${each.short}`));
    if (spec?.value) index++;
  }
  return argv.length;
}

function findCommand(typed: string, commands: readonly CommandSpec[]): CommandSpec {
  const command = commands.find((each) => each.name === typed);
  if (command) return command;
  const names = commands.filter((each) => !each.hidden).map((each) => each.name);
  throw usage(`unknown command '${safeText(typed, 60)}'`, `${didYouMean(typed, names)}Commands: ${names.join(', ')}.`);
}

function unknownOption(rawName: string, command: CommandSpec, specs: readonly OptionSpec[]): SandwardenError {
  const names = specs.map((each) => `--${each.name}`);
  // These two stand before or without a command.
  const elsewhere: Readonly<Record<string, string>> = {
    '--node': `On a node of the cluster: 'sandwarden --node NAME ${command.name}'.`,
    '--version': "Write 'sandwarden --version' alone.",
  };
  const hint = elsewhere[rawName] ?? `${didYouMean(rawName, names)}${seeHelp(command)}`;
  return usage(`'${command.name}' has no option '${safeText(rawName, 60)}'`, hint);
}

function argsOf(
  command: CommandSpec,
  argument: string | undefined,
  given: ReadonlyMap<string, readonly string[]>,
  raw: readonly string[],
): Args {
  return {
    command: command.name,
    argument,
    raw,
    flag: (name) => given.has(name),
    value: (name) => given.get(name)?.at(-1),
    values: (name) => given.get(name) ?? [],
  };
}

function namesOf(commands: readonly CommandSpec[]): string {
  return `A command (${commands
    .filter((each) => !each.hidden)
    .map((each) => each.name)
    .join(', ')})`;
}

function noCommand(): SandwardenError {
  return usage('no command given', "Start with 'sandwarden check', or see 'sandwarden --help'.");
}

function seeHelp(command: CommandSpec): string {
  return `See 'sandwarden ${command.name} --help'.`;
}

function usage(message: string, hint: string): SandwardenError {
  return new SandwardenError('ERR_USAGE', message, { hint });
}
