import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeSpace } from './node-space.ts';
import { childrenOf, signal } from './processes.ts';
import { until } from './run.ts';

/** A running containerd inside a node space. */
export interface Daemon {
  /** Its pid outside. */
  readonly pid: number;
  /** False from the moment it exits. */
  isRunning(): boolean;
  /** Sends a signal and waits for the exit. */
  end(name: 'SIGTERM' | 'SIGKILL'): Promise<void>;
  /** Resolves when it exits. */
  readonly exited: Promise<void>;
  /** What it wrote to its log since its start. */
  log(): Promise<string>;
}

/** Starts `program` with `config` inside `space`; its log goes to `logFile`, behind what is there. */
export async function startDaemon(
  space: NodeSpace,
  program: string,
  config: string,
  options: { logFile: string; env: NodeJS.ProcessEnv },
): Promise<Daemon> {
  const before = (await readFile(options.logFile).catch(() => Buffer.alloc(0))).length;
  const [nsenter = '', ...prefix] = space.enter;
  const log = openSync(options.logFile, 'a');
  let child: ChildProcess;
  try {
    child = spawn(nsenter, [...prefix, program, '-c', config], {
      stdio: ['ignore', log, log],
      env: options.env,
      detached: true,
    });
  } finally {
    closeSync(log);
  }
  const exited = once(child, 'exit').then(() => undefined);
  const isRunning = () => child.exitCode === null && child.signalCode === null;
  // nsenter forks, since only a child enters a PID namespace.
  const pid = await until('containerd starts', 10_000, async () => {
    if (!isRunning()) return 0;
    return (await childrenOf(child.pid ?? 0))[0];
  });
  return {
    pid,
    isRunning,
    exited,
    async end(name) {
      if (isRunning()) signal(pid, name);
      const timer = setTimeout(() => signal(pid, 'SIGKILL'), 10_000);
      await exited;
      clearTimeout(timer);
    },
    log: async () => (await readFile(options.logFile)).subarray(before).toString('utf8'),
  };
}

/** The last fatal line of a log, without its date; the last line where none is. */
export function lastFatal(log: string): string {
  const lines = log.split('\n').filter(Boolean);
  const line = lines.findLast((each) => each.includes('level=fatal')) ?? lines.at(-1) ?? '';
  return line.replace(/^time="[^"]*" /, '');
}

/** A folder of the rig as the daemon's environment needs it: the shim and runc are found by PATH. */
export function daemonEnvironment(bin: string, marker: Readonly<Record<string, string>>): NodeJS.ProcessEnv {
  return { PATH: [bin, '/usr/sbin', '/usr/bin', '/sbin', '/bin'].join(':'), HOME: '/root', TMPDIR: '/tmp', ...marker };
}

/** Where the parts of a rig lie below its folder. */
export function layout(home: string) {
  return {
    root: join(home, 'root'),
    state: '/run/containerd',
    socket: join(home, 'c.sock'),
    config: join(home, 'config.toml'),
    recordsConfig: join(home, 'config-records.toml'),
    log: join(home, 'containerd.log'),
    cni: join(home, 'cni'),
    opt: join(home, 'opt'),
  };
}
