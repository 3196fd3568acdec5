import { readdir } from 'node:fs/promises';
import { SandwardenError } from '../../model/errors.ts';
import { isErrno, readTail } from '../read-file.ts';

/** Of which container the last words are asked. */
export interface ContainerOfPod {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  readonly container: string;
}

/**
 * Whether the newest log of a container tells of a socket or a connection, as a CSI sidecar does that ends for want of
 * its driver. Undefined where there is no log or nothing in it. Nothing of the log is kept.
 * Source: kubelet pkg/kubelet/kuberuntime/helpers.go BuildContainerLogsDirectory: NAMESPACE_NAME_UID/CONTAINER/N.log.
 */
export async function tellsOfSocket(of: ContainerOfPod, root = ''): Promise<boolean | undefined> {
  const parts = [of.namespace, of.name, of.uid, of.container];
  // Names of the API; whatever they are, they name no other folder.
  if (parts.some((each) => each === '' || !/^[\w.-]+$/.test(each) || each.startsWith('.'))) return undefined;
  const folder = `${root}/var/log/pods/${of.namespace}_${of.name}_${of.uid}/${of.container}`;
  for (const file of await logsIn(folder)) {
    const text = await tailOf(`${folder}/${file}`);
    if (text !== '') return ofSockets.test(text);
  }
  return undefined;
}

// csi-lib-utils connection.go ("Lost connection to", "Still connecting to"), grpc-go's dial errors, errno's words.
const ofSockets =
  /\.sock\b|unix:\/\/|connect(?:ing|ion|ed)?\b|\bdial\b|CSI driver|[Dd]eadline ?[Ee]xceeded|Unavailable/;

/** The two newest: the one of now may be empty. */
async function logsIn(folder: string): Promise<string[]> {
  try {
    const numbered = (await readdir(folder)).filter((name) => /^\d{1,9}\.log$/.test(name));
    return numbered.sort((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10)).slice(0, 2);
  } catch (error) {
    if (isErrno(error)) return [];
    throw error;
  }
}

async function tailOf(path: string): Promise<string> {
  try {
    return (await readTail(path, 16 * 1024))?.bytes.toString('utf8').trim() ?? '';
  } catch (error) {
    if (error instanceof SandwardenError) return '';
    throw error;
  }
}
