import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { KubeObject } from '../../../lab/kube-api/objects.ts';
import { type KubeServer, type KubeServerOptions, kubeServer } from '../../../lab/kube-api/server.ts';
import { storageOverKube } from '../../../src/cli/storage-world.ts';
import { type EmbeddedNode, startEmbeddedNode } from '../../../src/embedded/node.ts';
import type { PodSpec } from '../../../src/embedded/pod-spec.ts';
import type { StorageWorld } from '../../../src/heal/storage-world.ts';
import type { CsiDriver, CsiFacts, RegistrationSocket } from '../../../src/model/csi.ts';
import type { KernelLog } from '../../../src/model/kernel.ts';
import { type KernelLine, KernelLogReader } from '../../../src/observe/kernel/kernel-log.ts';
import { tempDir } from '../temp.ts';
import { kubeletState } from './kubelet-state.ts';

export const driverName = 'driver.longhorn.io';
export const folder = `/var/lib/kubelet/plugins/${driverName}`;
export const socket = `${folder}/csi.sock`;
export const nodeName = 'node-1';
/** No test hangs on how fast the machine is; the deadlines of a real node are tested with an API that never answers. */
export const patienceMs = 30_000;

/** A pod of the cluster: as the embedded node runs it, and as the API has it. */
export interface ClusterPod {
  readonly spec: PodSpec;
  readonly object: Record<string, unknown>;
}

export interface ClusterOptions {
  readonly pods: readonly ClusterPod[];
  /** The claims of pods, with the volume of each. */
  readonly volumes: Readonly<Record<string, string>>;
  /** Drivers besides Longhorn, whose sockets are `csi.sock` in their folders. */
  readonly others?: readonly { readonly name: string; readonly folder: string }[];
  readonly fault?: KubeServerOptions['fault'];
  readonly allows?: KubeServerOptions['allows'];
  readonly delay?: KubeServerOptions['delay'];
}

/**
 * A node in simulated time and a real API server with what its controllers and kubelet write there: the states of pods,
 * new pods for deleted ones, volumes attached when an attacher runs, the driver registered when its registrar runs.
 */
export class CsiCluster implements AsyncDisposable {
  readonly node: EmbeddedNode;
  readonly api: KubeServer;
  readonly kubeconfig: string;
  readonly dir: string;
  /** Whether the log of a container tells of the socket; absent: it left none. */
  readonly lastWords = new Map<string, boolean>();
  /** Registration sockets of before, on which nobody listens, by path; kubelet's log says that it fails with them. */
  readonly deadRegistrations = new Map<string, RegistrationSocket>();
  /** Pods that the API deleted, oldest first. */
  readonly deleted: string[] = [];
  /** What the kernel has said; without a line its log is not there. */
  readonly kernel: KernelLine[] = [];
  #pods: ClusterPod[];
  readonly #volumes: ClusterOptions['volumes'];
  /** The driver of each socket. */
  readonly #drivers: ReadonlyMap<string, string>;
  readonly #dispose: () => Promise<void>;
  #made = 0;

  private constructor(
    node: EmbeddedNode,
    api: KubeServer,
    options: ClusterOptions,
    dir: { path: string; dispose: () => Promise<void> },
  ) {
    this.node = node;
    this.api = api;
    this.#pods = [...options.pods];
    this.#volumes = options.volumes;
    const others = (options.others ?? []).map((each) => [`${each.folder}/csi.sock`, each.name] as const);
    this.#drivers = new Map([[socket, driverName], ...others]);
    this.dir = dir.path;
    this.kubeconfig = join(dir.path, 'kubeconfig');
    this.#dispose = dir.dispose;
  }

  static async start(options: ClusterOptions): Promise<CsiCluster> {
    const dir = await tempDir();
    const cluster: { it?: CsiCluster } = {};
    const node = await startEmbeddedNode({
      flavour: '1.7',
      kubeletVersion: 'v1.34.9',
      pods: options.pods.map((each) => each.spec),
      dir: dir.path,
      time: 'simulated',
      serve: true,
      startNs: 1_795_290_000_000_000_000n,
      waitsForVolumes: (pod) => cluster.it?.whyNoVolumes(pod),
    });
    // The API server's clock is right whatever the node's says; it goes on with the node's uptime.
    const startMs = Number(node.clock.wallNs() / 1_000_000n);
    let passedMs = 0;
    let lastNs = node.clock.uptimeNs();
    const nowMs = () => {
      const nowNs = node.clock.uptimeNs();
      passedMs += Number((nowNs < lastNs ? nowNs : nowNs - lastNs) / 1_000_000n);
      lastNs = nowNs;
      return startMs + passedMs;
    };
    const api = await kubeServer({
      nowMs,
      ...(options.allows ? { allows: options.allows } : {}),
      ...(options.delay ? { delay: options.delay } : {}),
      fault: (asked, response, request) => {
        cluster.it?.publish();
        // Dates of objects are judged by this header, which Node would write by the machine's own clock.
        response.setHeader('date', new Date(nowMs()).toUTCString());
        return options.fault?.(asked, response, request) ?? false;
      },
    });
    const it = new CsiCluster(node, api, options, {
      path: dir.path,
      dispose: async () => {
        await api[Symbol.asyncDispose]();
        await node.close();
        await dir[Symbol.asyncDispose]();
      },
    });
    cluster.it = it;
    await writeFile(it.kubeconfig, kubeconfigOf(api.url));
    it.#seed();
    return it;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#dispose();
  }

  /** Adds a pod to the cluster and to the node. */
  add(pod: ClusterPod): void {
    this.#pods.push(pod);
    this.api.add(pod.object);
    this.node.setPods(this.#pods.map((each) => each.spec));
  }

  objects(resource: string): KubeObject[] {
    return this.api.store.list(this.api.resource(resource));
  }

  /** What kubelet and the controllers have written by now. */
  publish(): void {
    this.#replaceDeleted();
    const pods = this.api.resource('pods');
    for (const { spec } of this.#pods) {
      const before = this.api.store.find(pods, spec.namespace, spec.name);
      if (before === undefined) continue;
      const status = kubeletState(this.node, spec);
      if (JSON.stringify(status) === JSON.stringify(before.status)) continue;
      this.api.store.update(pods, spec.namespace, spec.name, { ...before, status });
    }
    this.#attach();
    this.#register();
  }

  /** Why kubelet waits with a pod. */
  whyNoVolumes(pod: PodSpec): string | undefined {
    const claim = Object.keys(this.#volumes).find((each) => each === `data-${pod.name}`);
    if (claim === undefined) return undefined;
    this.publish();
    if (!this.#isRegistered()) return `driver name ${driverName} not found in the list of registered CSI drivers`;
    const attached = this.objects('volumeattachments').some(
      (each) => nameOfVolume(each) === this.#volumes[claim] && isAttached(each),
    );
    return attached ? undefined : `volume attachment is not attached: ${claim}`;
  }

  /** What the embedded node's sockets are. */
  csiFacts(): CsiFacts {
    const drivers = [...this.#drivers.keys()].flatMap((path) => this.driver(path) ?? []);
    const registrations = [...this.deadRegistrations.values()];
    return { kubeletDirs: ['/var/lib/kubelet'], drivers, registrations, truncated: false };
  }

  /** A line of the kernel, at this moment. */
  kernelSays(text: string): void {
    const { clock } = this.node;
    const { bootId } = this.node.nodeFacts();
    this.kernel.push({ text, wallNs: clock.wallNs(), monotonicUs: Number(clock.uptimeNs() / 1_000n), bootId });
  }

  /** A line of kubelet about what the embedded one has not, at this moment. */
  async kubeletSays(message: string): Promise<void> {
    const { clock, kubeletLogFile } = this.node;
    const { bootId } = this.node.nodeFacts();
    const line = {
      __REALTIME_TIMESTAMP: String(clock.wallNs() / 1_000n),
      __MONOTONIC_TIMESTAMP: String(clock.uptimeNs() / 1_000n),
      _BOOT_ID: bootId,
      MESSAGE: message,
    };
    await appendFile(kubeletLogFile, `${JSON.stringify(line)}\n`);
  }

  /** What the kernel's log says. */
  kernelLog(): KernelLog {
    const reader = new KernelLogReader();
    for (const each of this.kernel) reader.add(each);
    return reader.result('kmsg', 0);
  }

  /** Puts the registration socket of the driver of before there. */
  leaveRegistration(): RegistrationSocket {
    const path = `/var/lib/kubelet/plugins_registry/${driverName}-reg.sock`;
    const at = { device: '1', inode: '9', madeAtNs: this.node.clock.wallNs() };
    const dead = { path, ...at, state: 'refuses', says: 'ECONNREFUSED', owned: false } as const;
    this.deadRegistrations.set(path, dead);
    return dead;
  }

  driver(path: string): CsiDriver | undefined {
    const file = this.node.machine.disk.sockets.get(path);
    if (file === undefined) return undefined;
    const served = this.node.machine.isServed(path);
    return {
      path,
      device: '1',
      inode: String(file.inode),
      madeAtNs: file.madeAtNs,
      name: this.#drivers.get(path) ?? driverName,
      nameFrom: served ? 'GetPluginInfo' : 'folder',
      state: served ? 'ready' : 'refuses',
      says: served ? '' : 'ECONNREFUSED',
      ...(served ? {} : { owned: false }),
    };
  }

  /** The real client of the API, and the embedded node's sockets. */
  storage(): StorageWorld & Disposable {
    const real = storageOverKube({ flag: this.kubeconfig, hostname: nodeName, nodeName, timeoutMs: patienceMs });
    return {
      ...real,
      readDriver: async (path) => this.driver(path),
      readRegistration: async (path) => this.deadRegistrations.get(path),
      unlinkSocket: async (path) => (this.deadRegistrations.delete(path) ? 'removed' : 'gone'),
      isMounted: async () => false,
      tellsOfSocket: async (_pod, container) => this.lastWords.get(container),
      [Symbol.dispose]: () => real.close(),
    };
  }

  #seed(): void {
    this.api.add({ apiVersion: 'v1', kind: 'Node', metadata: { name: nodeName }, status: { volumesInUse: [] } });
    for (const { object } of this.#pods) this.api.add(object);
    for (const [claim, volume] of Object.entries(this.#volumes)) {
      const csi = { driver: driverName, volumeHandle: `handle-${volume}` };
      const spec = { csi, claimRef: { name: claim } };
      this.api.add({ apiVersion: 'v1', kind: 'PersistentVolume', metadata: { name: volume }, spec });
      this.api.add({
        apiVersion: 'storage.k8s.io/v1',
        kind: 'VolumeAttachment',
        metadata: { name: `csi-${volume}` },
        spec: { attacher: driverName, nodeName, source: { persistentVolumeName: volume } },
        status: { attached: false },
      });
    }
  }

  /** kubelet ends a pod that is being deleted; its controller makes another with a name and a uid of its own. */
  #replaceDeleted(): void {
    const resource = this.api.resource('pods');
    for (const pod of [...this.#pods]) {
      const { namespace, name } = pod.spec;
      const now = this.api.store.find(resource, namespace, name);
      if (now !== undefined && now.metadata.deletionTimestamp === undefined) continue;
      if (now !== undefined) this.api.store.delete(resource, namespace, name, { gracePeriodSeconds: 0 });
      this.deleted.push(`${namespace}/${name}`);
      this.#pods = this.#pods.filter((each) => each !== pod);
      const again = replacement(pod, ++this.#made);
      this.#pods.push(again);
      this.api.add(again.object);
      this.node.setPods(this.#pods.map((each) => each.spec));
    }
  }

  /** The attacher sets what is not attached, as soon as it runs. */
  #attach(): void {
    const attacher = this.#pods.some(({ spec }) => spec.name.includes('attacher') && this.#runs(spec, 3));
    const resource = this.api.resource('volumeattachments');
    for (const each of this.objects('volumeattachments')) {
      if (!attacher || isAttached(each)) continue;
      this.api.store.update(resource, undefined, each.metadata.name, { ...each, status: { attached: true } });
    }
  }

  /** CSINode gets whom kubelet registers, and keeps all of them. */
  #register(): void {
    const resource = this.api.resource('csinodes');
    const before = this.api.store.find(resource, undefined, nodeName);
    const known = ((before?.spec as { drivers?: { name: string }[] } | undefined)?.drivers ?? []).map(
      (each) => each.name,
    );
    const isServed = ([path, name]: [string, string]) =>
      name === driverName ? this.#isRegistered() : this.node.machine.isServed(path);
    const now = [...this.#drivers].filter(isServed).map(([, name]) => name);
    if (now.every((each) => known.includes(each))) return;
    const spec = { drivers: [...new Set([...known, ...now])].map((name) => ({ name, nodeID: nodeName })) };
    if (before) this.api.store.update(resource, undefined, nodeName, { ...before, spec });
    else this.api.add({ apiVersion: 'storage.k8s.io/v1', kind: 'CSINode', metadata: { name: nodeName }, spec });
  }

  #isRegistered(): boolean {
    return (
      this.node.machine.isServed(socket) &&
      this.#pods.some(({ spec }) => /csi-plugin/.test(spec.name) && this.#runs(spec))
    );
  }

  /** Whether a pod runs, for some seconds already: to attach a volume takes a while. */
  #runs(spec: PodSpec, forSeconds = 0): boolean {
    const nowNs = this.node.clock.uptimeNs();
    const atLatestNs = nowNs - BigInt(forSeconds) * 1_000_000_000n;
    const pod = this.node.pods().find((each) => each.uid === spec.uid);
    return pod?.sinceUptimeNs !== undefined && pod.sinceUptimeNs <= atLatestNs;
  }
}

function replacement({ spec, object }: ClusterPod, number: number): ClusterPod {
  const name = `${spec.name.replace(/-r\d+$/, '')}-r${number}`;
  const uid = `${spec.uid}-r${number}`;
  const { resourceVersion: _, deletionTimestamp: __, ...metadata } = object.metadata as Record<string, unknown>;
  return { spec: { ...spec, name, uid }, object: { ...object, metadata: { ...metadata, name, uid } } };
}

function isAttached(attachment: KubeObject): boolean {
  return (attachment.status as { attached?: boolean } | undefined)?.attached === true;
}

function nameOfVolume(attachment: KubeObject): string | undefined {
  return (attachment.spec as { source?: { persistentVolumeName?: string } } | undefined)?.source?.persistentVolumeName;
}

/** A kubeconfig for a server without TLS on this machine. */
export function kubeconfigOf(server: string): string {
  return [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    `- {name: c, cluster: {server: "${server}"}}`,
    'contexts:',
    '- {name: c, context: {cluster: c, user: u}}',
    'current-context: c',
    'users:',
    '- {name: u, user: {token: t}}',
    '',
  ].join('\n');
}
