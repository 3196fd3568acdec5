import { requireRoot } from '../boot/install/apply.ts';
import { changedSince, prepareRemoval, removeInstalled } from '../boot/install/uninstall.ts';
import { ExitCode } from '../model/errors.ts';
import { agreed } from './ask.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { machineOf } from './install.ts';
import { notesText, removalScript, removalText } from './render/install-text.ts';
import { styleOf } from './render/style.ts';

/** `sandwarden uninstall`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const machine = await machineOf(args);
  if (!args.flag('dry-run')) requireRoot(machine.files, 'uninstall');
  const removal = await prepareRemoval(machine.files);
  if (removal === undefined) {
    io.stdout.write('Nothing is installed here.\n');
    return ExitCode.healthy;
  }
  const style = styleOf(io, args.flag('no-color'));
  const purge = args.flag('purge');
  if (removal.changed.length > 0 && !args.flag('force')) throw changedSince(removal.changed);
  if (args.flag('dry-run')) {
    io.stdout.write(removalScript(removal, { purge, root: machine.files.root }));
    return ExitCode.healthy;
  }
  io.stdout.write(removalText(removal, purge, style));
  const answer = await agreed(io, args, 'Remove these?');
  if (answer !== 'yes') {
    io.stderr.write('Nothing was done.\n');
    return answer === 'interrupted' ? ExitCode.interrupted : ExitCode.healthy;
  }
  const notes = await removeInstalled(machine, removal, { purge });
  io.stdout.write(`Removed.${purge ? '' : ' The journal stays in /var/lib/sandwarden (--purge removes it).'}\n`);
  io.stdout.write(notesText(notes, style));
  return ExitCode.healthy;
}
