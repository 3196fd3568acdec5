import { constants } from 'node:fs';
import { type FileHandle, lstat, open, readdir } from 'node:fs/promises';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { safeText } from '../../model/safe-text.ts';
import { isErrno, readProc } from '../read-file.ts';

/** Where kubelets keep their folders: kubeadm, k3s and RKE2; older k3s; k0s; MicroK8s. */
const kubeletRoots = [
  '/var/lib/kubelet',
  '/var/lib/rancher/k3s/agent/kubelet',
  '/var/lib/k0s/kubelet',
  '/var/snap/microk8s/common/var/lib/kubelet',
];

/** The folders that a kubelet with this pid may have: the one its command line names, and the usual ones. */
export async function kubeletRootCandidates(pid: number | undefined, root: string): Promise<string[]> {
  const words = pid === undefined ? '' : ((await readProc(`${root}/proc/${pid}/cmdline`)) ?? '');
  // kubelet's own flag, or k3s' and RKE2's `--kubelet-arg=root-dir=…`. Nothing else of the command line is kept.
  const named = /(?:^|\0)(?:--)?(?:kubelet-arg=)?(?:--)?root-dir[=\0](\/[^\0]{1,300})(?:\0|$)/.exec(words)?.[1];
  return [...new Set([...(named === undefined ? [] : [named.replace(/\/+$/, '')]), ...kubeletRoots])];
}

/** A socket file that is there. */
export interface SocketFile {
  /** On the node itself. */
  readonly path: string;
  readonly device: string;
  readonly inode: string;
  readonly madeAtNs: bigint;
}

/**
 * The socket files in a folder and in its own folders, two levels deep, no link followed below `folder`; none where it
 * is not there. Names with a leading dot are left out, as kubelet does (pluginwatcher/plugin_watcher.go).
 */
export async function socketsIn(folder: string, root: string, depth = 2): Promise<SocketFile[]> {
  const found: SocketFile[] = [];
  const queue = [{ path: folder, depth }];
  for (let at = queue.shift(); at !== undefined && found.length <= limits.csiSockets; at = queue.shift()) {
    for (const { name, kind } of await entriesOf(`${root}${at.path}`)) {
      const path = `${at.path}/${name}`;
      // kubelet keeps the volumes it has staged in kubernetes.io.
      if (kind === 'folder' && at.depth > 1 && name !== 'kubernetes.io') queue.push({ path, depth: at.depth - 1 });
      const file = kind === 'socket' ? await socketAt(path, root) : undefined;
      if (file !== undefined) found.push(file);
    }
  }
  return found;
}

/** The socket at `path`, no link followed; undefined where there is none. */
export async function socketAt(path: string, root: string): Promise<SocketFile | undefined> {
  try {
    const { dev, ino, mtimeNs, mode } = await lstat(`${root}${path}`, { bigint: true });
    if ((mode & S_IFMT) !== S_IFSOCK) return undefined;
    return { path, device: String(dev), inode: String(ino), madeAtNs: mtimeNs };
  } catch (error) {
    if (isErrno(error)) return undefined;
    throw error;
  }
}

const S_IFMT = BigInt(constants.S_IFMT);
const S_IFSOCK = BigInt(constants.S_IFSOCK);

/** A file of an open folder: it stays in that folder whatever happens to the path, and has no limit of length. */
export interface OpenSocket extends AsyncDisposable {
  /** By the folder's descriptor: what connect(2) and unlink(2) are given. */
  readonly path: string;
}

/** Opens the folder of a socket, which must be no link itself. Throws an error of the system call. */
export async function openSocketFolder(path: string, root: string): Promise<OpenSocket> {
  const cut = path.lastIndexOf('/');
  const folder: FileHandle = await open(
    `${root}${path.slice(0, cut)}`,
    constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW,
  );
  return {
    path: `/proc/self/fd/${folder.fd}/${path.slice(cut + 1)}`,
    [Symbol.asyncDispose]: () => folder.close(),
  };
}

/** By what the folder itself says of them: to look at each could hang, where one is the root of a dead mount. */
async function entriesOf(path: string): Promise<{ name: string; kind: 'folder' | 'socket' }[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries
      .filter((each) => !each.name.startsWith('.'))
      .flatMap((each) => {
        const kind = each.isDirectory() ? 'folder' : each.isSocket() ? 'socket' : undefined;
        return kind === undefined ? [] : [{ name: each.name, kind } as const];
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    if (!isErrno(error)) throw error;
    if (error.code !== 'EACCES' && error.code !== 'EPERM') return [];
    throw new SandwardenError('ERR_FORBIDDEN', `no permission to look into '${safeText(path, 300)}'`, {
      hint: 'Run it as root (sudo sandwarden …).',
      cause: error,
    });
  }
}
