/** The nouns of CSI on one node: sockets and what they answer, volumes and what the cluster says of them. */

/** What became of a question to a socket. `ready`, `not-ready`: Probe was answered. The rest: why it was not. */
export const socketStates = [
  'ready',
  'not-ready',
  'hangs',
  'refuses',
  'missing',
  'fails',
  'forbidden',
  'not-socket',
] as const;
export type SocketState = (typeof socketStates)[number];

/** A process that has a socket open. */
export interface SocketOwner {
  readonly pid: number;
  readonly comm: string;
  readonly startedUptimeNs: bigint;
}

/** A unix socket in one of kubelet's plugin folders. */
export interface PluginSocket {
  /** On the node itself. */
  readonly path: string;
  /** Its folder and inode: another file of the same name is another socket. */
  readonly device: string;
  readonly inode: string;
  /** When the file was made, by the wall clock of that moment, nanoseconds. */
  readonly madeAtNs: bigint;
  /** Whether a process has it open; looked for only where it refuses, absent where nobody can say. */
  readonly owned?: boolean;
  readonly owner?: SocketOwner;
}

/** The socket of a CSI driver in `plugins/`, asked for its name and its health. */
export interface CsiDriver extends PluginSocket {
  /** By GetPluginInfo, or else the name of its folder. */
  readonly name: string;
  readonly nameFrom: 'GetPluginInfo' | 'folder';
  readonly version?: string;
  readonly state: SocketState;
  /** The errno or the words of the answer; empty for `ready`. */
  readonly says: string;
}

/**
 * A socket in `plugins_registry/`, where kubelet looks for plugins. It is only connected to: GetInfo would make
 * node-driver-registrar believe that kubelet had registered it (registration_server.go touches its probe file).
 */
export interface RegistrationSocket extends PluginSocket {
  readonly state: 'accepts' | 'hangs' | 'refuses' | 'missing' | 'forbidden' | 'not-socket';
  readonly says: string;
}

/** What kubelet's plugin folders hold. */
export interface CsiFacts {
  /** kubelet's root folders that were looked into, e.g. `/var/lib/kubelet`. */
  readonly kubeletDirs: readonly string[];
  readonly drivers: readonly CsiDriver[];
  readonly registrations: readonly RegistrationSocket[];
  /** More sockets were there than are looked at. */
  readonly truncated: boolean;
}

/** Why an attach or a detach failed, by the API; its date is the cluster's. */
export interface VolumeError {
  readonly message: string;
  readonly atNs?: bigint;
}

/** A VolumeAttachment of this node. Dates are the API server's. */
export interface VolumeAttachment {
  readonly name: string;
  readonly uid: string;
  readonly driver: string;
  /** The PersistentVolume's name, where it has one. */
  readonly volume?: string;
  readonly attached: boolean;
  readonly createdAtNs: bigint;
  readonly deletingSinceNs?: bigint;
  readonly attachError?: VolumeError;
  readonly detachError?: VolumeError;
}

/** What the cluster says about this node's volumes. */
export interface VolumeFacts {
  /** The node's name in the cluster. */
  readonly nodeName: string;
  /** The API server's own clock at its answer: only by it can the dates of its objects be judged. */
  readonly asOfNs?: bigint;
  readonly attachments: readonly VolumeAttachment[];
}

/** kubelet's folder of plugins under one of its root folders; `registryFolder`: that of registration sockets. */
export const pluginFolder = 'plugins';
/** Where some drivers keep their socket in its place: JuiceFS, Alibaba Cloud's. */
export const otherPluginFolder = 'csi-plugins';
export const registryFolder = 'plugins_registry';

/** `driver.longhorn.io` of `/var/lib/kubelet/plugins_registry/driver.longhorn.io-reg.sock`: registrars name it so. */
export function driverOfRegistration(path: string): string {
  const file = path.slice(path.lastIndexOf('/') + 1);
  return file.replace(/-reg\.sock$|\.sock$/, '');
}

/** The folder of a path: `/a/b` of `/a/b/c.sock`. */
export function folderOf(path: string): string {
  return path.slice(0, Math.max(1, path.lastIndexOf('/')));
}
