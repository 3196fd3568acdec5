import { createInterface } from 'node:readline/promises';
import type { WriteStream } from 'node:tty';
import { styleText } from 'node:util';
import { onBrokenOutput } from './broken-output.ts';
import type { Io, Output } from './io.ts';

/** The streams and the environment of this process. A reader that went away (EPIPE) ends the writing quietly. */
export function processIo(): Io {
  return {
    env: process.env,
    stdout: outputOver(process.stdout),
    stderr: outputOver(process.stderr),
    stdinIsTerminal: process.stdin.isTTY === true,
    confirm: confirmAtTerminal,
    onInterrupt,
    restartWith,
  };
}

function outputOver(stream: WriteStream): Output {
  let gone = false;
  const told: (() => void)[] = [];
  onBrokenOutput(stream, () => {
    gone = true;
    for (const each of told.splice(0)) each();
  });
  return {
    write: (text) => {
      if (!gone) stream.write(text);
    },
    whenGone: (handler) => {
      told.push(handler);
    },
    isTerminal: stream.isTTY === true,
    get columns() {
      return stream.isTTY ? stream.columns : undefined;
    },
    get rows() {
      return stream.isTTY ? stream.rows : undefined;
    },
    // styleText knows the rules of NO_COLOR, FORCE_COLOR, NODE_DISABLE_COLORS and TERM for a stream.
    takesColour: styleText('red', 'x', { stream }) !== 'x',
  };
}

function onInterrupt(handler: () => void): () => void {
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const each of signals) process.on(each, handler);
  return () => {
    for (const each of signals) process.off(each, handler);
  };
}

function restartWith(flag: string): void {
  if (process.execArgv.includes(flag)) return;
  try {
    process.execve?.(
      process.execPath,
      [process.execPath, flag, ...process.execArgv, ...process.argv.slice(1)],
      process.env,
    );
  } catch (error) {
    // Some sandboxes forbid it: the program does without the flag.
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}

async function confirmAtTerminal(question: string, signal?: AbortSignal): Promise<boolean> {
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  // Ctrl-C at the prompt comes as readline's own event; handed on, it ends like anywhere else.
  lines.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    const answer = await lines.question(question, signal === undefined ? {} : { signal });
    return /^(y|yes)$/i.test(answer.trim());
  } finally {
    lines.close();
  }
}
