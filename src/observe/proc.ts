import { readFileSync } from 'node:fs';
import { readdir, readlink, stat } from 'node:fs/promises';
import type { Clock } from '../model/clock.ts';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { KubeletFacts, NodeFacts } from '../model/node.ts';
import type { Observed } from '../model/observed.ts';
import { type Run, run } from './child.ts';
import { plainBootId } from './log-line.ts';
import { isErrno, readProc } from './read-file.ts';
import { observed } from './unknown.ts';

/** A process as /proc/PID/stat tells. */
export interface ProcessStat {
  readonly pid: number;
  readonly ppid: number;
  readonly comm: string;
  readonly state: string;
  readonly startedUptimeNs: bigint;
}

// proc(5): starttime in clock ticks; USER_HZ is 100 on every architecture Kubernetes runs on (getconf CLK_TCK).
const TICK_NS = 10_000_000n;

/** One /proc/PID/stat, or undefined where it is none. The name may hold spaces and brackets: the last one ends it. */
export function parseStat(text: string): ProcessStat | undefined {
  const [open, close] = [text.indexOf('('), text.lastIndexOf(')')];
  if (open < 1 || close < open) return undefined;
  const pid = Number(text.slice(0, open));
  const rest = text.slice(close + 2).split(' ');
  const [state = '', ppid = ''] = rest;
  const ticks = rest[19] ?? '';
  if (!Number.isSafeInteger(pid) || pid <= 0 || !/^\d{1,10}$/.test(ppid) || !/^\d{1,18}$/.test(ticks)) return undefined;
  const comm = text.slice(open + 1, close);
  return { pid, ppid: Number(ppid), comm, state: state.slice(0, 1), startedUptimeNs: BigInt(ticks) * TICK_NS };
}

/** Every process that is there; those that vanish meanwhile are not. */
export async function listProcesses(root = ''): Promise<ProcessStat[]> {
  let names: string[];
  try {
    names = await readdir(`${root}/proc`);
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw new SandwardenError('ERR_NOT_SUPPORTED', `/proc cannot be read: ${error.message}`, {
      hint: 'Run it on the node itself, with /proc mounted.',
      cause: error,
    });
  }
  const pids = names.filter((name) => /^\d{1,10}$/.test(name));
  return pids.flatMap((pid) => readStat(`${root}/proc/${pid}/stat`) ?? []);
}

/**
 * A process, or undefined where it is gone. At once: the kernel answers from memory in 20 µs, and by the threads of
 * libuv's pool it takes six times as long.
 */
export function readStat(path: string): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(path, 'utf8'));
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}

/** The machine and its two clocks. */
export function observeNode(clock: Clock, root = ''): Promise<Observed<NodeFacts>> {
  return observed(async () => {
    const [hostname, kernel, bootId] = await Promise.all(
      ['hostname', 'osrelease', 'random/boot_id'].map((name) => readProc(`${root}/proc/sys/kernel/${name}`)),
    );
    const plain = plainBootId(bootId);
    if (plain === undefined) {
      throw new SandwardenError('ERR_NOT_SUPPORTED', 'the kernel does not tell the id of this boot', {
        hint: 'Run it on the node itself, with /proc mounted.',
      });
    }
    return {
      hostname: hostname?.trim() ?? '',
      kernel: kernel?.trim() ?? '',
      arch: architectures.get(process.arch) ?? process.arch,
      bootId: plain,
      wallNs: clock.wallNs(),
      uptimeNs: clock.uptimeNs(),
    };
  });
}

/** As Kubernetes (and Go) writes them. */
const architectures: ReadonlyMap<string, string> = new Map([
  ['x64', 'amd64'],
  ['ia32', '386'],
]);

/** The names of processes that are or contain kubelet, the surest first: some are also names of command line tools. */
export const kubeletComms = ['kubelet', 'kubelite', 'k3s-server', 'k3s-agent', 'rke2', 'k0s', 'k3s'] as const;

/**
 * The process that is kubelet. `running` is false only where all processes of the machine could be seen:
 * in another pid namespace than the first the answer is unknown.
 */
export function findKubelet(processes: Observed<readonly ProcessStat[]>, root = ''): Promise<Observed<KubeletFacts>> {
  return observed(async () => {
    if (!processes.known) throw new SandwardenError('ERR_NOT_SUPPORTED', processes.message, { hint: processes.hint });
    for (const comm of kubeletComms) {
      const [oldest] = processes.value
        .filter((each) => each.comm === comm && each.state !== 'Z')
        .sort((a, b) => Number(a.startedUptimeNs - b.startedUptimeNs));
      if (oldest) return { running: true, pid: oldest.pid, comm, startedUptimeNs: oldest.startedUptimeNs };
    }
    if (await seesAllProcesses(root)) return { running: false };
    throw new SandwardenError(
      'ERR_NOT_SUPPORTED',
      'no kubelet is among the processes, but not all of them can be seen',
      {
        hint: 'Run it on the node itself, or in a pod with hostPID.',
      },
    );
  });
}

/**
 * The version by the process's own binary (`kubelet --version`), through /proc/PID/exe. It is run only if it is root's,
 * nobody else may write it, and the process lives in the file system of pid 1: what a container brings is never run.
 */
export async function kubeletVersionOfBinary(
  kubelet: KubeletFacts,
  root = '',
  runner: Run = run,
): Promise<{ version: string; versionFrom: string } | undefined> {
  if (kubelet.pid === undefined || kubelet.comm === 'kubelite') return undefined;
  const of = (pid: number | string, name: string) => `${root}/proc/${pid}/${name}`;
  try {
    const [mine, first, exe] = await Promise.all([
      readlink(of(kubelet.pid, 'ns/mnt')),
      readlink(of(1, 'ns/mnt')),
      stat(of(kubelet.pid, 'exe')),
    ]);
    if (mine !== first || exe.uid !== 0 || (exe.mode & 0o022) !== 0) return undefined;
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
  const answer = await observed(() =>
    runner([of(kubelet.pid ?? 0, 'exe'), '--version'], {
      timeoutMs: limits.versionTimeoutMs,
      maxBytes: limits.journalLineBytes,
    }),
  );
  const version = answer.known ? versionIn(answer.value.stdout) : undefined;
  return version === undefined ? undefined : { version, versionFrom: `${kubelet.comm} --version` };
}

/** `Kubernetes v1.34.9`, `k3s version v1.31.6+k3s1 (6ab750f9)`. */
export function versionIn(text: string): string | undefined {
  return /(?:^|\s)(v\d{1,4}\.\d{1,4}[\w.+-]{0,60})/.exec(text.slice(0, 4_000))?.[1];
}

// include/linux/proc_ns.h: PROC_PID_INIT_INO.
const FIRST_PID_NAMESPACE = 'pid:[4026531836]';

async function seesAllProcesses(root: string): Promise<boolean> {
  try {
    return (await readlink(`${root}/proc/self/ns/pid`)) === FIRST_PID_NAMESPACE;
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}
