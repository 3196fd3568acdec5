import { wrap } from '../render/layout.ts';
import type { CommandSpec, OptionSpec } from './command.ts';
import { globalOptions } from './parse.ts';

/** The help of one command, from its specification, at most `width` columns wide. */
export function commandHelp(command: CommandSpec, width: number): string {
  const { second, name, about, examples } = command;
  const more = second?.optional ? `[${second.name}]` : second?.name;
  const usage = [
    `sandwarden ${name}${argumentOf(command)} [OPTION]...`,
    ...(second ? [`sandwarden ${name} ${second.after} ${more} [OPTION]...`] : []),
  ];
  return helpPage({ usage, about, options: [...command.options, ...globalOptions], examples }, width);
}

export interface HelpPage extends Pick<CommandSpec, 'about' | 'options' | 'examples'> {
  readonly usage: readonly string[];
}

/** A page of help, at most `width` columns wide; usage and examples are not broken. */
export function helpPage({ usage, about, options, examples }: HelpPage, width: number): string {
  const lines = [...usage.map((each, index) => `${index === 0 ? 'usage:' : '      '} ${each}`), ''];
  for (const paragraph of about.split('\n')) lines.push(...wrap(paragraph, width));
  lines.push(
    '',
    'Options:',
    ...table(
      options.map((each) => [leftOf(each), rightOf(each)] as const),
      width,
    ),
  );
  lines.push('', 'Examples:');
  for (const [line, says] of examples) {
    lines.push(`  ${line}`, ...wrap(says, width - 6).map((each) => `      ${each}`));
  }
  return `${lines.join('\n')}\n`;
}

function argumentOf({ argument }: CommandSpec): string {
  if (argument === undefined) return '';
  const word = argument.choices?.join('|') ?? argument.name;
  return argument.optional ? ` [${word}]` : ` ${word}`;
}

function leftOf(option: OptionSpec): string {
  const short = option.short ? `-${option.short}, ` : '    ';
  return `${short}--${option.name}${option.value ? ` ${option.value}` : ''}`;
}

function rightOf(option: OptionSpec): string {
  const notes = [
    ...(option.choices ? [option.choices.join(', ')] : []),
    ...(option.multiple ? ['may be given several times'] : []),
  ];
  return notes.length === 0 ? option.says : `${option.says} (${notes.join('; ')})`;
}

function table(rows: readonly (readonly [string, string])[], width: number): string[] {
  const left = Math.max(...rows.map(([each]) => each.length)) + 2;
  // Where two columns do not fit, the explanation goes below.
  if (width - left - 2 < 24) {
    return rows.flatMap(([name, says]) => [`  ${name}`, ...wrap(says, width - 8).map((each) => `        ${each}`)]);
  }
  return rows.flatMap(([name, says]) =>
    wrap(says, width - left - 2).map((each, index) => `  ${(index === 0 ? name : '').padEnd(left)}${each}`),
  );
}
