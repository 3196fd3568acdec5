import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { identify, isAlive, signal } from './processes.ts';
import { until } from './run.ts';

/**
 * A small "machine": a PID and mount namespace whose first process holds it. /run is its own tmpfs and
 * /var/lib/cni its own folder, so that containerd keeps its defaults and nothing of it is seen outside.
 * Killing the first process is the power cut: the kernel kills all at once (containerd, shims, pause processes,
 * CNI plugins), and with the last of them go the mounts, the network namespaces and /run.
 * It also dies with the process that made it (PR_SET_PDEATHSIG), whatever kills that.
 */
export interface NodeSpace {
  /** The first process, by its pid outside. */
  readonly pid: number;
  /** The command line prefix that starts a program inside. */
  readonly enter: readonly string[];
  /** SIGKILL to everything inside; resolves when all is gone. */
  kill(): Promise<void>;
}

/** Starts one. `home` is a folder of the rig; `marker` goes into the environment of all that runs inside. */
export async function startNodeSpace(home: string, env: NodeJS.ProcessEnv): Promise<NodeSpace> {
  const child = spawn(
    'setpriv',
    [
      ...['--pdeathsig', 'KILL', 'unshare', '--mount', '--pid', '--fork', '--kill-child=KILL'],
      ...['--propagation', 'private', 'sh', '-c', firstProcess, 'sandwarden-lab', home],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'], env, detached: true },
  );
  const pid = await readPid(child);
  const who = await identify(pid);
  const closed = once(child, 'close');
  return {
    pid,
    enter: ['nsenter', '--target', String(pid), '--mount', '--pid', '--'],
    async kill() {
      signal(pid, 'SIGKILL');
      await closed;
      if (who) await until('the namespace ends', 5_000, async () => ((await isAlive(who)) ? undefined : true));
    },
  };
}

// The pid outside is only to be seen in the old /proc. resolv.conf may point into /run, which is hidden here, and
// containerd copies it for every sandbox. `wait` reaps what the daemon leaves to the first process.
const firstProcess = `
set -e
home=$1
read -r pid rest </proc/self/stat
mount -t proc proc /proc
cat /etc/resolv.conf >"$home/resolv.conf" 2>/dev/null || true
mount -t tmpfs -o mode=755 tmpfs /run
resolv=$(readlink -f /etc/resolv.conf)
case "$resolv" in /run/*) mkdir -p "\${resolv%/*}"; cp "$home/resolv.conf" "$resolv" ;; esac
mkdir -p "$home/lib/cni" /run/netns
mount --bind "$home/lib" /var/lib
echo "$pid"
exec >/dev/null
while :; do sleep 100000 & wait; done
`;

async function readPid(child: ChildProcess): Promise<number> {
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout?.setEncoding('utf8');
  const answer = await Promise.race([
    child.stdout ? once(child.stdout, 'data').then(([text]) => String(text)) : '',
    once(child, 'close').then(() => ''),
    once(child, 'error').then(([error]) => {
      stderr += String(error);
      return '';
    }),
  ]);
  const pid = Number(answer.trim());
  if (!Number.isInteger(pid) || pid <= 0) throw new Error(`no namespace for the laboratory: ${stderr.trim()}`);
  return pid;
}
