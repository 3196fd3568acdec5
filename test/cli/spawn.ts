import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** A program that runs it: `sandwarden` and its arguments are put at the end. */
  readonly under?: readonly [string, ...string[]];
  /** Run as this user. */
  readonly uid?: number;
  /** Gets the process once it runs, and each piece of its stderr. */
  readonly onStderr?: (text: string, child: ChildProcess) => void;
}

const unshare = [
  'unshare',
  ...(process.geteuid?.() === 0 ? [] : ['--map-root-user']),
  '--pid',
  '--fork',
  '--mount-proc',
] as const;

/**
 * A program that runs another one with a process list of its own, so that nothing hangs on what else runs here (a
 * kubelet of another test, say); undefined where that cannot be made.
 */
export const apart: readonly [string, ...string[]] | undefined =
  spawnSync(unshare[0], [...unshare.slice(1), 'true']).status === 0 ? ['unshare', ...unshare.slice(1)] : undefined;

const main = resolve(import.meta.dirname, '../../src/main.ts');
const DEADLINE_MS = 90_000;

/**
 * Runs `sandwarden ARGS` as its own process, without a terminal, in a UTF-8 locale and nothing else of this
 * environment.
 */
export function sandwarden(args: readonly string[], options: SpawnOptions = {}): Promise<Ended> {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', TERM: 'xterm-256color', ...options.env };
  return new Promise((done, reject) => {
    const [program, ...rest] = [...(options.under ?? []), process.execPath, main, ...args];
    const child = spawn(program ?? process.execPath, rest, {
      env,
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: DEADLINE_MS,
      killSignal: 'SIGKILL',
      ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid }),
    });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
      options.onStderr?.(stderr, child);
    });
    child.once('error', reject);
    child.once('close', (code) => done({ code, stdout, stderr }));
  });
}
