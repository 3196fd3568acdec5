import { readdir, readlink } from 'node:fs/promises';
import { SandwardenError } from '../model/errors.ts';
import type { HolderProcess, ProcessFacts } from '../model/node.ts';
import type { Observed } from '../model/observed.ts';
import { inParallel } from './pool.ts';
import type { ProcessStat } from './proc.ts';
import { isErrno, readProc } from './read-file.ts';
import { observed } from './unknown.ts';

const RUNTIME_COMMS = ['containerd', 'crio', 'k3s-server', 'k3s-agent', 'k3s', 'rke2', 'k0s', 'kubelite'];

/**
 * The runtime behind the socket and the processes that may hold a reservation in it: CNI plugins it started and what
 * they left behind, runc, shims. Of an environment only CNI_COMMAND, CNI_CONTAINERID and K8S_POD_* of CNI_ARGS are
 * kept.
 */
export function observeProcesses(
  processes: Observed<readonly ProcessStat[]>,
  socket: string | undefined,
  root = '',
): Promise<Observed<ProcessFacts>> {
  return observed(async () => {
    if (!processes.known) throw new SandwardenError('ERR_NOT_SUPPORTED', processes.message, { hint: processes.hint });
    const runtime = await findRuntime(processes.value, socket, root);
    const tools = processes.value.flatMap((each): HolderProcess[] => {
      const role = roleOf(each.comm);
      return role ? [holder(each, role)] : [];
    });
    const plugins = runtime ? await findPlugins(processes.value, runtime, root) : [];
    return {
      ...(runtime ? { runtimePid: runtime.pid, runtimeStartedUptimeNs: runtime.startedUptimeNs } : {}),
      holders: [...plugins, ...tools].sort((a, b) => a.pid - b.pid),
    };
  });
}

/** The listening socket's inode in /proc/net/unix: Num RefCount Protocol Flags Type St Inode Path. */
export function listeningInode(unix: string, path: string): string | undefined {
  for (const line of unix.split('\n')) {
    const found = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d{1,20}) (.*)$/.exec(line);
    // __SO_ACCEPTCON
    if (found?.[3] === path && (Number.parseInt(found[1] ?? '0', 16) & 0x1_0000) !== 0) return found[2];
  }
  return undefined;
}

/** What of a process's environment says which CNI call it makes; undefined where it makes none. */
export function cniFacts(environ: string): Pick<HolderProcess, 'cniCommand' | 'cniContainerId' | 'pod'> | undefined {
  const variables = new Map(
    environ.split('\0').map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)]),
  );
  const cniCommand = variables.get('CNI_COMMAND')?.slice(0, 16);
  if (!cniCommand) return undefined;
  const cniContainerId = variables.get('CNI_CONTAINERID')?.slice(0, 128);
  const args = new Map(
    (variables.get('CNI_ARGS') ?? '')
      .slice(0, 4_096)
      .split(';')
      .map((each) => [each.slice(0, each.indexOf('=')), each.slice(each.indexOf('=') + 1)]),
  );
  const [namespace, name] = [args.get('K8S_POD_NAMESPACE'), args.get('K8S_POD_NAME')];
  return {
    cniCommand,
    ...(cniContainerId ? { cniContainerId } : {}),
    ...(namespace && name ? { pod: { namespace: namespace.slice(0, 253), name: name.slice(0, 253) } } : {}),
  };
}

async function findRuntime(
  processes: readonly ProcessStat[],
  socket: string | undefined,
  root: string,
): Promise<ProcessStat | undefined> {
  const candidates = RUNTIME_COMMS.flatMap((comm) => processes.filter((each) => each.comm === comm));
  const inode =
    socket === undefined
      ? undefined
      : listeningInode((await readProc(`${root}/proc/net/unix`, 4 * 1024 * 1024)) ?? '', socket);
  if (inode !== undefined) {
    for (const each of candidates) if (await holdsSocket(each.pid, inode, root)) return each;
    // Somebody else serves it: a runtime of another name, or one in another namespace. A guess would blame the wrong
    // one.
    return undefined;
  }
  return candidates.length === 1 ? candidates[0] : undefined;
}

async function holdsSocket(pid: number, inode: string, root: string): Promise<boolean> {
  try {
    const fds = await readdir(`${root}/proc/${pid}/fd`);
    const links = await inParallel(fds, 8, (fd) => readlink(`${root}/proc/${pid}/fd/${fd}`).catch(goneLink));
    return links.includes(`socket:[${inode}]`);
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}

function goneLink(error: unknown): string {
  if (isErrno(error)) return '';
  throw error;
}

/**
 * Descendants of the runtime that run a CNI plugin, and orphans of such: a child that outlives its plugin holds the
 * plugin's output open, and the runtime waits for it; its parent is then pid 1.
 */
async function findPlugins(
  processes: readonly ProcessStat[],
  runtime: ProcessStat,
  root: string,
): Promise<HolderProcess[]> {
  const children = Map.groupBy(processes, (each) => each.ppid);
  const candidates: ProcessStat[] = (children.get(1) ?? []).filter(
    (each) => each.startedUptimeNs >= runtime.startedUptimeNs,
  );
  const queue = [...(children.get(runtime.pid) ?? [])];
  const seen = new Set([runtime.pid]);
  for (let each = queue.shift(); each; each = queue.shift()) {
    if (seen.has(each.pid) || roleOf(each.comm) === 'shim') continue;
    seen.add(each.pid);
    candidates.push(each);
    queue.push(...(children.get(each.pid) ?? []));
  }
  const plugins = [...new Set(candidates)].filter(
    (each) => roleOf(each.comm) === undefined && each.state !== 'Z' && each.pid !== runtime.pid,
  );
  const found = await inParallel(plugins, 8, async (each): Promise<HolderProcess[]> => {
    const facts = cniFacts((await readProc(`${root}/proc/${each.pid}/environ`, 128 * 1024)) ?? '');
    return facts ? [{ ...holder(each, 'cni'), ...facts }] : [];
  });
  return found.flat();
}

function roleOf(comm: string): 'shim' | 'runc' | undefined {
  if (comm.startsWith('containerd-shim')) return 'shim';
  return comm === 'runc' || comm.startsWith('runc:[') || comm === 'crun' ? 'runc' : undefined;
}

function holder(of: ProcessStat, role: HolderProcess['role']): HolderProcess {
  const { pid, ppid, comm, state, startedUptimeNs } = of;
  return { pid, ppid, comm, role, state, startedUptimeNs };
}
