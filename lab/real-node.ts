import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync } from 'node:fs';
import { copyFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { worldOverCri } from '../src/cli/world.ts';
import { connectCri } from '../src/cri/connect.ts';
import type { CriRunner } from '../src/cri/types.ts';
import { diagnose } from '../src/diagnose/diagnose.ts';
import { JournalFile } from '../src/embedded/journal.ts';
import { klogTo } from '../src/embedded/klog.ts';
import { Kubelet } from '../src/embedded/kubelet.ts';
import type { PodEvent, PodView } from '../src/embedded/node.ts';
import type { Phase, PodSpec } from '../src/embedded/pod-spec.ts';
import { seededRandom } from '../src/embedded/random.ts';
import { makePlan, type PlanOptions } from '../src/heal/plan.ts';
import type { Look, World } from '../src/heal/ports.ts';
import type { Boot, KubeletFacts } from '../src/model/node.ts';
import { known, valueOr } from '../src/model/observed.ts';
import { describePod } from '../src/model/sandbox.ts';
import type { Snapshot } from '../src/model/snapshot.ts';
import { version } from '../src/model/version.ts';
import { systemClock } from '../src/observe/clock.ts';
import { observe, type SourceOverrides } from '../src/observe/node.ts';
import { observeNode } from '../src/observe/proc.ts';
import { layout } from './daemon.ts';
import { type Flavour, workloadImage } from './flavours.ts';
import { childrenOf, signal } from './processes.ts';
import { inOwnCgroup, type RealRig, type RealRigOptions, realRig } from './rig.ts';
import { until } from './run.ts';

export interface RealNodeOptions {
  readonly flavour: Flavour;
  /** `v1.34.9` where absent: the last that goes by date. */
  readonly kubeletVersion?: string;
  readonly pods: readonly PodSpec[];
  readonly rig?: RealRigOptions;
  /** Deadline of the healer's Stop- and RemovePodSandbox; the product's own where absent. */
  readonly writeTimeoutMs?: number;
}

export interface BootOptions {
  /** How far in the future the dates on disk lie, seconds: a clock that is behind, without touching the machine's. */
  readonly datesAheadS?: number;
  /** `runs` where absent. `namesake`: a process is called kubelet, and whoever tests does what it would. */
  readonly kubelet?: 'runs' | 'namesake' | 'off';
}

/** A node of real parts, off: a real containerd, and the stand-in kubelet over its socket. Root only (rig.ts). */
export async function realNode(options: RealNodeOptions): Promise<RealNode> {
  const rig = await realRig(options.flavour, options.rig);
  return new RealNode(rig, options, (await observedBootId()) ?? randomUUID().replaceAll('-', ''));
}

/**
 * What the laboratory cannot have of a node it tells by itself: systemd, the API, and which boot it is. Its clocks and
 * its boot id are the machine's, so that the age of a line in a log is right.
 */
export class RealNode implements AsyncDisposable {
  readonly rig: RealRig;
  readonly clock = systemClock();
  readonly events: PodEvent[] = [];
  readonly version: string;
  readonly #options: RealNodeOptions;
  readonly #bootId: string;
  readonly #phases = new Map<string, Phase>();
  readonly #kubeletLog: JournalFile;
  #boots: Boot[] = [];
  #runtime: 'active' | 'failed' | 'inactive' = 'inactive';
  #kubelet: RunningKubelet | undefined;
  #cri: CriRunner | undefined;

  constructor(rig: RealRig, options: RealNodeOptions, bootId: string) {
    this.rig = rig;
    this.version = options.kubeletVersion ?? 'v1.34.9';
    this.#options = options;
    this.#bootId = bootId;
    this.#kubeletLog = new JournalFile(join(rig.home, 'kubelet.ndjson'), 'kubelet');
  }

  get endpoint(): string {
    return `unix://${layout(this.rig.home).socket}`;
  }

  get kubeletLogFile(): string {
    return this.#kubeletLog.path;
  }

  get runtimeLogFile(): string {
    return layout(this.rig.home).log;
  }

  /** Sandwarden's connection; it outlives a restart of the runtime. */
  get cri(): CriRunner {
    const { writeTimeoutMs } = this.#options;
    this.#cri ??= connectCri(this.endpoint, writeTimeoutMs === undefined ? {} : { writeTimeoutMs });
    return this.#cri;
  }

  /** Powers on, until containerd answers and kubelet is started, or containerd has given up: then its last words. */
  async boot({ datesAheadS = 0, kubelet = 'runs' }: BootOptions = {}): Promise<string | undefined> {
    if (datesAheadS !== 0) await this.rig.shiftDates(datesAheadS);
    const byNs = BigInt(datesAheadS) * 1_000_000_000n;
    this.#boots = this.#boots.map((boot) => {
      return { ...boot, firstNs: boot.firstNs + byNs, lastNs: boot.lastNs + byNs };
    });
    const now = this.clock.wallNs();
    this.#boots.push({ bootId: this.#bootId, firstNs: now, lastNs: now, end: 'running' });
    // The lines of an earlier boot carry the id of this one, so they are put aside.
    for (const file of [this.kubeletLogFile, this.runtimeLogFile]) await putAside(file);
    appendFileSync(this.kubeletLogFile, '');
    const fatal = await this.startRuntime();
    if (fatal === undefined && kubelet !== 'off') await this.startKubelet(kubelet);
    return fatal;
  }

  /** Everything that runs is gone at once; the disk, the pods' phases and the clock stay. */
  async powerCut(): Promise<void> {
    const kubelet = this.#takeKubelet();
    await this.rig.powerCut();
    this.#runtime = 'inactive';
    await kubelet?.ended;
    const last = this.#boots.pop();
    if (last) this.#boots.push({ ...last, bootId: hexId(), lastNs: this.clock.wallNs(), end: 'unclean' });
  }

  /** Starts containerd after `boot` or `rig.killRuntime`; gives its last words where it gives up. */
  async startRuntime(): Promise<string | undefined> {
    const started = await this.rig.start();
    this.#runtime = started.ok ? 'active' : 'failed';
    return started.ok ? undefined : started.fatal;
  }

  /** Starts the stand-in kubelet, and on the node a process of that name, since that is how Sandwarden knows it. */
  async startKubelet(kind: 'runs' | 'namesake' = 'runs'): Promise<void> {
    if (this.#kubelet) throw new Error('kubelet runs');
    const pid = await startNamesake(this.rig);
    const startedUptimeNs = this.clock.uptimeNs();
    if (kind === 'namesake') {
      this.#kubelet = { pid, startedUptimeNs, die: () => {}, ended: Promise.resolve() };
      klogTo(this.clock, pid, (line) => this.logOfKubelet(line))('I', 'server.go:529', 'Kubelet version', {
        kubeletVersion: this.version,
      });
      return;
    }
    const cri = this.kubeletCri();
    const kubelet = new Kubelet({
      cri,
      clock: this.clock,
      random: seededRandom(this.#boots.length),
      version: this.version,
      pods: this.#options.pods,
      pid,
      image: workloadImage,
      graceMs: 500,
      log: (line) => this.logOfKubelet(line),
      api: {
        phases: this.#phases,
        event: (pod, type, reason, message) => {
          this.events.push({ atNs: this.clock.wallNs(), pod: describePod(pod), type, reason, message });
        },
      },
    });
    const die = () => {
      kubelet.die();
      cri.close();
    };
    this.#kubelet = { pid, startedUptimeNs, die, ended: kubelet.run() };
  }

  /** A connection as kubelet's; the caller closes it. */
  kubeletCri(): CriRunner {
    return inOwnCgroup(connectCri(this.endpoint), this.rig.home);
  }

  /** SIGKILL to kubelet: the calls that it waits for end with its connection. */
  async killKubelet(): Promise<void> {
    await this.#takeKubelet()?.ended;
  }

  /** Writes a line of kubelet's log, as if it had been written `agoMs` before now. */
  logOfKubelet(line: string, agoMs = 0): void {
    const byNs = BigInt(agoMs) * 1_000_000n;
    const clock = {
      ...this.clock,
      wallNs: () => this.clock.wallNs() - byNs,
      uptimeNs: () => this.clock.uptimeNs() - byNs,
    };
    this.#kubeletLog.add(line, clock, this.#bootId, this.#kubelet?.pid ?? 1);
    this.#kubeletLog.flush();
  }

  /** The pods by the API, and whether they run by the runtime. */
  async pods(): Promise<PodView[]> {
    const [sandboxes, containers] = await Promise.all([this.cri.listSandboxes(), this.cri.listContainers()]);
    const ready = new Set(sandboxes.filter((each) => each.state === 'ready').map((each) => each.id));
    const live = containers.filter((each) => each.state === 'running' && ready.has(each.sandboxId));
    const running = new Set(live.map((each) => `${each.podUid} ${each.name}`));
    return this.#apiPods().map((pod, index) => {
      const spec = this.#options.pods[index];
      return { ...pod, running: spec?.containers.every((each) => running.has(`${pod.uid} ${each.name}`)) ?? false };
    });
  }

  /** Looks with the product's own eyes. */
  async look(options: PlanOptions): Promise<Look> {
    const snapshot = await this.snapshot();
    const listedUptimeNs = this.clock.uptimeNs();
    return { snapshot, diagnosis: diagnose(snapshot), plan: makePlan(snapshot, options), listedUptimeNs };
  }

  snapshot(sources: SourceOverrides = {}): Promise<Snapshot> {
    return observe({
      clock: this.clock,
      version,
      cri: this.cri,
      criEndpointInfo: { endpoint: this.endpoint, from: 'the laboratory', others: [] },
      kubeletLogFile: this.kubeletLogFile,
      runtimeLogFile: this.runtimeLogFile,
      pods: known(this.#apiPods()),
      sources: {
        boots: async () => known(this.#boots),
        clock: async () => known({ synchronized: false, hasRtc: false }),
        runtimeUnit: async () => known(unitOf(this.#runtime)),
        kubelet: async () => known(this.#kubeletFacts()),
        ...sources,
      },
    });
  }

  /** The product's own hands. */
  world(options: PlanOptions): World {
    const { cri, endpoint, clock } = this;
    const world = worldOverCri({ cri, endpoint, clock, lookAgain: () => this.look(options) });
    return {
      ...world,
      readIdentity: async () => {
        const { running, pid } = this.#kubeletFacts();
        const { kubeletPid: _, ...identity } = await world.readIdentity();
        return { ...identity, kubeletRunning: running, ...(pid === undefined ? {} : { kubeletPid: pid }) };
      },
    };
  }

  /** Runs a program on the node, where /proc and /run are the node's. */
  spawn(argv: readonly string[], env: NodeJS.ProcessEnv = process.env): ChildProcess {
    const [nsenter = '', ...prefix] = this.rig.enter;
    return spawn(nsenter, [...prefix, ...argv], { stdio: ['ignore', 'pipe', 'pipe'], env });
  }

  /** Leaves nothing behind. */
  async close(): Promise<void> {
    const kubelet = this.#takeKubelet();
    this.#cri?.close();
    await this.rig.close();
    await kubelet?.ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #apiPods() {
    return this.#options.pods.map(({ name, namespace, uid, restartPolicy }) => {
      return { name, namespace, uid, restartPolicy, phase: this.#phases.get(uid) ?? 'Pending', deleting: false };
    });
  }

  #kubeletFacts(): KubeletFacts {
    if (!this.#kubelet) return { running: false, version: this.version, versionFrom: 'the laboratory' };
    const { pid, startedUptimeNs } = this.#kubelet;
    return { running: true, pid, comm: 'kubelet', startedUptimeNs, version: this.version, versionFrom: 'its log' };
  }

  #takeKubelet(): RunningKubelet | undefined {
    const taken = this.#kubelet;
    this.#kubelet = undefined;
    taken?.die();
    if (taken) signal(taken.pid, 'SIGKILL');
    return taken;
  }
}

interface RunningKubelet {
  die(): void;
  /** Of its namesake, outside of the node. */
  readonly pid: number;
  readonly startedUptimeNs: bigint;
  readonly ended: Promise<void>;
}

/** A process on the node that is called kubelet and does nothing. */
async function startNamesake(rig: RealRig): Promise<number> {
  const program = join(rig.home, 'kubelet');
  // A new file: the one of a kubelet that is just dying may still be busy.
  await rm(program, { force: true });
  await copyFile('/bin/sleep', program);
  const [nsenter = '', ...prefix] = rig.enter;
  const child = spawn(nsenter, [...prefix, program, '1000000'], { stdio: 'ignore', env: { SANDWARDEN_LAB: rig.home } });
  await once(child, 'spawn');
  // nsenter forks, since only a child enters a PID namespace.
  return until('a process is called kubelet', 10_000, async () => (await childrenOf(child.pid ?? 0))[0]);
}

function unitOf(state: 'active' | 'failed' | 'inactive') {
  const subState = { active: 'running', failed: 'failed', inactive: 'dead' }[state];
  return { name: 'containerd.service', activeState: state, subState };
}

async function putAside(file: string): Promise<void> {
  await rm(`${file}.before`, { force: true });
  appendFileSync(file, '');
  await rename(file, `${file}.before`);
}

function hexId(): string {
  return randomUUID().replaceAll('-', '');
}

async function observedBootId(): Promise<string | undefined> {
  return valueOr(await observeNode(systemClock()), undefined)?.bootId;
}
