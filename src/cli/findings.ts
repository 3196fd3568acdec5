import { catalogue } from '../diagnose/catalogue.ts';
import { ExitCode } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { ruleData } from './render/catalogue-json.ts';
import { catalogueText } from './render/catalogue-text.ts';
import { jsonText } from './render/json.ts';
import { styleOf } from './render/style.ts';

/** `sandwarden findings`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const text =
    args.value('output') === 'json'
      ? jsonText(catalogue.map(ruleData))
      : catalogueText(catalogue, styleOf(io, args.flag('no-color')));
  io.stdout.write(text);
  return ExitCode.healthy;
}
