import { catalogue } from '../diagnose/catalogue.ts';
import { ExitCode } from '../model/errors.ts';
import type { Args, CommandSpec, OptionSpec } from './frame/command.ts';
import { commands } from './frame/commands.ts';
import type { Io } from './frame/io.ts';
import { nodeOptions } from './frame/node-options.ts';
import { globalOptions } from './frame/parse.ts';

/** `sandwarden __complete WORD…`: what may stand at the place of the last word. The completion scripts ask it. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  io.stdout.write(
    candidates(args.raw)
      .map((each) => `${each}\n`)
      .join(''),
  );
  return ExitCode.healthy;
}

/** One candidate per line, `value<TAB>what it is`; `:file` and `:directory` leave it to the shell. */
export function candidates(words: readonly string[]): string[] {
  const typed = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const at = before.findIndex((word) => commands.some((each) => !each.hidden && each.name === word));
  const command = commands.find((each) => each.name === before[at]);
  const options = optionsAt(command, before);
  const value = valueAtCursor(before, typed, options);
  if (value) return value;
  if (!command && !typed.startsWith('-')) {
    const visible = commands.filter((each) => !each.hidden);
    return starting(
      typed,
      visible.map((each) => [each.name, each.summary] as const),
    );
  }
  if (typed.startsWith('-')) {
    const given = new Set(before);
    const open = options.filter((each) => each.multiple || !given.has(`--${each.name}`));
    const own = open.map((each) => [`--${each.name}`, each.says] as const);
    const version = command || options === nodeOptions ? [] : [['--version', 'the version'] as const];
    return starting(typed, [...own, ...version]);
  }
  const isOpen = command !== undefined && !hasPositional(before.slice(at + 1), options);
  return isOpen ? argumentCandidates(command, typed) : [];
}

/** Whether an argument stands among the words behind a command, beside its options and their values. */
function hasPositional(words: readonly string[], options: readonly OptionSpec[]): boolean {
  return words.some((word, index) => {
    const last = words[index - 1] ?? '';
    const isValue = last === '=' || optionOf(last, options) !== undefined;
    return !isValue && word !== '=' && !word.startsWith('-');
  });
}

/** Before COMMAND, `--node` brings options of its own; without it, it is one that may be given. */
function optionsAt(command: CommandSpec | undefined, before: readonly string[]): readonly OptionSpec[] {
  if (command) return [...command.options, ...globalOptions];
  if (before.some((each) => /^--node(?:=|$)/.test(each))) return nodeOptions;
  return [...nodeOptions.filter((each) => each.name === 'node'), ...globalOptions];
}

/**
 * The values of the option before the cursor, if there is one that takes a value; bash hands `--a=b` on as three
 * words.
 */
function valueAtCursor(before: readonly string[], typed: string, options: readonly OptionSpec[]): string[] | undefined {
  const inline = /^(--[a-z-]+)=(.*)$/.exec(typed);
  if (inline) {
    const option = optionOf(inline[1] ?? '', options);
    const prefix = `${inline[1]}=`;
    return option && valuesOf(option, inline[2] ?? '').map((each) => (each.startsWith(':') ? each : prefix + each));
  }
  const last = before.at(-1) ?? '';
  if (typed === '=' && last.startsWith('--')) return optionValues(last, '', options);
  if (last === '=') return optionValues(before.at(-2) ?? '', typed, options);
  return optionValues(last, typed, options);
}

function optionValues(name: string, typed: string, options: readonly OptionSpec[]): string[] | undefined {
  const option = optionOf(name, options);
  return option && valuesOf(option, typed);
}

function optionOf(typed: string, options: readonly OptionSpec[]): OptionSpec | undefined {
  return options.find((each) => each.value && (typed === `--${each.name}` || typed === `-${each.short}`));
}

function valuesOf(option: OptionSpec, typed: string): string[] {
  if (option.choices) return option.choices.filter((each) => each.startsWith(typed));
  if (option.completes === 'code') return codes(typed);
  return option.completes === undefined ? [] : [`:${option.completes}`];
}

function argumentCandidates(command: CommandSpec, typed: string): string[] {
  const word = command.second?.after;
  const more = word?.startsWith(typed) ? [`${word}\t${command.second?.name}`] : [];
  if (command.argument?.completes === 'code') return [...codes(typed), ...more];
  return (command.argument?.choices ?? []).filter((each) => each.startsWith(typed));
}

function codes(typed: string): string[] {
  return starting(
    typed.toUpperCase(),
    catalogue.map((each) => [each.code, each.title] as const),
  );
}

function starting(typed: string, of: readonly (readonly [string, string])[]): string[] {
  return of.filter(([value]) => value.startsWith(typed)).map(([value, says]) => `${value}\t${says}`);
}
