import type { CriRunner } from '../cri/types.ts';
import type { Clock } from '../model/clock.ts';
import { describePod } from '../model/sandbox.ts';
import { BackOff } from './back-off.ts';
import { Died } from './faults.ts';
import { collectGarbage, deleteDeadContainers, type Garbage } from './garbage.ts';
import { type Klog, klogTo } from './klog.ts';
import { kubeletVersion } from './kubelet-version.ts';
import { killOrphan } from './orphans.ts';
import { CgroupFailed, type PodCgroups } from './pod-cgroups.ts';
import { isTerminal, type Phase, type PodSpec } from './pod-spec.ts';
import type { Random } from './random.ts';
import { CallFailed, RuntimeService } from './runtime-service.ts';
import { type SyncContext, SyncFailed, syncPod, terminatePod } from './sync-pod.ts';

/**
 * kubelet's own numbers: pod_workers.go (backOffPeriod, resync), generic PLEG, ContainerGCPeriod, updateRuntimeUp,
 * qos_container_manager_linux.go (periodicQOSCgroupUpdateInterval), kubelet.go (housekeepingPeriod).
 */
const periods = {
  ...{ retryMs: 10_000, resyncMs: 60_000, relistMs: 1_000, garbageMs: 60_000, qosMs: 60_000, housekeepMs: 2_000 },
  statusEvery: 5,
} as const;

/** What the API server keeps; it outlives the node. */
export interface Api {
  readonly phases: Map<string, Phase>;
  /** Why the volumes of a pod are not there yet; absent: no pod has any. */
  readonly waitsForVolumes?: (pod: PodSpec) => string | undefined;
  event(pod: PodSpec, type: 'Normal' | 'Warning', reason: string, message: string): void;
}

export interface KubeletOptions {
  readonly cri: CriRunner;
  readonly clock: Clock;
  readonly random: Random;
  /** `v1.34.9` */
  readonly version: string;
  readonly pods: readonly PodSpec[];
  readonly api: Api;
  readonly pid: number;
  /** Takes each line of its log. */
  readonly log: (message: string) => void;
  /** terminationGracePeriodSeconds of the pods. */
  readonly graceMs?: number;
  readonly image?: string;
  /** How often it lists what runs; a second, as kubelet does, where nothing is said. */
  readonly relistMs?: number;
  /** Who makes the cgroups of pods; absent: nobody does, and none is looked at. */
  readonly cgroups?: PodCgroups;
}

/** One kubelet process, over any CRI: the embedded containerd in process, or a real one over its socket. */
export class Kubelet {
  readonly #options: KubeletOptions;
  readonly #life = new AbortController();
  readonly #klog: Klog;
  readonly #runtime: RuntimeService;
  readonly #garbage: Garbage;
  readonly #sync: SyncContext;
  readonly #byUid: Map<string, PodSpec>;
  /** Pods that the API has deleted, until nothing of them is left. */
  readonly #deleted = new Set<string>();
  /** Pods with a worker: those that are not over. */
  readonly #working = new Set<string>();
  #startWork: ((task: Promise<void>) => void) | undefined;
  /** Wakes a worker that waits for its next sync; `pending`: something happened while it was busy. */
  readonly #naps = new Map<string, AbortController>();
  readonly #pending = new Set<string>();
  #afterRelist: (() => void)[] = [];
  #seen = new Map<string, Seen>();
  #networkProblem: string | undefined;

  constructor(options: KubeletOptions) {
    const { clock, api, pods, cgroups, image = 'docker.io/library/busybox:1', graceMs = 2_000 } = options;
    this.#options = options;
    this.#klog = klogTo(clock, options.pid, options.log);
    this.#runtime = new RuntimeService(options.cri, this.#life.signal, this.#klog);
    this.#byUid = new Map(pods.map((each) => [each.uid, each]));
    this.#garbage = { runtime: this.#runtime, klog: this.#klog, isKnown: (uid) => this.#byUid.has(uid) };
    this.#sync = {
      runtime: this.#runtime,
      clock,
      klog: this.#klog,
      version: kubeletVersion(options.version),
      backOff: new BackOff(clock),
      image,
      graceMs,
      ...(cgroups ? { cgroups } : {}),
      ...(api.waitsForVolumes ? { waitsForVolumes: api.waitsForVolumes } : {}),
      event: (pod, type, reason, message) => api.event(pod, type, reason, message),
      setPhase: (pod, phase) => void api.phases.set(pod.uid, phase),
    };
  }

  /** Runs until `die`; resolves when the calls that were under way have ended, too. Rejects only on a bug. */
  async run(): Promise<void> {
    try {
      await this.#live();
    } catch (error) {
      if (!(error instanceof Died)) throw error;
    }
  }

  /**
   * What the API wants from now on: pods that are new are started, those that are missing are ended and forgotten. A
   * spec that changed under the same uid is not looked at.
   */
  setPods(pods: readonly PodSpec[]): void {
    const added = pods.filter((each) => !this.#byUid.has(each.uid));
    const gone = [...this.#byUid.values()].filter((each) => !pods.some((other) => other.uid === each.uid));
    if (added.length > 0) this.#klog('I', 'kubelet.go:2535', 'SyncLoop ADD', sourceOf(added));
    if (gone.length > 0) this.#klog('I', 'kubelet.go:2551', 'SyncLoop DELETE', sourceOf(gone));
    for (const each of added) {
      this.#byUid.set(each.uid, each);
      this.#startWork?.(this.#work(each));
    }
    for (const each of gone) {
      if (this.#working.has(each.uid)) {
        this.#deleted.add(each.uid);
        this.#wake(each.uid);
      } else this.#forget(each);
    }
  }

  /** SIGKILL. */
  die(): void {
    const reason = new Died('kubelet');
    this.#life.abort(reason);
    for (const nap of this.#naps.values()) nap.abort(reason);
    for (const done of this.#afterRelist.splice(0)) done();
  }

  async #live(): Promise<void> {
    const { version, api, cgroups } = this.#options;
    this.#klog('I', 'server.go:529', 'Kubelet version', { kubeletVersion: kubeletVersion(version).text });
    await this.#runtimeUp();
    this.#klog('I', 'server.go:1268', 'Started kubelet');
    await this.#startCgroups();
    this.#klog('I', 'kubelet.go:2448', 'Starting kubelet main sync loop');
    this.#klog('I', 'kubelet.go:2535', 'SyncLoop ADD', sourceOf([...this.#byUid.values()]));
    await this.#relist();
    const failed = Promise.withResolvers<never>();
    const tasks: Promise<void>[] = [];
    const start = (task: Promise<void>) => {
      tasks.push(task);
      task.catch(failed.reject);
    };
    start(this.#pleg());
    start(this.#collect());
    start(this.#housekeep());
    if (cgroups) start(this.#updateQos(cgroups));
    // A pod that the API and the runtime both call terminal has been through SyncTerminatingPod before.
    for (const each of this.#byUid.values()) if (!isTerminal(api.phases.get(each.uid))) start(this.#work(each));
    this.#startWork = start;
    try {
      await failed.promise;
    } catch (error) {
      if (!(error instanceof Died)) throw error;
      await Promise.allSettled(tasks);
    }
  }

  async #runtimeUp(): Promise<void> {
    for (;;) {
      if (await this.#checkStatus()) return;
      await this.#sleep(periods.relistMs);
    }
  }

  async #checkStatus(): Promise<boolean> {
    try {
      const { conditions } = await this.#runtime.status();
      const network = conditions.find((each) => each.type === 'NetworkReady');
      const words = `NetworkReady=false reason:${network?.reason} message:${network?.message}`;
      this.#networkProblem =
        network?.status === false ? `network is not ready: container runtime network not ready: ${words}` : undefined;
      return true;
    } catch (error) {
      if (error instanceof CallFailed) return false;
      throw error;
    }
  }

  async #work(pod: PodSpec): Promise<void> {
    this.#working.add(pod.uid);
    await this.#syncUntilOver(pod);
    this.#working.delete(pod.uid);
    if (this.#deleted.has(pod.uid)) this.#forget(pod);
  }

  /** What is left of a pod that the API has deleted is garbage. */
  #forget(pod: PodSpec): void {
    this.#byUid.delete(pod.uid);
    this.#deleted.delete(pod.uid);
    this.#pending.delete(pod.uid);
    this.#options.api.phases.delete(pod.uid);
    this.#klog('I', 'kubelet.go:2559', 'SyncLoop REMOVE', sourceOf([pod]));
  }

  async #syncUntilOver(pod: PodSpec): Promise<void> {
    for (;;) {
      let delayMs: number = periods.resyncMs;
      try {
        if (this.#deleted.has(pod.uid)) {
          await terminatePod(this.#sync, pod);
          return;
        }
        if ((await this.#syncUnlessNetworkIsDown(pod)) === 'finished') return;
      } catch (error) {
        if (!(error instanceof SyncFailed)) throw error;
        delayMs = error.message === this.#networkProblem ? 1_000 : periods.retryMs;
        this.#klog('E', 'pod_workers.go:1324', 'Error syncing pod, skipping', {
          err: error.message,
          pod: describePod(pod),
          podUID: pod.uid,
        });
      }
      // The next sync wants a status that is newer than this one (podCache.GetNewerThan).
      await new Promise<void>((resolve) => this.#afterRelist.push(resolve));
      await this.#nap(pod.uid, delayMs * (1 + 0.5 * this.#options.random.next()));
    }
  }

  #syncUnlessNetworkIsDown(pod: PodSpec): Promise<'go-on' | 'finished'> {
    if (this.#networkProblem !== undefined && !pod.hostNetwork) throw new SyncFailed(this.#networkProblem);
    return syncPod(this.#sync, pod);
  }

  async #nap(uid: string, ms: number): Promise<void> {
    this.#life.signal.throwIfAborted();
    if (this.#pending.delete(uid)) return;
    const nap = new AbortController();
    this.#naps.set(uid, nap);
    try {
      await this.#options.clock.sleep(ms, nap.signal);
    } catch (error) {
      if (error !== woken) throw error;
    } finally {
      this.#naps.delete(uid);
    }
  }

  #wake(uid: string): void {
    const nap = this.#naps.get(uid);
    if (nap) nap.abort(woken);
    else this.#pending.add(uid);
  }

  async #collect(): Promise<void> {
    for (;;) {
      await this.#sleep(periods.garbageMs);
      await collectGarbage(this.#garbage);
    }
  }

  async #pleg(): Promise<void> {
    for (let round = 1; ; round++) {
      await this.#sleep(this.#options.relistMs ?? periods.relistMs);
      if (round % periods.statusEvery === 0) await this.#checkStatus();
      await this.#relist();
      for (const done of this.#afterRelist.splice(0)) done();
    }
  }

  /** Generic PLEG: what changed since the last look becomes events. */
  async #relist(): Promise<void> {
    const seen = new Map<string, Seen>();
    try {
      for (const each of await this.#runtime.listSandboxes()) {
        seen.set(each.id, { uid: each.uid, running: each.state === 'ready' });
      }
      for (const each of await this.#runtime.listContainers()) {
        if (each.state !== 'created') seen.set(each.id, { uid: each.podUid, running: each.state === 'running' });
      }
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      this.#klog('E', 'generic.go:254', 'GenericPLEG: Unable to retrieve pods', { err: error.message });
      return;
    }
    const before = this.#seen;
    this.#seen = seen;
    for (const [id, { uid, running }] of seen) {
      if (before.get(id)?.running !== running) await this.#happened(uid, id, running);
    }
    for (const [id, { uid, running }] of before) {
      if (!seen.has(id) && running) await this.#happened(uid, id, false);
    }
  }

  async #happened(uid: string, id: string, running: boolean): Promise<void> {
    const pod = this.#byUid.get(uid);
    if (!pod) return;
    const event = { ID: uid, Type: running ? 'ContainerStarted' : 'ContainerDied', Data: id };
    this.#klog('I', 'kubelet.go:2566', 'SyncLoop (PLEG): event for pod', { pod: describePod(pod), event });
    this.#wake(uid);
    if (!running) await deleteDeadContainers(this.#garbage, uid, id);
  }

  async #startCgroups(): Promise<void> {
    try {
      await this.#options.cgroups?.start();
    } catch (error) {
      if (error instanceof CgroupFailed) {
        this.#klog('E', 'kubelet.go:1703', 'Failed to start ContainerManager', { err: error.message });
      }
      throw error;
    }
  }

  /** wait.Until (apimachinery): at once, then each minute from the end of the last one on. */
  async #updateQos(cgroups: PodCgroups): Promise<void> {
    for (;;) {
      await this.#orLogged(cgroups.updateQos(), 'qos_container_manager_linux.go:345', qosFailed);
      await this.#sleep(periods.qosMs);
    }
  }

  /** HandlePodCleanups (kubelet_pods.go), as far as it matters here. */
  async #housekeep(): Promise<void> {
    const { cgroups } = this.#options;
    for (;;) {
      await this.#sleep(periods.housekeepMs);
      const running = [...this.#seen.values()].filter((each) => each.running && !this.#byUid.has(each.uid));
      for (const uid of new Set(running.map((each) => each.uid))) await killOrphan(this.#runtime, this.#klog, uid);
      if (!cgroups) continue;
      const known = new Set(this.#byUid.keys());
      await this.#orLogged(cgroups.cleanUp(known), 'pod_container_manager_linux.go:180', cleanUpFailed);
    }
  }

  async #orLogged(work: Promise<void>, source: string, words: string): Promise<void> {
    try {
      await work;
    } catch (error) {
      if (!(error instanceof CgroupFailed)) throw error;
      this.#klog('W', source, words, { err: error.message });
    }
  }

  #sleep(ms: number): Promise<void> {
    return this.#options.clock.sleep(ms, this.#life.signal);
  }
}

/** The values of kubelet's lines about pods of the API. */
function sourceOf(pods: readonly PodSpec[]): { source: string; pods: string[] } {
  return { source: 'api', pods: pods.map(describePod) };
}

interface Seen {
  readonly uid: string;
  readonly running: boolean;
}

const qosFailed = 'Failed to reserve QoS requests';
const cleanUpFailed = 'Failed to delete cgroup paths';
const woken = new Error('woken');
