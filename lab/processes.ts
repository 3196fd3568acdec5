import { readdir, readFile } from 'node:fs/promises';
import { hasCode } from './run.ts';

/** A process of this machine: a pid alone may be another's by now. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks since boot. */
  readonly startTicks: string;
}

/** Who `pid` is now, or undefined where it is gone or a zombie. */
export async function identify(pid: number): Promise<ProcessIdentity | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(gone);
  // The name in parentheses may hold spaces and parentheses.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTicks = fields?.[19];
  return startTicks === undefined || fields?.[0] === 'Z' ? undefined : { pid, startTicks };
}

/** Whether that very process still lives. */
export async function isAlive(who: ProcessIdentity): Promise<boolean> {
  return (await identify(who.pid))?.startTicks === who.startTicks;
}

/** The pids of the direct children (needs the kernel's CONFIG_PROC_CHILDREN, which distributions set). */
export async function childrenOf(pid: number): Promise<number[]> {
  const text = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(gone)) ?? '';
  return text.split(' ').filter(Boolean).map(Number);
}

/** The pids whose environment holds `assignment` (`NAME=value`). */
export async function withEnvironment(assignment: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const environment = (await readFile(`/proc/${name}/environ`, 'utf8').catch(gone)) ?? '';
    if (environment.split('\0').includes(assignment)) found.push(Number(name));
  }
  return found;
}

/** Sends a signal; a process that is gone already is fine. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!hasCode(error, 'ESRCH')) throw error;
  }
}

function gone(error: unknown): undefined {
  if (hasCode(error, 'ENOENT', 'ESRCH', 'EACCES')) return undefined;
  throw error;
}
