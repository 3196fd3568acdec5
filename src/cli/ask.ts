import { SandwardenError } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';

export type Answer = 'yes' | 'no' | 'interrupted';

/**
 * Whether a person agrees: --yes, or the answer at the terminal. Throws ERR_USAGE where there is neither.
 */
export async function agreed(io: Io, args: Pick<Args, 'flag'>, question: string): Promise<Answer> {
  if (args.flag('yes')) return 'yes';
  if (!io.stdinIsTerminal || !io.stderr.isTerminal) {
    throw new SandwardenError('ERR_USAGE', 'nothing was done: there is no terminal to ask at', {
      hint: "Add '--yes' to do it without a question.",
    });
  }
  return await askAtTerminal(io, `${question} [y/N] `);
}

/** The answer of the person at the terminal to a question that is printed as it is; Ctrl-C is an answer too. */
export async function askAtTerminal(io: Io, prompt: string): Promise<Answer> {
  const controller = new AbortController();
  const restore = io.onInterrupt(() => controller.abort());
  try {
    return (await io.confirm(prompt, controller.signal)) ? 'yes' : 'no';
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    io.stderr.write('\n');
    return 'interrupted';
  } finally {
    restore();
  }
}
