import { stat } from 'node:fs/promises';
import * as net from 'node:net';
import { connectCri, socketPath } from '../cri/connect.ts';
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
 * What names a socket wins even where that socket is dead. Of the known sockets the first live one is taken (one that
 * accepts connections) and the other live ones are in `others`; is none live, the first that is there. Only where
 * several live are they asked for their Version, in their order, until one may be a CRI runtime: Docker's containerd
 * serves none.
 * Throws ERR_SOCKET_MISSING with what was tried, ERR_SOCKET_NOT_CRI where none of several is one, ERR_CONFIG for a
 * broken file, ERR_USAGE for an endpoint that is none.
 */
export async function findEndpoint(options: EndpointOptions = {}): Promise<EndpointInfo> {
  const { flag, env = {}, root = '' } = options;
  const named = await namedEndpoint(flag, env, root);
  if (named) {
    checkEndpoint(named.endpoint, named.from);
    return { ...named, others: [] };
  }
  const states = await Promise.all(knownSockets.map(({ path }) => socketState(`${root}${path}`)));
  const live = unique(states.filter((each) => each.state === 'live')).map((each) => `unix://${each.path}`);
  const there = states.filter((each) => each.state === 'there').map((each) => `unix://${each.path}`);
  const chosen = live.length > 1 ? await chooseLive(live, there) : { endpoint: live[0] ?? there[0], others: [] };
  const { endpoint } = chosen;
  if (endpoint === undefined) {
    const tried = knownSockets.map(({ path, of }) => `${path} (${of})`).join(', ');
    throw new SandwardenError(
      'ERR_SOCKET_MISSING',
      `no container runtime was found: none of its known sockets is there`,
      {
        hint: `Start the runtime, or name its socket with --runtime-endpoint. Tried: ${tried}.`,
      },
    );
  }
  return { ...chosen, endpoint, from: 'known socket' };
}

/** The first of several live sockets that is not known to speak something else than CRI. */
async function chooseLive(live: readonly string[], dead: readonly string[]): Promise<Omit<EndpointInfo, 'from'>> {
  const passedOver: { endpoint: string; why: string }[] = [];
  for (const [index, endpoint] of live.entries()) {
    const notCri = await whyNotCri(endpoint);
    if (notCri === undefined) {
      return { endpoint, others: live.slice(index + 1), ...(passedOver.length > 0 ? { passedOver } : {}) };
    }
    passedOver.push({ endpoint, why: notCri });
  }
  const down = dead.length === 0 ? '' : ` Of ${dead.join(', ')} only the socket is there, which does not accept.`;
  throw new SandwardenError(
    'ERR_SOCKET_NOT_CRI',
    `none of the known sockets that are live speaks CRI: ${passedOver.map((each) => each.why).join('; ')}`,
    { hint: `Start the runtime, or name its socket with --runtime-endpoint.${down}` },
  );
}

/** What showed that it does not speak CRI; undefined where it does, or where it may (it hangs, it fails). */
async function whyNotCri(endpoint: string): Promise<string | undefined> {
  const cri = connectCri(endpoint, { readTimeoutMs: limits.endpointProbeTimeoutMs });
  try {
    await cri.version();
    return undefined;
  } catch (error) {
    if (!(error instanceof SandwardenError)) throw error;
    return error.code === 'ERR_SOCKET_NOT_CRI' ? error.message : undefined;
  } finally {
    cri.close();
  }
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

interface SocketState {
  readonly path: string;
  /** `there`: a socket that does not accept us, be it dead or forbidden. */
  readonly state: 'live' | 'there' | 'none';
  /** The same for every path that leads to one socket. */
  readonly inode?: string;
}

/** Without those that are another path of an earlier one: a link at containerd's own path is common with k3s. */
function unique(states: readonly SocketState[]): SocketState[] {
  return states.filter(({ inode }, index) => states.findIndex((each) => each.inode === inode) === index);
}

async function socketState(path: string): Promise<SocketState> {
  let inode: string;
  try {
    const found = await stat(path);
    if (!found.isSocket()) return { path, state: 'none' };
    inode = `${found.dev}:${found.ino}`;
  } catch (error) {
    if (!isErrno(error)) throw error;
    return { path, state: error.code === 'EACCES' ? 'there' : 'none' };
  }
  return new Promise((resolve) => {
    const socket = net.connect(path);
    const end = (state: 'live' | 'there') => {
      clearTimeout(timer);
      socket.destroy();
      resolve({ path, state, inode });
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
