import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { isUnitName, type ScopeSpec, type SystemdBus, type UnitState } from './bus.ts';
import { checkName, failedJob, releaseOf } from './dbus-systemd.ts';
import { spareFromOom, started } from './holder.ts';

/** Runs a program and gives its output; observe/child.ts has the real one. */
export type RunProgram = (
  argv: readonly [string, ...string[]],
  options?: { readonly timeoutMs?: number },
) => Promise<{ readonly stdout: string }>;

/**
 * systemd by its own programs, for where there is no system bus: early at boot, or on a host without dbus. As root they
 * use systemd's private socket, whose protocol is nobody else's business.
 */
export async function systemdOverPrograms(run: RunProgram, path = PATH): Promise<SystemdBus> {
  const systemctl = (...args: string[]) => asked(run, ['systemctl', ...args], limits.systemdJobTimeoutMs);
  // Without systemd as the first process this fails, and says so.
  const version = await systemctl('show', '--property=Version', '--value');
  const unit = async (name: string) => {
    checkName(name);
    return shownUnit(await systemctl('show', '--no-pager', `--property=${shown.join(',')}`, '--', name));
  };
  return {
    via: 'systemctl',
    release: releaseOf(version.trim()),
    unit,
    unitNames: async (patterns) => {
      const list = await systemctl('list-units', '--all', '--plain', '--no-legend', '--no-pager', '--', ...patterns);
      return list.split('\n').flatMap((line) => {
        const name = line.trim().split(/\s+/)[0] ?? '';
        return isUnitName(name) ? [name] : [];
      });
    },
    startScope: (scope) => startScope(scope, unit, path),
    startUnit: async (name) => {
      checkName(name);
      if ((await unit(name)) === undefined) {
        throw new SandwardenError('ERR_PRECONDITION', `systemd knows no unit ${name}`, {
          hint: "Let it read its files: 'systemctl daemon-reload'.",
        });
      }
      await systemctl('start', '--', name);
    },
    stopUnit: async (name) => {
      checkName(name);
      if ((await unit(name)) !== undefined) await systemctl('stop', '--', name);
    },
    setProperties: async () => {
      throw new SandwardenError('ERR_SYSTEMD_UNREACHABLE', 'properties are set over the system bus: there is none', {
        hint: 'systemctl start dbus.socket',
      });
    },
    reload: async () => void (await systemctl('daemon-reload')),
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const PATH = '/usr/sbin:/usr/bin:/sbin:/bin';

/** systemd-run makes a scope of itself and then becomes the program. */
async function startScope(
  scope: ScopeSpec,
  unit: (name: string) => Promise<UnitState | undefined>,
  path: string,
): Promise<void> {
  checkName(scope.name);
  checkName(scope.slice);
  const args = ['--scope', '--quiet', '--collect', `--unit=${scope.name}`, `--slice=${scope.slice}`];
  const properties = ['--property=Delegate=yes', '--property=DefaultDependencies=no'];
  const child = spawn(
    'systemd-run',
    [...args, `--description=${scope.description}`, ...properties, '--', ...scope.command],
    {
      cwd: '/',
      env: { PATH: path, LC_ALL: 'C' },
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    if (said.length < 2_000) said += chunk.toString('utf8');
  });
  await started(child, 'systemd-run');
  try {
    await scopeIsActive(scope.name, unit, () => {
      if (child.exitCode === null && child.signalCode === null) return;
      throw failedJob(`start ${scope.name}`, said.trim().split('\n')[0] || `exit ${child.exitCode}`);
    });
    // systemd-run has become the process by now.
    if (child.pid !== undefined) await spareFromOom(child.pid);
  } catch (error) {
    child.kill('SIGKILL');
    throw error;
  } finally {
    child.stderr.destroy();
    child.unref();
  }
}

async function scopeIsActive(
  name: string,
  unit: (name: string) => Promise<UnitState | undefined>,
  checkChild: () => void,
): Promise<void> {
  const until = performance.now() + limits.systemdJobTimeoutMs;
  for (;;) {
    checkChild();
    if ((await unit(name))?.activeState === 'active') return;
    if (performance.now() > until) throw failedJob(`start ${name}`, 'timeout');
    await sleep(limits.systemdPollMs);
  }
}

async function asked(run: RunProgram, argv: readonly [string, ...string[]], timeoutMs: number): Promise<string> {
  try {
    return (await run(argv, { timeoutMs })).stdout;
  } catch (error) {
    if (!isSandwardenError(error, 'ERR_COMMAND_FAILED', 'ERR_COMMAND_MISSING')) throw error;
    const without =
      error.code === 'ERR_COMMAND_MISSING' || /not been booted with systemd|connect to bus/i.test(error.message);
    if (!without) {
      throw new SandwardenError('ERR_SYSTEMD_FAILED', `systemd refused: ${safeText(error.message, 500)}`, {
        hint: "'journalctl -b _PID=1' may say more.",
        cause: error,
      });
    }
    throw new SandwardenError('ERR_SYSTEMD_UNREACHABLE', 'systemd does not run this machine, or cannot be reached', {
      hint:
        'Slices are held through systemd: with another init (OpenRC) kubelet uses the cgroupfs driver, and there is ' +
        'nothing to hold. In a container run it on the host: nsenter --target 1 --all sandwarden …',
      cause: error,
    });
  }
}

const shown = [
  'Id',
  'Description',
  'LoadState',
  'ActiveState',
  'SubState',
  'Transient',
  'FragmentPath',
  'After',
  'Before',
  'ActiveEnterTimestampMonotonic',
  'InactiveEnterTimestampMonotonic',
  'ControlGroup',
  'Slice',
  'Delegate',
  'DelegateControllers',
  'AllowedCPUs',
  'MemoryCurrent',
];

/** What `systemctl show` prints of one unit; undefined for one that is not loaded. */
export function shownUnit(text: string): UnitState | undefined {
  const given = new Map(
    text.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
  const value = (name: string) => given.get(name) ?? '';
  const words = (name: string) =>
    value(name)
      .split(/\s+/)
      .filter((each) => each !== '');
  const number = (name: string) => (/^\d{1,20}$/.test(value(name)) ? BigInt(value(name)) : undefined);
  if (!given.has('LoadState') || value('LoadState') === 'not-found') return undefined;
  const memory = number('MemoryCurrent');
  return {
    id: value('Id'),
    description: value('Description'),
    loadState: value('LoadState'),
    activeState: value('ActiveState'),
    subState: value('SubState'),
    transient: value('Transient') === 'yes',
    fragmentPath: value('FragmentPath'),
    after: words('After'),
    before: words('Before'),
    activeSinceUs: number('ActiveEnterTimestampMonotonic') ?? 0n,
    inactiveSinceUs: number('InactiveEnterTimestampMonotonic') ?? 0n,
    controlGroup: value('ControlGroup'),
    slice: value('Slice'),
    delegate: given.has('Delegate') ? value('Delegate') === 'yes' : undefined,
    delegateControllers: words('DelegateControllers'),
    allowedCpus: cpuList(value('AllowedCPUs')),
    // systemd's word for "not accounted" is the largest number there is.
    memoryBytes: memory === undefined || memory === 0xffff_ffff_ffff_ffffn ? undefined : memory,
  };
}

/** `0-2 5`: 0, 1, 2, 5. */
function cpuList(text: string): number[] {
  return [...text.matchAll(/(\d{1,5})(?:-(\d{1,5}))?/g)].flatMap(([, first = '0', last = first]) => {
    const count = Math.min(Number(last) - Number(first) + 1, 8_192);
    return Array.from({ length: Math.max(count, 0) }, (_, index) => Number(first) + index);
  });
}
