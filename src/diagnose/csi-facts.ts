import type { CsiDriver, RegistrationSocket, SocketState, VolumeAttachment } from '../model/csi.ts';
import { driverOfRegistration, folderOf, pluginFolder } from '../model/csi.ts';
import { limits } from '../model/limits.ts';
import type { NodeFacts, Pod, PodContainer } from '../model/node.ts';
import { valueOr } from '../model/observed.ts';
import type { RegistrationFailed, Span, VolumeFailed } from '../model/records.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { agoNs, isCurrent } from './time.ts';

/** One CSI driver of this node, recognised by what it is: a socket in kubelet's plugin folders, and who mounts it. */
export interface DriverView {
  /** By GetPluginInfo; else by CSINode where only one can be meant; else the name of its folder. */
  readonly name: string;
  readonly folder: string;
  /** Where its socket is, or would be. */
  readonly socket: string;
  readonly state: SocketState;
  readonly says: string;
  readonly driver: CsiDriver | undefined;
  readonly registration: RegistrationSocket | undefined;
  /** Whether the node's CSINode has it; undefined where that is not known. */
  readonly registered: boolean | undefined;
  /** The pods that serve the socket: they mount its folder, and register it or mount volumes for others. */
  readonly plugins: readonly Pod[];
  /** The other pods that mount the folder: attacher, provisioner, resizer, snapshotter … */
  readonly sidecars: readonly Pod[];
  readonly attachments: readonly VolumeAttachment[];
  /** What kubelet says of a driver that nothing of this node serves; absent where something may. */
  readonly unserved?: VolumeFailed;
  /** A driver that answers and that kubelet has not registered, with what its log says of that, where it does. */
  readonly unregistered?: { readonly failed?: Span & { readonly error: string } };
}

/**
 * The drivers of a snapshot, by name. What nobody mounts, registers or listens on is no driver but a leftover, unless
 * kubelet says that a pod waits for it.
 */
export function driversOf(snapshot: Snapshot): DriverView[] {
  const missed = notFoundByKubelet(snapshot);
  const served = driversOfFolders(snapshot).map((each) => withRegistration(each, missed, snapshot));
  return [...served, ...unservedDrivers(snapshot, missed, served)].sort((a, b) => {
    return a.name < b.name ? -1 : a.name > b.name ? 1 : a.folder < b.folder ? -1 : 1;
  });
}

function driversOfFolders(snapshot: Snapshot): DriverView[] {
  const csi = snapshot.csi === undefined ? undefined : valueOr(snapshot.csi, undefined);
  if (csi === undefined) return [];
  const pods = valueOr(snapshot.pods, []).filter((each) => each.phase !== 'Succeeded' && each.phase !== 'Failed');
  const registered = snapshot.csiNode === undefined ? undefined : valueOr(snapshot.csiNode, undefined);
  const attachments = snapshot.volumes === undefined ? [] : (valueOr(snapshot.volumes, undefined)?.attachments ?? []);
  // A folder holds other sockets too (reg.sock, one of a controller): the last one that is set counts.
  const byFolder = new Map([...csi.drivers].sort(asDriver).map((each) => [folderOf(each.path), each]));
  const folders = new Set([...byFolder.keys(), ...pods.flatMap(driverFoldersOf)]);
  const named = new Set(csi.drivers.filter((each) => each.nameFrom === 'GetPluginInfo').map((each) => each.name));
  const unnamed = [...folders].filter((folder) => byFolder.get(folder)?.nameFrom !== 'GetPluginInfo');
  const free = (registered ?? []).filter((each) => !named.has(each) && !unnamed.some((f) => lastOf(f) === each));
  // A folder that has the name of a registered driver is of that one.
  const foreign = unnamed.filter((folder) => registered?.includes(lastOf(folder)) !== true);
  return [...folders].map((folder): DriverView => {
    const driver = byFolder.get(folder);
    const only = foreign.length === 1 && foreign[0] === folder && free.length === 1 ? free[0] : undefined;
    const name = only ?? driver?.name ?? lastOf(folder);
    const mounting = pods.filter((pod) => driverFoldersOf(pod).includes(folder));
    return {
      name,
      folder,
      socket: driver?.path ?? `${folder}/csi.sock`,
      state: driver?.state ?? 'missing',
      says: driver?.says ?? 'ENOENT',
      driver,
      registration: csi.registrations.find((each) => driverOfRegistration(each.path) === name),
      registered: registered?.includes(name),
      plugins: mounting.filter(servesSocket),
      sidecars: mounting.filter((pod) => !servesSocket(pod)),
      attachments: attachments.filter((each) => each.driver === name),
    };
  });
}

/**
 * The drivers that nothing of this node serves although a pod waits for them. That CSINode lists a driver is no reason
 * to expect one: it keeps those whose registrar was killed or that were removed while the node was off (kubernetes
 * issue 94388, node-driver-registrar issue 83). Only kubelet's own word is: it does not find the driver (csi_client.go
 * newCsiDriverClient), and for longer than the next pod of a DaemonSet takes to be made.
 */
function unservedDrivers(
  snapshot: Snapshot,
  missed: readonly VolumeFailed[],
  served: readonly DriverView[],
): DriverView[] {
  const csi = snapshot.csi === undefined ? undefined : valueOr(snapshot.csi, undefined);
  if (csi === undefined || csi.truncated || missed.length === 0 || mayServeElsewhere(snapshot, served)) return [];
  const attachments = snapshot.volumes === undefined ? [] : (valueOr(snapshot.volumes, undefined)?.attachments ?? []);
  const registered = snapshot.csiNode === undefined ? undefined : valueOr(snapshot.csiNode, undefined);
  // A registrar names its socket after its driver; one that is called otherwise may be of any.
  const isHeard = (name: string) =>
    csi.registrations.some(({ path, state }) => {
      return state !== 'refuses' && (driverOfRegistration(path) === name || !path.endsWith('-reg.sock'));
    });
  return [...Map.groupBy(missed, (each) => each.driver)].flatMap(([name, [unserved]]): DriverView[] => {
    if (unserved === undefined || served.some((each) => each.name === name) || isHeard(name)) return [];
    const folder = `${csi.kubeletDirs[0] ?? '/var/lib/kubelet'}/${pluginFolder}/${name}`;
    return [
      {
        name,
        folder,
        socket: `${folder}/csi.sock`,
        state: 'missing',
        says: 'ENOENT',
        driver: undefined,
        registration: csi.registrations.find((each) => driverOfRegistration(each.path) === name),
        registered: registered?.includes(name),
        plugins: [],
        sidecars: [],
        attachments: attachments.filter((each) => each.driver === name),
        unserved,
      },
    ];
  });
}

/**
 * Kubelet asks a new registration socket within a second, and one that fails again after 2 min 2 s at the latest: where
 * it does not have a driver that answers, either nobody registers it or its registration fails. That is told by its own
 * word of this very socket, by a volume that it could not mount since, or by CSINode, which it writes as it registers.
 * A registration socket that is dead is SW304's.
 */
function withRegistration(view: DriverView, missed: readonly VolumeFailed[], snapshot: Snapshot): DriverView {
  const csi = snapshot.csi === undefined ? undefined : valueOr(snapshot.csi, undefined);
  const node = valueOr(snapshot.node, undefined);
  if (csi === undefined || csi.truncated || node === undefined) return view;
  if (view.state !== 'ready' || view.driver?.nameFrom !== 'GetPluginInfo') return view;
  const own = csi.registrations.filter(({ path }) => {
    return driverOfRegistration(path) === view.name || !path.endsWith('-reg.sock');
  });
  if (own.some(({ state }) => state !== 'accepts')) return view;
  const refused = view.registered === true ? undefined : failedRegistration(own, snapshot, node);
  if (refused !== undefined) return { ...view, unregistered: { failed: refused } };
  const isOld = (nowNs: bigint, since: readonly { madeAtNs: bigint }[]) =>
    since.every(({ madeAtNs }) => nowNs - madeAtNs >= BigInt(limits.csiUnservedForMs) * 1_000_000n);
  const failed = missed.find((each) => each.driver === view.name);
  if (failed !== undefined && isOld(failed.last.wallNs, own)) return { ...view, unregistered: { failed } };
  const isOffered = view.plugins.some((pod) => (pod.containers ?? []).some(registersPlugins));
  const isUnlisted = view.registered === false && isOffered && isOld(node.wallNs, [...own, view.driver]);
  return isUnlisted ? { ...view, unregistered: failed === undefined ? {} : { failed } } : view;
}

/** That kubelet has tried one of these very sockets and failed. */
function failedRegistration(
  own: readonly RegistrationSocket[],
  snapshot: Snapshot,
  node: NodeFacts,
): RegistrationFailed | undefined {
  const failed = valueOr(snapshot.kubeletLog, undefined)?.registrationFailed ?? [];
  return failed.find(({ socket, last }) => {
    const tried = own.find((each) => each.path === socket);
    return tried !== undefined && last.wallNs >= tried.madeAtNs && isCurrent(last, node, limits.errorCurrentForMs);
  });
}

/** What kubelet says now of drivers that it does not find, of pods that wait still; the longest first. */
function notFoundByKubelet(snapshot: Snapshot): VolumeFailed[] {
  const node = valueOr(snapshot.node, undefined);
  const failed = valueOr(snapshot.kubeletLog, undefined)?.volumeFailed ?? [];
  if (node === undefined || failed.length === 0) return [];
  const ready = new Set(valueOr(snapshot.sandboxes, []).flatMap((each) => (each.state === 'ready' ? each.uid : [])));
  const waiting = new Set(waitingForVolumes(snapshot, (pod) => ready.has(pod.uid)).map((each) => each.uid));
  const forNs = ({ first }: VolumeFailed) => agoNs(first, node) ?? 0n;
  return failed
    .filter(({ error, podUid }) => waiting.has(podUid) && /not found in the list of registered CSI drivers/.test(error))
    .filter((each) => isCurrent(each.last, node, limits.errorCurrentForMs))
    .filter((each) => forNs(each) >= BigInt(limits.csiUnservedForMs) * 1_000_000n)
    .sort((a, b) => (forNs(a) > forNs(b) ? -1 : 1));
}

/**
 * Whether something of this node may serve a driver whose name is not known: a folder that is in use and says no name,
 * a pod that registers plugins and keeps its socket outside of kubelet's plugin folders.
 */
function mayServeElsewhere(snapshot: Snapshot, served: readonly DriverView[]): boolean {
  const isNameless = ({ driver, registered, plugins, sidecars, state }: DriverView) =>
    driver?.nameFrom !== 'GetPluginInfo' &&
    registered !== true &&
    (plugins.length + sidecars.length > 0 || (state !== 'refuses' && state !== 'missing'));
  const hasOtherFolder = (pod: Pod) =>
    driverFoldersOf(pod).length === 0 &&
    (pod.containers ?? []).some((each) => {
      return registersPlugins(each) || (each.mountsForOthers === true && (each.kubeletPaths ?? []).length > 0);
    });
  return served.some(isNameless) || valueOr(snapshot.pods, []).some(hasOtherFolder);
}

/** The driver's own socket last: the one that says GetPluginInfo, then `csi.sock`, then one that is ready. */
function asDriver(a: CsiDriver, b: CsiDriver): number {
  const rank = ({ nameFrom, path, state }: CsiDriver) =>
    (nameFrom === 'GetPluginInfo' ? 4 : 0) + (lastOf(path) === 'csi.sock' ? 2 : 0) + (state === 'ready' ? 1 : 0);
  return rank(a) - rank(b);
}

/** Whether anybody here wants the driver. Without the API nobody can say: undefined. */
export function isInUse(driver: DriverView, snapshot: Snapshot): boolean | undefined {
  if (driver.plugins.length + driver.sidecars.length > 0 || driver.registered === true) return true;
  if (driver.attachments.length > 0 || driver.unserved !== undefined) return true;
  return snapshot.pods.known ? false : undefined;
}

/** The folders of drivers that a pod mounts: `/var/lib/kubelet/plugins/driver.longhorn.io`. */
function driverFoldersOf(pod: Pod): string[] {
  const paths = (pod.containers ?? []).flatMap((each) => each.kubeletPaths ?? []);
  return [...new Set(paths.filter(isDriverFolder))];
}

function isDriverFolder(path: string): boolean {
  return /\/(?:csi-)?plugins\/[^/]+$/.test(path) && !path.endsWith('/plugins/kubernetes.io');
}

function servesSocket(pod: Pod): boolean {
  const containers = pod.containers ?? [];
  return containers.some((each) => each.mountsForOthers === true || registersPlugins(each));
}

/** Whether a container offers kubelet a driver: it mounts the folder of registration sockets. */
export function registersPlugins(container: PodContainer): boolean {
  return (container.kubeletPaths ?? []).some((path) => path.endsWith('/plugins_registry'));
}

/** The container that is the driver itself: it mounts volumes for others, or is the only one that is no helper. */
export function isDriverContainer(container: PodContainer, pod: Pod): boolean {
  if (!servesSocket(pod)) return false;
  if (container.mountsForOthers === true) return true;
  const others = pod.containers ?? [];
  if (others.some((each) => each.mountsForOthers === true)) return false;
  return (
    !registersPlugins(container) &&
    !/registrar|liveness|attacher|provisioner|resizer|snapshotter|health/.test(container.name)
  );
}

/** A container of a pod that waits in back-off, and what that says of its driver's socket. */
export interface BackedOff {
  readonly driver: DriverView;
  readonly pod: Pod;
  readonly container: PodContainer;
  /**
   * `socket-down`: it ended for want of the socket, as far as one can tell, and the socket is still dead.
   * `gone`: the socket came after it had ended. `own`: it has a reason of its own. `unknown`: no date can tell.
   */
  readonly cause: 'socket-down' | 'gone' | 'own' | 'unknown';
  readonly why: string;
  /** How long kubelet still waits, milliseconds; undefined where it does not say. */
  readonly remainingMs: number | undefined;
}

type Now = Pick<NodeFacts, 'wallNs'>;

/** The containers in CrashLoopBackOff that mount a driver's folder, each with what its crash has to do with it. */
export function backedOff(drivers: readonly DriverView[], node: Now | undefined): BackedOff[] {
  return drivers.flatMap((driver) =>
    [...driver.plugins, ...driver.sidecars]
      .filter((pod) => !pod.deleting)
      .flatMap((pod) =>
        (pod.containers ?? [])
          .filter((each) => each.state === 'waiting' && each.reason === 'CrashLoopBackOff')
          .filter((each) => (each.kubeletPaths ?? []).includes(driver.folder))
          .map((container) => {
            const remainingMs = remainingOf(container, node);
            return { driver, pod, container, ...causeOf(driver, pod, container, node), remainingMs };
          }),
      ),
  );
}

const ownReasons = ['OOMKilled', 'ContainerCannotRun', 'StartError', 'Completed', 'Evicted'];

function causeOf(driver: DriverView, pod: Pod, container: PodContainer, node: Now | undefined) {
  const say = (cause: BackedOff['cause'], why: string) => ({ cause, why });
  const exit = container.lastExit;
  if (isDriverContainer(container, pod)) return say('own', 'it is the driver itself: its own log says why it ends');
  if (exit !== undefined && (ownReasons.includes(exit.reason) || exit.exitCode === 0)) {
    return say(
      'own',
      `it ended with ${exit.reason || 'no reason'} (exit code ${exit.exitCode}), not for want of the socket`,
    );
  }
  if (driver.state !== 'ready') return say('socket-down', `the socket of ${driver.name} does not answer yet`);
  const finished = exit?.finishedAtNs;
  if (finished === undefined || driver.driver === undefined || node === undefined) {
    return say('unknown', 'nothing tells when it ended the last time');
  }
  const slack = BigInt(limits.csiCrashSlackMs) * 1_000_000n;
  if (finished > node.wallNs + slack || driver.driver.madeAtNs > node.wallNs + slack) {
    return say('unknown', 'its last end or the socket is dated after now: the clock was turned, and no date can tell');
  }
  // The API rounds down to whole seconds, the file's date is exact.
  return finished <= driver.driver.madeAtNs + slack
    ? say('gone', 'it ended before the socket was there, and has not been started since')
    : say('own', 'it ended again while the socket answered: it has another reason');
}

/** `back-off 5m0s restarting failed container=…`, counted from its end (kuberuntime_manager.go doBackOff). */
function remainingOf(container: PodContainer, node: Now | undefined): number | undefined {
  const [, hours, minutes, seconds] =
    /back-off (?:(\d+)h)?(?:(\d+)m)?(?:(\d+)(?:\.\d+)?s)? restarting/.exec(container.message ?? '') ?? [];
  const finished = container.lastExit?.finishedAtNs;
  if ((minutes ?? seconds ?? hours) === undefined || finished === undefined || node === undefined) return undefined;
  const delayMs = (Number(hours ?? 0) * 3_600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0)) * 1_000;
  const left = delayMs - Number((node.wallNs - finished) / 1_000_000n);
  return left >= 0 && left <= delayMs ? left : undefined;
}

/** A VolumeAttachment that has been stuck for `forNs` by the API server's own clock. */
export interface StuckAttachment {
  readonly attachment: VolumeAttachment;
  readonly how: 'attaching' | 'deleting';
  readonly forNs: bigint;
}

/** What waits longer than `limits.attachmentStuckMs`; nothing where the API server's clock is not known. */
export function stuckAttachments(snapshot: Snapshot): StuckAttachment[] {
  const volumes = snapshot.volumes === undefined ? undefined : valueOr(snapshot.volumes, undefined);
  const now = volumes?.asOfNs;
  if (volumes === undefined || now === undefined) return [];
  return volumes.attachments.flatMap((attachment): StuckAttachment[] => {
    const { deletingSinceNs, createdAtNs, attached } = attachment;
    const how = deletingSinceNs === undefined ? 'attaching' : 'deleting';
    if (how === 'attaching' && attached) return [];
    const forNs = now - (deletingSinceNs ?? createdAtNs);
    return forNs > BigInt(limits.attachmentStuckMs) * 1_000_000n ? [{ attachment, how, forNs }] : [];
  });
}

/**
 * Why a VolumeAttachment of a node that lives stays, by the object alone; undefined where its attach never succeeded.
 * external-attacher sets `attached` with the first success and drops it with the object only, and clears `attachError`.
 */
export function whyAttachmentStays({ attached, deletingSinceNs, attachError }: VolumeAttachment): string | undefined {
  if (deletingSinceNs !== undefined) {
    return 'it is being deleted already: what is left is its finalizer, which is the attacher’s and stays';
  }
  if (attached)
    return 'it is attached: after a reboot of the same node it is valid, and deleting it takes the disk away';
  return attachError === undefined
    ? 'its attacher has not tried and failed: it goes on by itself once the driver is well'
    : undefined;
}

/** The pods of this node that have volumes of CSI and whose containers were never begun in this attempt. */
export function waitingForVolumes(snapshot: Snapshot, runs: (pod: Pod) => boolean): Pod[] {
  return valueOr(snapshot.pods, []).filter((pod) => {
    if (!hasVolumes(pod) || pod.deleting || runs(pod)) return false;
    const containers = pod.containers ?? [];
    if (pod.phase === 'Succeeded' || pod.phase === 'Failed' || containers.length === 0) return false;
    // kubelet waits for the volumes before it makes the sandbox (kubelet.go SyncPod: WaitForAttachAndMount).
    return containers.every((each) => each.state !== 'running' && isNotBegun(each));
  });
}

/** Whether a pod has volumes that may be of CSI: a claim does not tell. */
export function hasVolumes({ claims = [], inlineDrivers = [] }: Pod): boolean {
  return claims.length + inlineDrivers.length > 0;
}

/**
 * After a reboot a container is told as the runtime knows it still, as one that ended for no known reason
 * (convertToAPIContainerStatuses; containerd's recovery), until its pod has a new sandbox.
 */
function isNotBegun({ state, reason }: PodContainer): boolean {
  if (state === 'terminated' && (reason === 'Unknown' || reason === 'ContainerStatusUnknown')) return true;
  return state === 'unknown' || reason === 'ContainerCreating' || reason === 'PodInitializing';
}

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
