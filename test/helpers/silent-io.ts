import type { Io, Output } from '../../src/cli/frame/io.ts';

/** An Io that nobody reads, with no terminal; who asks it is told no. */
export function silentIo(): Io {
  const output: Output = { write: () => {}, isTerminal: false, columns: undefined, takesColour: false };
  return {
    env: {},
    stdout: output,
    stderr: output,
    stdinIsTerminal: false,
    confirm: () => Promise.resolve(false),
    onInterrupt: () => () => {},
  };
}
