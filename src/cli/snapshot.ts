import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { ExitCode, SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import { isErrno } from '../observe/read-file.ts';
import { encodeSnapshot } from '../observe/snapshot-file.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { openEyes } from './look.ts';

/** `sandwarden snapshot`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const controllerChanges =
    args.value('watch') === undefined ? undefined : await (await import('./watching.ts')).watchFirst(args, io);
  await using eyes = await openEyes(args, io.env, { allCgroups: true, controllerChanges });
  const text = encodeSnapshot(await eyes.look());
  const path = args.value('output');
  if (path === undefined || path === '-') io.stdout.write(text);
  else await writeWhole(path, text);
  return ExitCode.healthy;
}

/**
 * Root may write this into a folder where others can make links: a link is not followed, and a file of others not
 * opened.
 */
async function writeWhole(path: string, text: string): Promise<void> {
  const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
  try {
    await using file = await open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_NONBLOCK, 0o600);
    await file.writeFile(text);
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
