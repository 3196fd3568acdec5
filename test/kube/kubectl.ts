import { spawn, spawnSync } from 'node:child_process';
import { tempDir } from '../helpers/temp.ts';

/** Which kubectl the tests drive: that of the variable KUBECTL, else that on the PATH. */
const program = process.env.KUBECTL ?? 'kubectl';

/** Its version (`1.32`), undefined where there is none. */
export const kubectlVersion = (() => {
  const { status, stdout } = spawnSync(program, ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
  if (status !== 0) return undefined;
  const { clientVersion } = JSON.parse(stdout) as { clientVersion: { major: string; minor: string } };
  return `${clientVersion.major}.${clientVersion.minor.replace(/\D/g, '')}`;
})();

/** Whether kubectl is at least this minor version of 1. */
export function isKubectl(minor: number): boolean {
  return kubectlVersion !== undefined && Number(kubectlVersion.split('.')[1]) >= minor;
}

export interface Said {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs kubectl against a server, with nothing of this user's configuration. Killed after 30 s. */
export function kubectl(server: string, ...args: string[]): Promise<Said> {
  return runKubectl(['--server', server, ...args]);
}

/** Runs kubectl with a home of its own. */
export async function runKubectl(args: readonly string[], more: NodeJS.ProcessEnv = {}): Promise<Said> {
  await using home = await tempDir();
  const env = { PATH: process.env.PATH, HOME: home.path, ...more };
  const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'], timeout: 30_000 });
  const said = { stdout: '', stderr: '' };
  for (const stream of ['stdout', 'stderr'] as const) {
    child[stream].setEncoding('utf8').on('data', (text: string) => {
      said[stream] += text;
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { code, ...said };
}
