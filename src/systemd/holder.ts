import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, open } from 'node:fs/promises';
import { SandwardenError } from '../model/errors.ts';

/**
 * The one process of an anchor: `sleep`, of coreutils or of busybox, which every host has. It wakes once in 68 years;
 * `infinity` would be clearer, and old versions of busybox do not know it.
 */
export async function holderCommand(root = ''): Promise<readonly [string, ...string[]]> {
  for (const path of ['/usr/bin/sleep', '/bin/sleep', '/run/current-system/sw/bin/sleep']) {
    if (await isProgram(`${root}${path}`)) return [path, '2147483647'];
  }
  throw new SandwardenError('ERR_COMMAND_MISSING', 'there is no sleep on this machine: an anchor needs a process', {
    hint: 'Install coreutils or busybox.',
  });
}

/** A process that outlives this one. */
export interface Holder {
  readonly pid: number;
  kill(): void;
}

/** Starts the process in a session of its own, with no environment and no files of ours. Throws ERR_COMMAND_FAILED. */
export async function startHolder([program, ...args]: readonly [string, ...string[]]): Promise<Holder> {
  const child = spawn(program, args, { cwd: '/', env: {}, detached: true, stdio: 'ignore' });
  await started(child, program);
  const { pid } = child;
  if (pid === undefined) throw new Error('a process that was started has no pid');
  child.unref();
  await spareFromOom(pid);
  return { pid, kill: () => void child.kill('SIGKILL') };
}

/** Resolves when the program runs. Throws ERR_COMMAND_FAILED. */
export function started(child: ChildProcess, program: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once('spawn', resolve);
    child.once('error', (error) => {
      reject(
        new SandwardenError('ERR_COMMAND_FAILED', `cannot run ${program}: ${error.message}`, {
          hint: 'Run it as root.',
          cause: error,
        }),
      );
    });
  });
}

// kubelet gives pause containers -998 (pkg/kubelet/qos/policy.go): what holds a pod goes last.
const SPARED = '-998';

/** In a pod at its memory limit the kernel would gain nothing from killing it. A container may not say so: no harm. */
export async function spareFromOom(pid: number): Promise<void> {
  try {
    await using file = await open(`/proc/${pid}/oom_score_adj`, constants.O_WRONLY);
    await file.write(SPARED);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EACCES' && code !== 'EPERM' && code !== 'ENOENT') throw error;
  }
}

async function isProgram(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch (error) {
    if (typeof (error as NodeJS.ErrnoException).code === 'string') return false;
    throw error;
  }
}
