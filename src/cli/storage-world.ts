import { createHash } from 'node:crypto';
import type {
  Application,
  Applications,
  AttachmentObject,
  NodeObject,
  StorageWorld,
  VolumeUse,
} from '../heal/storage-world.ts';
import { connectKube, type KubeClient } from '../kube/client.ts';
import { KubeStatus } from '../kube/errors.ts';
import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import { known, type Observed } from '../model/observed.ts';
import { tellsOfSocket } from '../observe/csi/last-words.ts';
import { readDriver, readRegistration, unlinkDeadSocket } from '../observe/csi/sockets.ts';
import { at, listOf, member, textOf } from '../observe/json.ts';
import { type CredentialOptions, findKubeAccess } from '../observe/kube/credentials.ts';
import { nodeNameOf } from '../observe/kube/node-name.ts';
import { attachmentOf } from '../observe/kube/volumes.ts';
import { podsOfList } from '../observe/pods.ts';
import { isErrno, readProc } from '../observe/read-file.ts';
import { unknownFrom } from '../observe/unknown.ts';

export interface StorageParts extends CredentialOptions {
  readonly hostname: string;
  readonly nodeName?: string;
  /** Deadline of a read, milliseconds; `limits.kubeRequestTimeoutMs` where absent. */
  readonly timeoutMs?: number;
}

/** CSI's sockets of this node, and the Kubernetes API by the credentials that are found; it connects when asked. */
export function storageOverKube(parts: StorageParts): StorageWorld & { close(): void } {
  let connected: Promise<Connection> | undefined;
  const api = async () => {
    connected ??= connect(parts);
    const mine = connected;
    try {
      return await mine;
    } catch (error) {
      // The credentials of a node may come while it is healed: who asks next looks for them again.
      if (connected === mine) connected = undefined;
      throw error;
    }
  };
  const { root = '' } = parts;
  return {
    readDriver: (path) => readDriver(path, root),
    readRegistration: (path) => readRegistration(path, root),
    unlinkSocket: (path, file) => asFileError(path, () => unlinkDeadSocket(path, file, root)),
    readPodObject: async (namespace, name) => {
      const object = await orGone(async () => (await api()).client.get(podPath(namespace, name)));
      const [pod] = object === undefined ? [] : podsOfList({ items: [object] });
      return pod && { pod, resourceVersion: versionOf(object) };
    },
    tellsOfSocket: ({ namespace, name, uid }, container) => tellsOfSocket({ namespace, name, uid, container }, root),
    deletePod: async (namespace, name, preconditions) => {
      await (await api()).client.delete(podPath(namespace, name), { preconditions });
    },
    readNodeObject: async () => readNode(await api()),
    readAttachment: async (name) => readAttachment(await api(), name),
    readVolumeUse: async (uniqueName) => readVolumeUse(await api(), uniqueName),
    isMounted: (of) => isMounted(of, root),
    deleteAttachment: async (name, preconditions) => {
      await (await api()).client.delete(attachmentPath(name), { preconditions });
    },
    applications: async () => readApplications((await api()).client),
    close: () => {
      connected?.then(({ client }) => client.close(), ignoreRefused);
    },
  };
}

interface Connection {
  readonly client: KubeClient;
  readonly nodeName: string;
}

async function connect(parts: StorageParts): Promise<Connection> {
  const access = await findKubeAccess(parts);
  const { hostname, nodeName, timeoutMs } = parts;
  if (access) {
    const client = connectKube(access, timeoutMs === undefined ? {} : { timeoutMs });
    return { client, nodeName: nodeNameOf(access, hostname, nodeName).name };
  }
  throw new SandwardenError('ERR_NOT_SUPPORTED', 'no Kubernetes credentials were found on this node', {
    hint: 'Name a kubeconfig with --kubeconfig FILE; docs/kubernetes-access.md says what is looked for.',
  });
}

/** Nothing was connected; whoever asked was told why. */
function ignoreRefused(error: unknown): void {
  if (!(error instanceof SandwardenError)) throw error;
}

async function readNode({ client, nodeName }: Connection): Promise<NodeObject | undefined> {
  const node = await orGone(() => client.get(`/api/v1/nodes/${encodeURIComponent(nodeName)}`));
  if (node === undefined) return undefined;
  return { deleting: at(node, 'metadata', 'deletionTimestamp') !== undefined };
}

/** Of each node one's name is kept, and what its status says of this volume. */
async function readVolumeUse({ client, nodeName }: Connection, uniqueName: string): Promise<VolumeUse> {
  const nodes = await client.list('/api/v1/nodes', {
    kind: 'NodeList',
    itemsOf: (page) =>
      listOf(member(page, 'items')).map((node) => ({
        name: textOf(at(node, 'metadata', 'name'), 253) ?? '',
        inUse: listOf(at(node, 'status', 'volumesInUse')).includes(uniqueName),
        attached: listOf(at(node, 'status', 'volumesAttached')).some((each) => member(each, 'name') === uniqueName),
      })),
  });
  return {
    knowsThisNode: nodes.some((each) => each.name === nodeName),
    inUseOn: nodes.flatMap((each) => (each.inUse ? [each.name] : [])),
    attachedTo: nodes.flatMap((each) => (each.attached ? [each.name] : [])),
  };
}

async function readAttachment({ client, nodeName }: Connection, name: string): Promise<AttachmentObject | undefined> {
  const object = await orGone(() => client.get(attachmentPath(name)));
  const [attachment] = object === undefined ? [] : attachmentOf(object, nodeName);
  if (attachment === undefined) return undefined;
  const { volume } = attachment;
  const path = `/api/v1/persistentvolumes/${encodeURIComponent(volume ?? '')}`;
  const pv = volume === undefined ? undefined : await orGone(() => client.get(path));
  return {
    attachment,
    resourceVersion: versionOf(object),
    handle: textOf(at(pv, 'spec', 'csi', 'volumeHandle'), 1_000),
  };
}

/**
 * By the mounts of the first process: a pod's mount names the PersistentVolume, the global one the driver and the
 * hash of the volume's id, in older kubelets the PersistentVolume (csi_attacher.go makeDeviceMountPath).
 */
async function isMounted({ attachment, handle }: AttachmentObject, root: string): Promise<boolean> {
  const mounts = (await readProc(`${root}/proc/1/mountinfo`, 16 * 1024 * 1024)) ?? '';
  if (mounts === '') return true;
  const hash = createHash('sha256')
    .update(handle ?? '')
    .digest('hex');
  const { driver, volume } = attachment;
  return [
    `/volumes/kubernetes.io~csi/${volume}/`,
    `/plugins/kubernetes.io/csi/${driver}/${hash}/`,
    `/plugins/kubernetes.io/csi/pv/${volume}/`,
    `/volumeDevices/${volume}`,
  ].some((path) => mounts.includes(path));
}

/** Undefined where there are no Applications in this cluster (404: no such kind). */
async function readApplications(client: KubeClient): Promise<Observed<Applications> | undefined> {
  try {
    const apps = await client.list('/apis/argoproj.io/v1alpha1/applications', {
      kind: 'ApplicationList',
      itemsOf: (page) => listOf(member(page, 'items')).map(applicationOf),
    });
    return known({ total: apps.length, red: apps.flatMap((each) => each ?? []) });
  } catch (error) {
    // An API without that kind answers with a plain 404, which is no object that is missing.
    const cause = error instanceof SandwardenError ? error.cause : undefined;
    return cause instanceof KubeStatus && cause.status === 404 ? undefined : unknownFrom(error);
  }
}

/** An Application; undefined where it is green. */
function applicationOf(item: unknown): Application | undefined {
  const sync = textOf(at(item, 'status', 'sync', 'status'), 63) ?? 'Unknown';
  const health = textOf(at(item, 'status', 'health', 'status'), 63) ?? 'Unknown';
  if (sync === 'Synced' && health === 'Healthy') return undefined;
  const resources = listOf(at(item, 'status', 'resources')).flatMap((each) => {
    const [namespace, name] = [textOf(member(each, 'namespace'), 63), textOf(member(each, 'name'), 253)];
    return namespace === undefined || name === undefined ? [] : [`${namespace}/${name}`];
  });
  return {
    namespace: textOf(at(item, 'metadata', 'namespace'), 63) ?? '',
    name: textOf(at(item, 'metadata', 'name'), 253) ?? '',
    sync,
    health,
    destination: textOf(at(item, 'spec', 'destination', 'namespace'), 63) ?? '',
    resources: [...new Set(resources)],
  };
}

async function orGone(read: () => Promise<unknown>): Promise<unknown> {
  try {
    return await read();
  } catch (error) {
    if (isSandwardenError(error, 'ERR_KUBE_NOT_FOUND')) return undefined;
    throw error;
  }
}

async function asFileError<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!isErrno(error)) throw error;
    throw new SandwardenError('ERR_FILE', `${path} cannot be removed (${error.code})`, {
      hint: 'Run it as root on the node itself.',
      cause: error,
    });
  }
}

function versionOf(object: unknown): string {
  return textOf(at(object, 'metadata', 'resourceVersion'), 100) ?? '';
}

function podPath(namespace: string, name: string): string {
  return `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;
}

function attachmentPath(name: string): string {
  return `/apis/storage.k8s.io/v1/volumeattachments/${encodeURIComponent(name)}`;
}
