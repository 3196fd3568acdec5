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
  const controller = new AbortController();
  const restore = io.onInterrupt(() => controller.abort());
  try {
    return (await io.confirm(`${question} [y/N] `, controller.signal)) ? 'yes' : 'no';
  } catch (error) {
    if (!controller.signal.aborted) throw error;
    io.stderr.write('\n');
    return 'interrupted';
  } finally {
    restore();
  }
}
