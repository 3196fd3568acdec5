import { ExitCode } from '../model/errors.ts';
import { version } from '../model/version.ts';
import { commands } from './frame/commands.ts';
import { describeError } from './frame/errors.ts';
import { commandHelp, helpPage } from './frame/help.ts';
import type { Io } from './frame/io.ts';
import { nodePage } from './frame/node-options.ts';
import { readCommandLine } from './frame/parse.ts';
import { topHelp } from './frame/top-help.ts';
import { asksRemoteHelp, remoteRequest } from './remote/options.ts';
import { exact, styleOf } from './render/style.ts';

/**
 * One run of the program: reads the command line, runs the command, prints what went wrong; gives the exit code.
 * Never throws.
 */
export async function run(argv: readonly string[], io: Io): Promise<ExitCode> {
  try {
    if (asksRemoteHelp(argv, commands)) return help(io, (width) => helpPage(nodePage, width));
    const remote = remoteRequest(argv, commands);
    if (remote) return await (await import('./remote/run.ts')).runOnNode(remote, io);
    const request = readCommandLine(argv, commands);
    if (request.kind === 'version') {
      io.stdout.write(`sandwarden ${version}\n`);
      return ExitCode.healthy;
    }
    if (request.kind === 'help') {
      const { command } = request;
      return help(io, (width) => (command ? commandHelp(command, width) : topHelp));
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

function help(io: Io, page: (width: number) => string): ExitCode {
  const style = styleOf(io, true);
  io.stdout.write(linesOf(page(Math.min(style.width, 100)), (line) => exact(style, line)));
  return ExitCode.healthy;
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
