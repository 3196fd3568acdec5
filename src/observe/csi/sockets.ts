import { unlink } from 'node:fs/promises';
import type { CsiDriver, RegistrationSocket } from '../../model/csi.ts';
import { limits } from '../../model/limits.ts';
import { listProcesses } from '../proc.ts';
import { isErrno } from '../read-file.ts';
import { askDriver, knock } from './csi.ts';
import { openSocketFolder, type SocketFile, socketAt } from './folders.ts';
import { ownersOf } from './owners.ts';

/** The driver behind one socket, asked now; undefined where there is none. */
export async function readDriver(path: string, root = ''): Promise<CsiDriver | undefined> {
  const file = await socketAt(path, root);
  return file && (await askDriver(file, root, limits.csiProbeTimeoutMs));
}

/** A registration socket as it is now and who has it bound; undefined where there is none. */
export async function readRegistration(path: string, root = ''): Promise<RegistrationSocket | undefined> {
  const file = await socketAt(path, root);
  if (file === undefined) return undefined;
  const socket = await knock(file, root, limits.csiProbeTimeoutMs);
  if (socket.state !== 'refuses') return socket;
  const [owner] = await ownersOf([file], await listProcesses(root), root);
  return { ...socket, ...owner };
}

/**
 * Removes a socket file if it is still this file, refuses connections and is bound by nobody: all looked at in its open
 * folder immediately before. `changed`: one of these is not so any more, and nothing was removed. Throws an error of
 * the system call where it may not be removed.
 */
export async function unlinkDeadSocket(
  path: string,
  of: Pick<SocketFile, 'device' | 'inode'>,
  root = '',
): Promise<'removed' | 'gone' | 'changed'> {
  try {
    const now = await readRegistration(path, root);
    if (now === undefined) return 'gone';
    if (!isSame(now, of) || now.state !== 'refuses' || now.owned !== false) return 'changed';
    // The scan of the processes took a while: once more in the folder that the file will be removed from.
    await using folder = await openSocketFolder(path, root);
    const last = await socketAt(folder.path, '');
    if (last === undefined) return 'gone';
    const answer = await knock(now, root, limits.csiProbeTimeoutMs);
    if (!isSame(last, of) || answer.state !== 'refuses') return 'changed';
    await unlink(folder.path);
    return 'removed';
  } catch (error) {
    if (isErrno(error) && error.code === 'ENOENT') return 'gone';
    throw error;
  }
}

function isSame(a: Pick<SocketFile, 'device' | 'inode'>, b: Pick<SocketFile, 'device' | 'inode'>): boolean {
  return a.device === b.device && a.inode === b.inode;
}
