import type { CsiDriver, RegistrationSocket, VolumeAttachment } from '../model/csi.ts';
import type { Pod } from '../model/node.ts';
import type { Observed } from '../model/observed.ts';

/** What healing does to CSI and reads of it: sockets of this node, and objects of the Kubernetes API. */
export interface StorageWorld {
  /** The driver behind a socket, asked now; undefined where there is no socket. */
  readDriver(socket: string): Promise<CsiDriver | undefined>;
  /** A registration socket as it is now, with its owner; undefined where there is none. */
  readRegistration(path: string): Promise<RegistrationSocket | undefined>;
  /**
   * Removes a socket if it is still this file, still refuses and no process has it bound, all looked at immediately
   * before, in the open folder and without following a link. `changed`: it is not so any more.
   */
  unlinkSocket(path: string, file: { device: string; inode: string }): Promise<'removed' | 'gone' | 'changed'>;
  /** A pod as the API has it now; undefined where it is gone. */
  readPodObject(namespace: string, name: string): Promise<PodObject | undefined>;
  /** Whether a container's last words tell of its socket; undefined where it left none, or nobody can read them. */
  tellsOfSocket(pod: Pod, container: string): Promise<boolean | undefined>;
  /** Deletes exactly this state of this pod: ERR_KUBE_CONFLICT where it is another by now. */
  deletePod(namespace: string, name: string, of: Version): Promise<void>;
  /** This node as the API has it now; undefined where there is no such node. */
  readNodeObject(): Promise<NodeObject | undefined>;
  /** undefined where it is gone. */
  readAttachment(name: string): Promise<AttachmentObject | undefined>;
  /** What the nodes of the cluster say of a volume (`kubernetes.io/csi/DRIVER^HANDLE`), by one list of all of them. */
  readVolumeUse(uniqueName: string): Promise<VolumeUse>;
  /** Whether the volume is mounted on this node, by the kernel's own list of mounts; true where that cannot be read. */
  isMounted(of: AttachmentObject): Promise<boolean>;
  deleteAttachment(name: string, of: Version): Promise<void>;
  /** Argo CD's Applications; undefined where the cluster has none. */
  applications(): Promise<Observed<Applications> | undefined>;
}

export interface Version {
  readonly uid: string;
  readonly resourceVersion: string;
}

export interface PodObject {
  readonly pod: Pod;
  readonly resourceVersion: string;
}

export interface NodeObject {
  readonly deleting: boolean;
}

/** Which nodes have a volume in their status. */
export interface VolumeUse {
  /** Whether this node is among those that were listed. */
  readonly knowsThisNode: boolean;
  /** By `volumesInUse`: kubelet mounts it, or means to. */
  readonly inUseOn: readonly string[];
  /** By `volumesAttached`: the controller takes it for attached there. */
  readonly attachedTo: readonly string[];
}

export interface AttachmentObject {
  readonly attachment: VolumeAttachment;
  readonly resourceVersion: string;
  /** The volume's id at its backend; undefined where its PersistentVolume does not say. */
  readonly handle: string | undefined;
}

export interface Applications {
  readonly total: number;
  /** Those that are not both Synced and Healthy. */
  readonly red: readonly Application[];
}

export interface Application {
  readonly namespace: string;
  readonly name: string;
  readonly sync: string;
  readonly health: string;
  /** The namespace that it is made in; empty where it does not say. */
  readonly destination: string;
  /** What it is made of, as `namespace/name`, of whatever kind. */
  readonly resources: readonly string[];
}
