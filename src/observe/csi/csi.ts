import * as net from 'node:net';
import { askCsiDriver, stateOfError } from '../../cri/csi.ts';
import {
  type CsiDriver,
  type CsiFacts,
  folderOf,
  otherPluginFolder,
  type PluginSocket,
  pluginFolder,
  type RegistrationSocket,
  registryFolder,
} from '../../model/csi.ts';
import { limits } from '../../model/limits.ts';
import type { KubeletFacts } from '../../model/node.ts';
import { type Observed, valueOr } from '../../model/observed.ts';
import { inParallel } from '../pool.ts';
import type { ProcessStat } from '../proc.ts';
import { isErrno } from '../read-file.ts';
import { observed } from '../unknown.ts';
import { kubeletRootCandidates, openSocketFolder, type SocketFile, socketsIn } from './folders.ts';
import { ownersOf } from './owners.ts';

export interface CsiOptions {
  readonly kubelet: Observed<KubeletFacts>;
  readonly processes: Observed<readonly ProcessStat[]>;
  /** A prefix of every path, for tests. */
  readonly root?: string;
  readonly timeoutMs?: number;
}

/**
 * The CSI drivers and registration sockets of this node, found through kubelet's plugin folders and asked (drivers:
 * GetPluginInfo and Probe; registrations: a connection). It costs at most `limits.csiProbeTimeoutMs` for each eight
 * sockets. ERR_FORBIDDEN: kubelet's folders may not be looked into.
 */
export function observeCsi(options: CsiOptions): Promise<Observed<CsiFacts>> {
  return observed(async () => {
    const { root = '', timeoutMs = limits.csiProbeTimeoutMs } = options;
    const kubelet = valueOr(options.kubelet, undefined);
    const processes = valueOr(options.processes, []);
    const kubeletDirs = await kubeletRootCandidates(kubelet?.pid, root);
    const plugins = await allSockets(kubeletDirs, [pluginFolder, otherPluginFolder], root);
    const registry = await allSockets(kubeletDirs, [registryFolder], root);
    const [drivers, registrations] = await Promise.all([
      inParallel(plugins.files, limits.csiProbesInFlight, (file) => askDriver(file, root, timeoutMs)),
      inParallel(registry.files, limits.csiProbesInFlight, (file) => knock(file, root, timeoutMs)),
    ]);
    const dead = [...drivers, ...registrations].filter((each) => each.state === 'refuses');
    const owners = await ownersOf(dead, processes, root);
    const withOwner = <T extends PluginSocket>(each: T): T => {
      const at = dead.findIndex((other) => other.path === each.path);
      return at === -1 ? each : { ...each, ...owners[at] };
    };
    return {
      kubeletDirs: kubeletDirs.filter((dir) => [...plugins.files, ...registry.files].some((f) => isIn(f.path, dir))),
      drivers: drivers.map(withOwner),
      registrations: registrations.map(withOwner),
      truncated: plugins.truncated || registry.truncated,
    };
  });
}

/** One driver's socket, asked now. Its state says what came of it. */
export async function askDriver(file: SocketFile, root: string, timeoutMs: number): Promise<CsiDriver> {
  const answer = await atSocket(file, root, (path) => askCsiDriver(path, timeoutMs));
  const { state, says, version } = 'name' in answer ? answer : { ...answer, version: undefined };
  const named = 'name' in answer && answer.name !== undefined && answer.name !== '' ? answer.name : undefined;
  const folder = folderOf(file.path);
  return {
    ...file,
    name: named ?? folder.slice(folder.lastIndexOf('/') + 1),
    nameFrom: named === undefined ? 'folder' : 'GetPluginInfo',
    ...(version === undefined ? {} : { version }),
    state,
    says,
  };
}

/** Connects to a registration socket and hangs up. */
export async function knock(file: SocketFile, root: string, timeoutMs: number): Promise<RegistrationSocket> {
  const { state, says } = await atSocket(file, root, (path) => connectOnce(path, timeoutMs));
  if (state === 'ready') return { ...file, state: 'accepts', says };
  const plain = state === 'not-ready' || state === 'fails' ? 'accepts' : state;
  return { ...file, state: plain, says };
}

async function atSocket<T>(file: SocketFile, root: string, ask: (path: string) => Promise<T>) {
  try {
    await using folder = await openSocketFolder(file.path, root);
    return await ask(folder.path);
  } catch (error) {
    if (isErrno(error)) return stateOfError(error, 0);
    throw error;
  }
}

function connectOnce(path: string, timeoutMs: number): Promise<ReturnType<typeof stateOfError>> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    const timer = setTimeout(
      () => end(() => resolve({ state: 'hangs', says: `no answer within ${timeoutMs} ms` })),
      timeoutMs,
    );
    const end = (settle: () => void) => {
      clearTimeout(timer);
      socket.destroy();
      settle();
    };
    socket.once('connect', () => end(() => resolve({ state: 'ready', says: '' })));
    socket.once('error', (error) =>
      end(() => {
        try {
          resolve(stateOfError(error, timeoutMs));
        } catch (unexpected) {
          reject(unexpected);
        }
      }),
    );
  });
}

async function allSockets(dirs: readonly string[], names: readonly string[], root: string) {
  const folders = dirs.flatMap((dir) => names.map((name) => `${dir}/${name}`));
  const found = (await inParallel(folders, 1, (folder) => socketsIn(folder, root))).flat();
  // One folder may be reached by two names: an older k3s links one to the other.
  const once = [...new Map(found.map((each) => [`${each.device}:${each.inode}`, each])).values()];
  return { files: once.slice(0, limits.csiSockets), truncated: once.length > limits.csiSockets };
}

function isIn(path: string, dir: string): boolean {
  return path.startsWith(`${dir}/`);
}
