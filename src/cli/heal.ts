import type { ExitCode } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { healNode } from './healing.ts';
import { openNode } from './node.ts';
import { planOptions } from './plan-options.ts';
import { undoRun } from './undo.ts';

/** `sandwarden heal`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const id = args.value('undo');
  if (id !== undefined) return await undoRun(id, args, io);
  const options = planOptions(args);
  await using node = await openNode(args, io.env, options);
  return await healNode(node, options, { args, io });
}
