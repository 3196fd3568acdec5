import { join } from 'node:path';
import type { CriRunner } from '../cri/types.ts';
import type { Clock } from '../model/clock.ts';
import type { Boot, KubeletFacts, NodeFacts, Pod, ProcessFacts } from '../model/node.ts';
import { describePod } from '../model/sandbox.ts';
import { realClock, SimulatedClock, type TurnableClock } from './clock.ts';
import { Containerd } from './containerd.ts';
import { type Latency, noLatency, recordedLatency } from './daemon.ts';
import { Died } from './faults.ts';
import { type Flavour, flavours } from './flavour.ts';
import { inProcessCri } from './in-process.ts';
import { JournalFile } from './journal.ts';
import { Kubelet } from './kubelet.ts';
import { Machine } from './machine.ts';
import type { Phase, PodSpec } from './pod-spec.ts';
import { type Random, seededRandom } from './random.ts';
import { type CriServer, serveCri } from './server.ts';

export interface EmbeddedNodeOptions {
  readonly flavour: Flavour['name'];
  /** `v1.34.9` */
  readonly kubeletVersion: string;
  readonly pods: readonly PodSpec[];
  /** The same seed gives the same node, to the last id and microsecond, in simulated time. */
  readonly seed?: number;
  /** An existing directory for the logs and the socket; the caller removes it. */
  readonly dir: string;
  readonly time: 'simulated' | 'real';
  /** Whether CRI is served on a unix socket too. */
  readonly serve?: boolean;
  /** The wall clock at the beginning of simulated time. */
  readonly startNs?: bigint;
  /** Why the volumes of a pod are not there yet; absent: no pod has any. */
  readonly waitsForVolumes?: (pod: PodSpec) => string | undefined;
  /** How long the runtime's steps take; as the recorded nodes in simulated time, nothing in real time. */
  readonly latency?: Latency;
}

/** An event of the Kubernetes API. */
export interface PodEvent {
  readonly atNs: bigint;
  readonly pod: string;
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
}

/** A pod and whether it really runs: its sandbox is ready and all its containers live. */
export interface PodView extends Pod {
  readonly running: boolean;
  /** Since when, nanoseconds since boot; absent where it does not run. */
  readonly sinceUptimeNs?: bigint;
}

/** Boots a new node. Simulated time stands still but for `run`, `boot`, `clock.sleep` and the calls of `cri`. */
export async function startEmbeddedNode(options: EmbeddedNodeOptions): Promise<EmbeddedNode> {
  const node = new EmbeddedNode(options);
  await node.boot();
  return node;
}

/** How long a boot takes until the runtime and then kubelet are started, milliseconds (simulated time). */
const bootSteps = { runtimeMs: 14_000, kubeletMs: 3_000 } as const;
const kernel = '6.12.0-embedded';

/** A node without root: a machine, containerd, kubelet, and clocks one can turn. */
export class EmbeddedNode {
  /** For whoever watches: in simulated time its `sleep` lets time pass. */
  readonly clock: Clock;
  readonly cri: CriRunner;
  /** `unix:///…`; nobody listens there unless `serve` was asked. */
  readonly endpoint: string;
  readonly machine: Machine;
  readonly boots: Boot[] = [];
  readonly events: PodEvent[] = [];
  readonly #options: EmbeddedNodeOptions;
  #pods: readonly PodSpec[];
  readonly #clock: TurnableClock;
  readonly #random: Random;
  readonly #phases = new Map<string, Phase>();
  readonly #kubeletLog: JournalFile;
  readonly #runtimeLog: JournalFile;
  readonly #background = new Set<Promise<void>>();
  #containerd: Process<Containerd> | undefined;
  #kubelet: Process<Kubelet> | undefined;
  #kubeletCri: CriRunner | undefined;
  #server: CriServer | undefined;

  constructor(options: EmbeddedNodeOptions) {
    this.#options = options;
    this.#pods = options.pods;
    this.#kubeletLog = new JournalFile(join(options.dir, 'kubelet.ndjson'), 'kubelet');
    this.#runtimeLog = new JournalFile(join(options.dir, 'containerd.ndjson'), 'containerd');
    const { startNs = 1_767_225_600_000_000_000n, time, seed = 1 } = options;
    this.#clock = time === 'real' ? realClock() : new SimulatedClock(startNs, () => this.#flush());
    this.#random = seededRandom(seed);
    this.machine = new Machine(this.#clock, this.#random);
    this.endpoint = `unix://${join(options.dir, 'containerd.sock')}`;
    this.clock = this.#clock.foreground;
    this.cri = inProcessCri(() => this.#containerd?.it, this.#clock, this.endpoint, true);
  }

  get kubeletLogFile(): string {
    return this.#kubeletLog.path;
  }

  get runtimeLogFile(): string {
    return this.#runtimeLog.path;
  }

  /** Lets `ms` pass. */
  async run(ms: number): Promise<void> {
    await this.#clock.run(ms);
    this.#flush();
  }

  /** Powers on, its clock turned by `clockStepMs`; resolves when containerd has recovered and kubelet is started. */
  async boot({ clockStepMs = 0 }: { clockStepMs?: number } = {}): Promise<void> {
    if (this.#containerd) throw new Error('the node is on');
    this.machine.powerOn();
    this.#clock.step(clockStepMs);
    const atNs = this.#clock.wallNs();
    this.boots.push({ bootId: this.#random.hex(32), firstNs: atNs, lastNs: atNs, end: 'running' });
    const simulated = this.#options.time === 'simulated';
    if (simulated) await this.run(bootSteps.runtimeMs);
    const started = await this.startRuntime();
    if (!started.ok) return;
    if (simulated) await this.run(bootSteps.kubeletMs);
    this.startKubelet();
  }

  /** Everything that runs is gone, at once; the disk, the pods' phases and the clock stay. */
  async powerCut(): Promise<void> {
    await this.#down('unclean', () => this.machine.powerCut());
  }

  /** A shutdown in order: the processes end, the journal is closed; what kubelet left on the disk stays. */
  async shutDown(): Promise<void> {
    await this.#down('clean', () => this.machine.powerCut());
  }

  /** Starts containerd, after `killRuntime` or where `boot` found it exiting. */
  async startRuntime(): Promise<{ ok: true } | { ok: false; fatal: string }> {
    const { flavour, time, serve, latency = time === 'simulated' ? recordedLatency : noLatency } = this.#options;
    const pid = this.machine.newPid();
    const containerd = new Containerd(this.machine, flavours[flavour], latency, (line) => {
      this.#log(this.#runtimeLog, line, pid);
    });
    const startedUptimeNs = this.#clock.uptimeNs();
    this.#containerd = { it: containerd, pid, startedUptimeNs };
    const path = this.endpoint.slice('unix://'.length);
    if (serve) this.#server = await serveCri(path, () => this.#containerd?.it, this.#clock);
    const started = await this.#clock.drive(containerd.start());
    if (!started.ok) await this.killRuntime();
    return started;
  }

  /** SIGKILL to containerd alone: pods live on. */
  async killRuntime(): Promise<void> {
    this.#containerd?.it.die();
    this.#containerd = undefined;
    await this.#server?.close();
    this.#server = undefined;
  }

  /** Starts kubelet, after `killKubelet`. */
  startKubelet(): void {
    if (this.#kubelet) throw new Error('kubelet runs');
    const pid = this.machine.newPid();
    const cri = inProcessCri(() => this.#containerd?.it, this.#clock, this.endpoint, false);
    this.#kubeletCri = cri;
    const kubelet = new Kubelet({
      cri,
      clock: this.#clock,
      random: this.#random,
      version: this.#options.kubeletVersion,
      pods: this.#pods,
      pid,
      log: (line) => this.#log(this.#kubeletLog, line, pid),
      api: {
        phases: this.#phases,
        ...(this.#options.waitsForVolumes ? { waitsForVolumes: this.#options.waitsForVolumes } : {}),
        event: (pod, type, reason, message) => {
          this.events.push({ atNs: this.#clock.wallNs(), pod: describePod(pod), type, reason, message });
        },
      },
    });
    this.#kubelet = { it: kubelet, pid, startedUptimeNs: this.#clock.uptimeNs() };
    this.#keep(kubelet.run());
  }

  /** SIGKILL to kubelet: its connection goes, and with it the calls on it. */
  killKubelet(): void {
    this.#kubelet?.it.die();
    this.#kubelet = undefined;
    this.#kubeletCri?.close();
    this.#kubeletCri = undefined;
  }

  /** What the API wants on this node from now on. */
  setPods(pods: readonly PodSpec[]): void {
    this.#pods = pods;
    this.#kubelet?.it.setPods(pods);
  }

  pods(): PodView[] {
    return this.#pods.map((pod) => {
      const { name, namespace, uid, restartPolicy } = pod;
      const phase = this.#phases.get(uid) ?? 'Pending';
      const known = { name, namespace, uid, restartPolicy, phase, deleting: false };
      const sinceUptimeNs = this.#runsSince(pod);
      return sinceUptimeNs === undefined ? { ...known, running: false } : { ...known, running: true, sinceUptimeNs };
    });
  }

  nodeFacts(): NodeFacts {
    const bootId = this.boots.at(-1)?.bootId ?? '';
    const [wallNs, uptimeNs] = [this.#clock.wallNs(), this.#clock.uptimeNs()];
    return { hostname: 'embedded', kernel, arch: 'arm64', bootId, wallNs, uptimeNs };
  }

  kubeletFacts(): KubeletFacts {
    if (!this.#kubelet) return { running: false };
    const { pid, startedUptimeNs } = this.#kubelet;
    const version = this.#options.kubeletVersion;
    return { running: true, pid, comm: 'kubelet', startedUptimeNs, version, versionFrom: 'its log' };
  }

  /** The daemon's process; nothing of it hangs outside of the plugin's script. */
  processFacts(): ProcessFacts {
    if (!this.#containerd) return { holders: [] };
    const { pid, startedUptimeNs } = this.#containerd;
    return { runtimePid: pid, runtimeStartedUptimeNs: startedUptimeNs, holders: [] };
  }

  /** Whether the pause process of a sandbox lives. */
  pauseAlive(sandboxId: string): boolean {
    const task = this.machine.tasks.get(sandboxId);
    return task !== undefined && task.exit === undefined;
  }

  /** Whether a process of this pid lives. */
  processAlive(pid: number): boolean {
    return [...this.machine.tasks.values()].some((each) => each.pid === pid && each.exit === undefined);
  }

  /** Turns everything off. The directory stays. */
  async close(): Promise<void> {
    await this.#down('unclean', () => this.machine.powerCut());
  }

  async #down(end: Boot['end'], cut: () => void): Promise<void> {
    this.#flush();
    this.killKubelet();
    cut();
    await this.killRuntime();
    await Promise.all(this.#background);
    const last = this.boots.pop();
    if (last) this.boots.push(last.end === 'running' ? { ...last, lastNs: this.#clock.wallNs(), end } : last);
  }

  #runsSince(pod: PodSpec): bigint | undefined {
    const { disk, tasks } = this.machine;
    let youngest: bigint | undefined;
    for (const container of pod.containers) {
      const live = [...disk.containers.values()].find((each) => {
        const isOurs = each.podUid === pod.uid && each.config.name === container.name;
        return isOurs && tasks.get(each.id)?.exit === undefined && tasks.has(each.id);
      });
      if (!live || !this.pauseAlive(live.sandboxId)) return undefined;
      const since = tasks.get(live.id)?.startedUptimeNs ?? 0n;
      if (youngest === undefined || since > youngest) youngest = since;
    }
    return youngest;
  }

  #log(file: JournalFile, line: string, pid: number): void {
    file.add(line, this.#clock, this.boots.at(-1)?.bootId ?? '', pid);
    if (this.#options.time === 'real') file.flush();
  }

  #flush(): void {
    this.#kubeletLog.flush();
    this.#runtimeLog.flush();
  }

  /** Remembers a task until it ends; what it fails with but a death is a bug and ends the process. */
  #keep(task: Promise<void>): void {
    const kept = task
      .catch((error: unknown) => {
        if (!(error instanceof Died)) throw error;
      })
      .finally(() => this.#background.delete(kept));
    this.#background.add(kept);
  }
}

interface Process<T> {
  readonly it: T;
  readonly pid: number;
  readonly startedUptimeNs: bigint;
}
