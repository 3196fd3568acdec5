import { installStatus, isInOrder } from '../boot/install/status.ts';
import { ExitCode } from '../model/errors.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { machineOf } from './install.ts';
import { statusText } from './render/install-status-text.ts';
import { jsonText } from './render/json.ts';
import { styleOf } from './render/style.ts';

/** `sandwarden status`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const { files, systemd } = await machineOf(args);
  const status = await installStatus(files, systemd);
  const text =
    args.value('output') === 'json' ? jsonText(status) : statusText(status, styleOf(io, args.flag('no-color')));
  io.stdout.write(text);
  return isInOrder(status) ? ExitCode.healthy : ExitCode.warnings;
}
