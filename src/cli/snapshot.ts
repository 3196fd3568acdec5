import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { ExitCode, SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import { isErrno } from '../observe/read-file.ts';
import { encodeSnapshot } from '../observe/snapshot-file.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { openEyes } from './look.ts';

/** `sandwarden snapshot`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const path = args.value('output');
  if (path !== undefined && /^(?:json|text|yaml|html)$/.test(path)) throw aFormat(path);
  const controllerChanges =
    args.value('watch') === undefined ? undefined : await (await import('./watching.ts')).watchFirst(args, io);
  await using eyes = await openEyes(args, io.env, { allCgroups: true, containerEvents: true, controllerChanges });
  const text = encodeSnapshot(await eyes.look());
  if (path === undefined || path === '-') io.stdout.write(text);
  else await writeWhole(path, text);
  return ExitCode.healthy;
}

/** Every other command takes a format there. */
function aFormat(typed: string): SandwardenError {
  return new SandwardenError('ERR_USAGE', `it would be a file called '${typed}': -o takes a file here`, {
    hint: `A snapshot is JSON: 'sandwarden snapshot -o node.json'. If you mean that file: '-o ./${typed}'.`,
  });
}

/**
 * Root may write this into a folder where others can make links: a link is not followed, and a file of others not
 * opened.
 */
async function writeWhole(path: string, text: string): Promise<void> {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    await using file = await open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o600);
    try {
      await file.writeFile(text);
    } catch (error) {
      // A half of one is worth nothing, and would look like one.
      if (isErrno(error) && (await file.stat()).isFile()) await unlink(path);
      throw error;
    }
  } catch (error) {
    if (!isErrno(error)) throw error;
    const forbidden = error.code === 'EACCES' || error.code === 'EPERM';
    const link = error.code === 'ELOOP' ? ': it is a symbolic link, which is not followed' : ` (${error.code})`;
    throw new SandwardenError(
      forbidden ? 'ERR_FORBIDDEN' : 'ERR_FILE',
      `cannot write '${safeText(path, 300)}'${link}`,
      {
        hint: "Name another file: 'sandwarden snapshot -o node.json'.",
        cause: error,
      },
    );
  }
}
