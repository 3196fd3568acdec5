import type { ExitCode } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';

/** `sandwarden watch WHAT`: each is loaded only where it is asked for. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const { run: watch } = args.argument === 'kernel' ? await import('./watch-kernel.ts') : await import('./watch.ts');
  return await watch(args, io);
}
