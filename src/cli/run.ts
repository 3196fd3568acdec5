import { ExitCode } from '../model/errors.ts';
import { version } from '../model/version.ts';
import { commands } from './frame/commands.ts';
import { describeError } from './frame/errors.ts';
import { commandHelp } from './frame/help.ts';
import type { Io } from './frame/io.ts';
import { readCommandLine } from './frame/parse.ts';
import { topHelp } from './frame/top-help.ts';
import { remoteRequest } from './remote/options.ts';
import { exact, styleOf } from './render/style.ts';

/**
 * One run of the program: reads the command line, runs the command, prints what went wrong; gives the exit code.
 * Never throws.
 */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  try {
    const remote = remoteRequest(argv, commands);
    if (remote) return await (await import('./remote/run.ts')).runOnNode(remote, io);
    const request = readCommandLine(argv, commands);
    if (request.kind === 'version') {
      io.stdout.write(`sandwarden ${version}\n`);
      return ExitCode.healthy;
    }
    if (request.kind === 'help') {
      const style = styleOf(io, true);
      const text = request.command ? commandHelp(request.command, Math.min(style.width, 100)) : topHelp;
      io.stdout.write(linesOf(text, (line) => exact(style, line)));
      return ExitCode.healthy;
    }
    const command = await request.command.load();
    return await command.run(request.args, io);
  } catch (error) {
    const style = styleOf(io, argv.includes('--no-color'), io.stderr);
    const { text, exitCode } = describeError(error, style, wantsJson(argv));
    io.stderr.write(text);
    return exitCode;
  }
}

function linesOf(text: string, each: (line: string) => string): string {
  return text.split('\n').map(each).join('\n');
}

/**
 * Whether errors are wanted as JSON too; the command line itself may be what is wrong, so this looks only for the
 * words.
 */
function wantsJson(argv: readonly string[]): boolean {
  return argv.some(
    (each, index) =>
      each === '-ojson' ||
      each === '--output=json' ||
      (each === 'json' && /^(-o|--output)$/.test(argv[index - 1] ?? '')),
  );
}
