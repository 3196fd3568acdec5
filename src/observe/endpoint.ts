import { stat } from 'node:fs/promises';
import * as net from 'node:net';
import { socketPath } from '../cri/connect.ts';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { EndpointInfo } from '../model/node.ts';
import { safeText } from '../model/safe-text.ts';
import { isErrno, readText } from './read-file.ts';

/** The sockets that are tried where nothing names one, in this order. */
export const knownSockets = [
  { path: '/run/containerd/containerd.sock', of: 'containerd' },
  { path: '/run/k3s/containerd/containerd.sock', of: 'k3s, RKE2' },
  { path: '/run/k0s/containerd.sock', of: 'k0s' },
  { path: '/var/snap/microk8s/common/run/containerd.sock', of: 'MicroK8s' },
  { path: '/run/crio/crio.sock', of: 'CRI-O' },
] as const;

/** The configuration files of crictl that are read before that, in this order. */
export const crictlFiles = [
  '/etc/crictl.yaml',
  '/var/lib/rancher/k3s/agent/etc/crictl.yaml',
  '/var/lib/rancher/rke2/agent/etc/crictl.yaml',
] as const;

export interface EndpointOptions {
  /** The value of `--runtime-endpoint`. */
  readonly flag?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A prefix of every path, for tests. */
  readonly root?: string;
}

/**
 * Which socket to talk to: the flag, `CONTAINER_RUNTIME_ENDPOINT`, the crictl files, the known sockets.
 * What names a socket wins even where that socket is dead; of the known sockets the first live one is taken (one that
 * accepts connections) and the other live ones are in `others`; is none live, the first that is there.
 * Throws ERR_SOCKET_MISSING with what was tried, ERR_CONFIG for a broken file, ERR_USAGE for an endpoint that is none.
 */
export async function findEndpoint(options: EndpointOptions = {}): Promise<EndpointInfo> {
  const { flag, env = {}, root = '' } = options;
  const named = await namedEndpoint(flag, env, root);
  if (named) {
    checkEndpoint(named.endpoint, named.from);
    return { ...named, others: [] };
  }
  const states = await Promise.all(
    knownSockets.map(async ({ path }) => ({ path: `${root}${path}`, state: await socketState(`${root}${path}`) })),
  );
  const live = states.filter((each) => each.state === 'live');
  const chosen = live[0] ?? states.find((each) => each.state === 'there');
  if (!chosen) {
    const tried = knownSockets.map(({ path, of }) => `${path} (${of})`).join(', ');
    throw new SandwardenError(
      'ERR_SOCKET_MISSING',
      `no container runtime was found: none of its known sockets is there`,
      {
        hint: `Start the runtime, or name its socket with --runtime-endpoint. Tried: ${tried}.`,
      },
    );
  }
  return {
    endpoint: `unix://${chosen.path}`,
    from: 'known socket',
    others: live.slice(1).map((each) => `unix://${each.path}`),
  };
}

/** The runtime-endpoint in a crictl.yaml, or undefined where it names none. Throws ERR_CONFIG with file and line. */
export async function parseCrictlYaml(text: string, file: string): Promise<string | undefined> {
  const { LineCounter, parseDocument } = await import('yaml');
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, prettyErrors: false, logLevel: 'silent' });
  const [problem] = document.errors;
  if (problem) {
    const { line } = lineCounter.linePos(problem.pos[0]);
    throw configError(file, line, problem.message);
  }
  // No alias is followed: a few lines of YAML can name gigabytes with them.
  const value: unknown = document.get('runtime-endpoint');
  if (value === undefined || value === null || value === '') return undefined;
  if (typeof value === 'string') return value;
  throw configError(file, 1, 'runtime-endpoint is no text');
}

async function namedEndpoint(
  flag: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  root: string,
): Promise<{ endpoint: string; from: string } | undefined> {
  if (flag !== undefined) return { endpoint: flag, from: '--runtime-endpoint' };
  const variable = env.CONTAINER_RUNTIME_ENDPOINT;
  if (variable) return { endpoint: variable, from: 'CONTAINER_RUNTIME_ENDPOINT' };
  for (const path of crictlFiles) {
    const text = await readConfig(`${root}${path}`);
    const endpoint = text === undefined ? undefined : await parseCrictlYaml(text, path);
    if (endpoint !== undefined) return { endpoint, from: path };
  }
  return undefined;
}

async function readConfig(path: string): Promise<string | undefined> {
  try {
    return await readText(path, limits.configBytes);
  } catch (error) {
    // k3s keeps its files from everybody but root; then the known sockets decide, and are forbidden too.
    if (error instanceof SandwardenError && error.code === 'ERR_FORBIDDEN') return undefined;
    if (error instanceof SandwardenError) throw configError(path, 1, error.message);
    throw error;
  }
}

function checkEndpoint(endpoint: string, from: string): void {
  try {
    socketPath(endpoint);
  } catch (error) {
    if (!(error instanceof SandwardenError)) throw error;
    const code = from.startsWith('/') ? 'ERR_CONFIG' : 'ERR_USAGE';
    throw new SandwardenError(code, `${from}: ${error.message}`, { hint: error.hint, cause: error });
  }
}

/** `there`: a socket that does not accept us, be it dead or forbidden. */
async function socketState(path: string): Promise<'live' | 'there' | 'none'> {
  try {
    if (!(await stat(path)).isSocket()) return 'none';
  } catch (error) {
    if (!isErrno(error)) throw error;
    return error.code === 'EACCES' ? 'there' : 'none';
  }
  return new Promise((resolve) => {
    const socket = net.connect(path);
    const end = (state: 'live' | 'there') => {
      clearTimeout(timer);
      socket.destroy();
      resolve(state);
    };
    const timer = setTimeout(() => end('there'), limits.connectTimeoutMs);
    socket.once('connect', () => end('live'));
    socket.once('error', () => end('there'));
  });
}

function configError(file: string, line: number, why: string): SandwardenError {
  return new SandwardenError(
    'ERR_CONFIG',
    `${safeText(file, 300)}:${line}: ${safeText(why.split('\n')[0] ?? '', 300)}`,
    {
      hint: 'Mend the file, or name the socket with --runtime-endpoint.',
    },
  );
}
