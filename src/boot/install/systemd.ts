import { constants } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { Ended, type Run, run as runProgram } from '../../observe/child.ts';
import { flags, runDir } from '../record.ts';
import { unitNames } from './units.ts';

/** What installing asks of systemd; tests replace it, and an image that is built has none. */
export interface Systemd {
  /** What is wrong with our units; `notes` is what only should be known. */
  verify(
    paths: readonly string[],
  ): Promise<{ readonly problems: readonly string[]; readonly notes: readonly string[] }>;
  /** Throws ERR_COMMAND_FAILED, ERR_COMMAND_MISSING, ERR_FORBIDDEN. */
  reload(): Promise<void>;
  /** Arms what tells a clean shutdown from a power cut, for this boot too. Throws as reload. */
  start(): Promise<void>;
  stop(units: readonly string[]): Promise<void>;
  /** Makes systemd forget that any of them failed: else it lists a failed unit whose file is gone. Throws as reload. */
  resetFailed(units: readonly string[]): Promise<void>;
  /** The properties of each unit, in the order asked for. Throws as reload. */
  show(units: readonly string[]): Promise<readonly ReadonlyMap<string, string>[]>;
}

/** systemd of this machine. */
export function systemdHere(run: Run = runProgram): Systemd {
  const started = [unitNames.clock, unitNames.timer];
  return {
    verify: (paths) => verify(run, paths),
    reload: async () => void (await run(['systemctl', 'daemon-reload'], patience)),
    start: async () => {
      await markJudged();
      await run(['systemctl', 'start', '--', ...started], patience);
    },
    stop: async (units) => void (await run(['systemctl', 'stop', '--', ...units], patience)),
    resetFailed: (units) => resetFailed(run, units),
    show: (units) => shown(run, units),
  };
}

/** A slow board under load reads its units for longer than a question takes. */
const patience = { timeoutMs: limits.systemdJobTimeoutMs } as const;

async function resetFailed(run: Run, units: readonly string[]): Promise<void> {
  const facts = await shown(run, units);
  // Asked for a unit that is not loaded, `systemctl reset-failed` fails.
  const failed = units.filter((_, index) => facts[index]?.get('ActiveState') === 'failed');
  if (failed.length > 0) await run(['systemctl', 'reset-failed', '--', ...failed]);
}

/** One block for each unit, parted by empty lines and in the order asked for; also of a unit that is not there. */
async function shown(run: Run, units: readonly string[]): Promise<ReadonlyMap<string, string>[]> {
  // Asked for no unit, systemctl shows itself.
  if (units.length === 0) return [];
  const { stdout } = await run(['systemctl', 'show', `--property=${properties.join(',')}`, '--', ...units]);
  return stdout.split('\n\n').map((block) => new Map(block.split('\n').map((line) => pairOf(line))));
}

/** What status asks of each unit. */
const properties = [
  'Id',
  'LoadState',
  'ActiveState',
  'SubState',
  'Result',
  'ConditionResult',
  'ConditionTimestampMonotonic',
  'ExecMainStartTimestampMonotonic',
  'ExecMainExitTimestampMonotonic',
  'ExecMainStatus',
  'NeedDaemonReload',
];

/**
 * early.sh then takes this boot for judged: an installation in the middle of one neither starts Node nor touches the
 * clock under a kubelet that runs.
 */
async function markJudged(): Promise<void> {
  await mkdir(runDir, { recursive: true, mode: 0o755 });
  const { O_CREAT, O_NOFOLLOW, O_WRONLY } = constants;
  await using _file = await open(`${runDir}/${flags.booted}`, O_WRONLY | O_CREAT | O_NOFOLLOW, 0o644);
}

/** systemd-analyze reads the units that ours are ordered with too; what it says of those is not our matter. */
async function verify(run: Run, paths: readonly string[]): ReturnType<Systemd['verify']> {
  try {
    return judged((await run(['systemd-analyze', 'verify', '--man=no', ...paths])).stderr);
  } catch (error) {
    if (isSandwardenError(error, 'ERR_COMMAND_MISSING')) {
      return { problems: [], notes: ['the units were not verified: systemd-analyze is not installed here'] };
    }
    if (!isSandwardenError(error, 'ERR_COMMAND_FAILED', 'ERR_FORBIDDEN')) throw error;
    if (error.cause instanceof Ended) {
      const { problems, notes } = judged(error.cause.stderr);
      // Another unit's fault fails it too: then it is told, and not taken for one of ours.
      return { problems, notes: problems.length > 0 ? notes : [`systemd-analyze verify: ${error.message}`, ...notes] };
    }
    if (error.code === 'ERR_FORBIDDEN') throw error;
    return { problems: [], notes: [`systemd-analyze verify: ${error.message}`] };
  }
}

/** Each line that names a unit of ours: systemd-analyze says all it finds, of one unit after the other. */
function judged(stderr: string): Awaited<ReturnType<Systemd['verify']>> {
  const said = stderr.split('\n').filter((line) => /sandwarden-/.test(line));
  // An older systemd that does not know a setting says so and goes on without it.
  return { problems: said.filter((line) => !ignored.test(line)), notes: said.filter((line) => ignored.test(line)) };
}

const ignored = /[,.] ignoring|Unknown (lvalue|key)|not supported/i;

function pairOf(line: string): [string, string] {
  const at = line.indexOf('=');
  return [line.slice(0, at), line.slice(at + 1)];
}

/** The error for units that systemd would not take. */
export function refusedUnits(problems: readonly string[]): SandwardenError {
  return new SandwardenError('ERR_COMMAND_FAILED', `systemd does not take the units: ${problems.join('; ')}`, {
    hint: 'Nothing was left behind. Please report this with the version of systemd (systemctl --version).',
  });
}
