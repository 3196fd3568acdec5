import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { withoutBus } from './dbus-daemon.ts';
import { tempDir } from './temp.ts';

/**
 * A systemd of the test's own, as process 1 of namespaces of its own, with a bus and a cgroup v2 tree below the real
 * one. Units, jobs, slices and the bus are the real ones; controllers are there only where the host has them on v2.
 */
export interface RealSystemd extends AsyncDisposable {
  /** Runs a program beside it and gives its output; throws where it fails. */
  run(program: string, ...args: readonly string[]): Promise<string>;
  /** The same where it may fail. */
  ended(program: string, ...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }>;
  /** What runs a program beside it, for whatever else runs programs. */
  argv(program: string, ...args: readonly string[]): [string, ...string[]];
  /** Its files as they are seen from here. */
  root(): string;
  /** Waits until `isSo` gives something. */
  until<T>(what: string, isSo: () => Promise<T | undefined> | T | undefined): Promise<T>;
}

const daemon = '/lib/systemd/systemd';
const DEADLINE_MS = 30_000;

/** Why it cannot be started here; false where it can. */
export const withoutSystemd: string | false = (() => {
  if (process.geteuid?.() !== 0) return 'needs root';
  if (!existsSync(daemon)) return 'systemd is not installed';
  if (withoutBus !== false) return withoutBus;
  if (mountOfV2() === undefined) return 'no cgroup v2';
  const namespaces = ['--pid', '--fork', '--mount', '--uts', '--ipc', '--cgroup', '--mount-proc', 'true'];
  return spawnSync('unshare', namespaces).status === 0 ? false : 'no namespaces can be made here';
})();

export async function realSystemd(): Promise<RealSystemd> {
  const folder = await tempDir();
  const cgroup = join(mountOfV2() ?? '', `sandwarden-test-${process.pid}`);
  await writeFile(folder.join('outside'), outside(cgroup, folder.join('inside')));
  await writeFile(folder.join('inside'), inside);
  const child = spawn('sh', [folder.join('outside')], { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-4_000);
  });
  const init = () => (child.pid === undefined ? undefined : childOf(child.pid));
  const argv: RealSystemd['argv'] = (...words) => ['nsenter', '--target', String(init()), '--all', '--', ...words];
  const ended = async (program: string, ...args: readonly string[]) => {
    const [nsenter, ...words] = argv(program, ...args);
    try {
      return { code: 0, ...(await promisify(execFile)(nsenter, words, { timeout: DEADLINE_MS })) };
    } catch (error) {
      const { code, stdout = '', stderr = '' } = error as { code?: number; stdout?: string; stderr?: string };
      return { code: typeof code === 'number' ? code : 255, stdout, stderr };
    }
  };
  const run: RealSystemd['run'] = async (program, ...args) => {
    const { code, stdout, stderr } = await ended(program, ...args);
    if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit ${code}: ${stderr || stdout}`);
    return stdout;
  };
  const until: RealSystemd['until'] = async (what, isSo) => {
    const end = performance.now() + DEADLINE_MS;
    for (;;) {
      const found = await isSo();
      if (found !== undefined) return found;
      if (performance.now() > end) throw new Error(`not within ${DEADLINE_MS / 1_000} s: ${what}\n${said}`);
      await sleep(50);
    }
  };
  const systemd: RealSystemd = {
    run,
    ended,
    until,
    argv,
    root: () => `/proc/${init()}/root`,
    [Symbol.asyncDispose]: async () => {
      const pid = init();
      // With process 1 everything in its namespace ends.
      if (pid !== undefined) process.kill(pid, 'SIGKILL');
      await until('its end', () => (child.exitCode !== null || child.signalCode !== null ? true : undefined));
      await until('its cgroups are empty', () => (removeTree(cgroup) ? true : undefined));
      await folder[Symbol.asyncDispose]();
    },
  };
  try {
    await until('systemd is on the bus', async () => {
      if (init() === undefined) return undefined;
      const { code } = await ended('busctl', ...manager('GetUnit', 's', 'basic.target'));
      return code === 0 ? true : undefined;
    });
    // What started it is still in its topmost cgroup, which could then hand no controller down.
    const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
    await writeFile(join(mountOfV2() ?? '', own, 'cgroup.procs'), `${child.pid}\n`);
    return systemd;
  } catch (error) {
    await systemd[Symbol.asyncDispose]();
    throw error;
  }
}

/** The words of busctl for a call of systemd's Manager. */
export function manager(...words: readonly string[]): string[] {
  const name = 'org.freedesktop.systemd1';
  return ['--', 'call', name, '/org/freedesktop/systemd1', `${name}.Manager`, ...words];
}

function outside(cgroup: string, script: string): string {
  return `set -eu
mkdir ${cgroup}
echo $$ >${cgroup}/cgroup.procs
exec unshare --pid --fork --mount --uts --ipc --cgroup --mount-proc sh ${script}
`;
}

const inside = `set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 tmpfs /run
mount -t tmpfs -o mode=755 tmpfs /etc/systemd/system
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
units=/run/test-units
mkdir -p /run/lock /run/dbus $units
printf '[Unit]\\nRequires=dbus.socket dbus.service\\nAfter=dbus.socket dbus.service\\n' >$units/basic.target
for each in sysinit shutdown umount final sockets local-fs; do
  printf '[Unit]\\nDefaultDependencies=no\\n' >$units/$each.target
done
printf '[Unit]\\nDefaultDependencies=no\\n[Socket]\\nListenStream=/run/dbus/system_bus_socket\\n' >$units/dbus.socket
cat >$units/dbus.service <<'END'
[Unit]
DefaultDependencies=no
[Service]
ExecStart=/usr/bin/dbus-daemon --system --address=systemd: --nofork --nopidfile --systemd-activation
END
export container=other SYSTEMD_UNIT_PATH=/run/systemd/system.control:/run/systemd/transient:/etc/systemd/system:/run/systemd/system:$units
exec ${daemon} --system --unit=basic.target --log-target=console --log-level=warning --show-status=no
`;

/** The one child of a process that has one: what unshare forked. */
function childOf(pid: number): number | undefined {
  try {
    const word = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')[0] ?? '';
    return word === '' ? undefined : Number(word);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function mountOfV2(): string | undefined {
  return / (\S+) \S+ - cgroup2 /.exec(readFileSync('/proc/self/mountinfo', 'utf8'))?.[1];
}

/** Whether it is gone. A cgroup goes by rmdir, once it is empty. */
function removeTree(path: string): boolean {
  try {
    for (const each of readdirSync(path, { withFileTypes: true }))
      if (each.isDirectory()) removeTree(join(path, each.name));
    rmdirSync(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    if (code === 'EBUSY') return false;
    throw error;
  }
}
