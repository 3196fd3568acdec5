import { ExitCode } from '../../model/errors.ts';

/**
 * What becomes of a stream that cannot be written: a reader that went away (EPIPE) ends it quietly; a full disk behind
 * stdout is said on stderr, and is the exit code. Of stderr nobody can be told, and the exit code is left to say how
 * the command ended. `gone` is called each time.
 */
export function onBrokenOutput(stream: NodeJS.WriteStream, gone: () => void = () => {}): void {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    gone();
    // The reader closed the pipe (`| head -1`): it has what it wanted.
    if (error.code === 'EPIPE' || stream === process.stderr) return;
    process.exitCode = ExitCode.outputFailed;
    process.stderr.write(`sandwarden: cannot write the output: ${error.message}\n`);
  });
}
