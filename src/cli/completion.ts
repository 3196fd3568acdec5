import { ExitCode } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { completionScripts } from './render/completion-scripts.ts';

/** `sandwarden completion SHELL`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  // The command line was checked against the same three names.
  io.stdout.write(completionScripts[args.argument as keyof typeof completionScripts]);
  return ExitCode.healthy;
}
