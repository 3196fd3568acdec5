import { realpathSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { apply, type Machine, requireRoot } from '../boot/install/apply.ts';
import { type Prepared, prepare } from '../boot/install/prepare.ts';
import { systemdHere } from '../boot/install/systemd.ts';
import type { UnitOptions } from '../boot/install/units.ts';
import { ExitCode, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { systemClock } from '../observe/clock.ts';
import { Rooted } from '../observe/installed/rooted.ts';
import { isErrno } from '../observe/read-file.ts';
import { agreed } from './ask.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { conflictsText, doneText, planScript, stepsText } from './render/install-text.ts';
import { styleOf } from './render/style.ts';

/** `sandwarden install`. */
export async function run(args: Args, io: Io): Promise<ExitCode> {
  const machine = await machineOf(args);
  const { files } = machine;
  const style = styleOf(io, args.flag('no-color'));
  const force = args.flag('force');
  const asked = args.value('program');
  // npm puts a link into the PATH; what lies beside the script is looked for where it points.
  const running = { node: process.execPath, script: realpathSync(process.argv[1] ?? '/') };
  const units = unitOptions(args);
  if (!args.flag('dry-run')) requireRoot(files, 'install');
  const prepared = await prepare(files, {
    units,
    force,
    program: { running, ...(asked === undefined ? {} : { asked }) },
  });
  if (args.flag('dry-run')) {
    io.stdout.write(planScript(prepared, files.root));
    return ExitCode.healthy;
  }
  if (prepared.steps.length === 0 && prepared.before?.state === 'installed') {
    io.stdout.write(`Already installed, for ${prepared.layout.title}; nothing was changed.\n`);
    return ExitCode.healthy;
  }
  io.stdout.write(stepsText(prepared, style));
  if (prepared.conflicts.length > 0) {
    io.stderr.write(conflictsText(prepared.conflicts, style));
    if (!force) throw inTheWay(prepared);
  }
  const answer = await agreed(io, args, 'Write these and enable them?');
  if (answer !== 'yes') {
    io.stderr.write('Nothing was done.\n');
    return answer === 'interrupted' ? ExitCode.interrupted : ExitCode.healthy;
  }
  const applied = await apply(machine, prepared);
  const seLinux = files.root === '' && (await files.has('/sys/fs/selinux/enforce'));
  io.stdout.write(doneText(prepared, applied.notes, { style, seLinux, isImage: files.root !== '' }));
  return ExitCode.healthy;
}

/** The machine itself, or the image that --root names. Throws ERR_USAGE for a root that is no absolute directory. */
export async function machineOf(args: Pick<Args, 'value'>): Promise<Machine> {
  const root = args.value('root');
  if (root === undefined || root === '/') return { files: new Rooted(), clock: systemClock(), systemd: systemdHere() };
  if (!root.startsWith('/')) {
    throw new SandwardenError('ERR_USAGE', `'${safeText(root, 100)}' is no absolute path for '--root'`, {
      hint: "Write it whole: '--root /mnt/image'.",
    });
  }
  if (!(await isDirectory(root))) {
    throw new SandwardenError('ERR_USAGE', `there is no directory '${safeText(root, 300)}'`, {
      hint: 'Name the root directory of an image, or leave --root out for this machine.',
    });
  }
  return { files: new Rooted(root), clock: systemClock() };
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (!isErrno(error)) throw error;
    return false;
  }
}

function unitOptions(args: Args): UnitOptions {
  const syncWait = secondsOf(args, 'wait-for-time-sync', 0, 99);
  const limit = secondsOf(args, 'limit', 5, 600);
  return {
    clockFloor: !args.flag('no-clock-floor'),
    bootHeal: !args.flag('no-boot-heal'),
    syncWaitMs: syncWait ?? limits.timeSyncWaitMs,
    publish: !args.flag('no-publish'),
    limitMs: limit ?? limits.bootHealMs,
  };
}

function secondsOf(args: Args, name: string, least: number, most: number): number | undefined {
  const typed = args.value(name);
  if (typed === undefined) return undefined;
  const seconds = /^\d{1,4}s?$/.test(typed) ? Number.parseInt(typed, 10) : Number.NaN;
  if (seconds >= least && seconds <= most) return seconds * 1_000;
  throw new SandwardenError('ERR_USAGE', `'${safeText(typed, 60)}' is no number of seconds for '--${name}'`, {
    hint: `Write a whole number from ${least} to ${most}.`,
  });
}

function inTheWay({ conflicts }: Prepared): SandwardenError {
  const paths = conflicts.map((each) => each.path).join(', ');
  return new SandwardenError('ERR_PRECONDITION', `in the way: ${paths}; nothing was written`, {
    hint: "Keep what you need of them (a drop-in, 'systemctl edit UNIT', is never touched); --force replaces them.",
  });
}
