import type { CriEvent, CriStatus, CriVersion } from '../cri/types.ts';
import { createContainer, removeContainer, startContainer, stopContainer } from './containers.ts';
import { Daemon, type Latency, type LiveSandbox, stateOf } from './daemon.ts';
import type { ContainerConfig, ContainerRecord, SandboxConfig } from './disk.ts';
import { Died, fault, wordsOf } from './faults.ts';
import type { Flavour } from './flavour.ts';
import type { Machine } from './machine.ts';
import { recover } from './recovery.ts';
import { runSandbox } from './run-sandbox.ts';
import { runtimeStatus, sandboxInfo } from './status.ts';
import { removeSandbox, stopSandbox } from './stop-sandbox.ts';

/** Where containerd's log goes: one logfmt line at a time. */
export type LogSink = (line: string) => void;

export interface SandboxFilter {
  readonly id?: string;
  readonly ready?: boolean;
  readonly labels?: Readonly<Record<string, string>>;
}

export interface ContainerFilter {
  readonly id?: string;
  readonly sandboxId?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/**
 * One containerd process, from start to death: the calls of CRI v1 with containerd's semantics.
 * Calls throw `ConnectError` with containerd's code and words, or `Died` when the process is killed meanwhile.
 */
export class Containerd {
  readonly flavour: Flavour;
  readonly #daemon: Daemon;
  #initialized = false;

  constructor(machine: Machine, flavour: Flavour, latency: Latency, sink: LogSink) {
    this.flavour = flavour;
    this.#daemon = new Daemon(machine, flavour, latency, (level, text, fields) => {
      sink(logLine(machine.clock.wallNs(), level, text, fields));
    });
  }

  /** Starts and recovers; until then calls fail `server is not initialized yet`. `fatal`: the line it exits with. */
  async start(): Promise<{ ok: true } | { ok: false; fatal: string }> {
    const { log, machine } = this.#daemon;
    const { version } = this.flavour;
    log('info', 'starting containerd', { revision: version, version });
    log('info', 'Start recovering state');
    try {
      await recover(this.#daemon);
    } catch (error) {
      if (error instanceof Died) throw error;
      const words = `failed to recover state: ${wordsOf(error)}`;
      log('fatal', 'Failed to run CRI service', { error: words });
      this.#daemon.die();
      return {
        ok: false,
        fatal: logLine(machine.clock.wallNs(), 'fatal', 'Failed to run CRI service', { error: words }),
      };
    }
    this.#initialized = true;
    log('info', `containerd successfully booted in ${(this.#daemon.latency.recoverMs / 1e3).toFixed(6)}s`);
    return { ok: true };
  }

  /** SIGKILL or a power cut: what runs ends with `Died`; tasks stay with the machine. */
  die(): void {
    this.#initialized = false;
    this.#daemon.die();
  }

  /** Aborted when the process is dead. */
  get life(): AbortSignal {
    return this.#daemon.life;
  }

  version(): CriVersion {
    this.#check();
    return { runtimeName: 'containerd', runtimeVersion: this.flavour.version, runtimeApiVersion: 'v1' };
  }

  status(): CriStatus {
    this.#check();
    return runtimeStatus(this.#daemon);
  }

  cgroupDriver(): 'systemd' {
    this.#check();
    if (this.flavour.noRuntimeConfig !== undefined) throw fault(this.flavour.noRuntimeConfig, 'Unimplemented');
    return 'systemd';
  }

  listSandboxes(filter: SandboxFilter = {}): LiveSandbox[] {
    this.#check();
    const matches = selector(filter.labels);
    return [...this.#daemon.sandboxes.values()].filter(
      (each) =>
        (!filter.id || each.record.id.startsWith(filter.id)) &&
        (filter.ready === undefined || (each.state === 'ready') === filter.ready) &&
        matches(each.record.config.labels),
    );
  }

  /** PodSandboxStatus: the sandbox, its address while its namespace is open, and the verbose JSON. */
  sandboxStatus(id: string): { sandbox: LiveSandbox; ip: string; info: () => Record<string, unknown> } {
    this.#check();
    const sandbox = this.#daemon.sandboxes.get(id);
    if (!sandbox) throw fault('an error occurred when try to find sandbox: not found', 'NotFound');
    const open = this.#daemon.machine.netns.has(sandbox.record.netns);
    const ip = open ? (sandbox.record.cniResult?.ip ?? '') : '';
    return { sandbox, ip, info: () => sandboxInfo(this.#daemon, sandbox) };
  }

  runSandbox(config: SandboxConfig, handler: string, call: AbortSignal): Promise<string> {
    const { name, uid, namespace, attempt } = config;
    const metadata = `{Name:${name},Uid:${uid},Namespace:${namespace},Attempt:${attempt},}`;
    const what = `RunPodSandbox for &PodSandboxMetadata${metadata}`;
    return this.#logged(
      what,
      () => runSandbox(this.#daemon, config, handler, call),
      (id) => `${what} returns sandbox id ${JSON.stringify(id)}`,
    );
  }

  stopSandbox(id: string, call: AbortSignal): Promise<void> {
    return this.#logged(`StopPodSandbox for ${JSON.stringify(id)}`, () => stopSandbox(this.#daemon, id, call));
  }

  removeSandbox(id: string, call: AbortSignal): Promise<void> {
    return this.#logged(
      `RemovePodSandbox for ${JSON.stringify(id)}`,
      () => removeSandbox(this.#daemon, id, call),
      () => `RemovePodSandbox ${JSON.stringify(id)} returns successfully`,
    );
  }

  listContainers(filter: ContainerFilter = {}): ContainerRecord[] {
    this.#check();
    const matches = selector(filter.labels);
    return [...this.#daemon.containers.values()].filter(
      (each) =>
        (!filter.id || each.id.startsWith(filter.id)) &&
        (!filter.sandboxId || each.sandboxId.startsWith(filter.sandboxId)) &&
        matches(each.config.labels),
    );
  }

  containerStatus(id: string): ContainerRecord {
    this.#check();
    return this.#daemon.findContainer(id);
  }

  createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    const metadata = `&ContainerMetadata{Name:${config.name},Attempt:${config.attempt},}`;
    const within = `CreateContainer within sandbox ${JSON.stringify(sandboxId)}`;
    return this.#logged(
      `${within} for container ${metadata}`,
      () => createContainer(this.#daemon, sandboxId, config),
      (id) => `${within} for ${metadata} returns container id ${JSON.stringify(id)}`,
    );
  }

  startContainer(id: string): Promise<void> {
    return this.#logged(`StartContainer for ${JSON.stringify(id)}`, () => startContainer(this.#daemon, id));
  }

  stopContainer(id: string, graceMs: number): Promise<void> {
    return this.#logged(`StopContainer for ${JSON.stringify(id)}`, () => stopContainer(this.#daemon, id, graceMs));
  }

  removeContainer(id: string): Promise<void> {
    return this.#logged(`RemoveContainer for ${JSON.stringify(id)}`, () => removeContainer(this.#daemon, id));
  }

  /** GetContainerEvents. Gives the function that ends it. */
  listen(listener: (event: CriEvent) => void): () => void {
    this.#check();
    if (this.flavour.noEvents !== undefined) throw fault(this.flavour.noEvents, 'Unimplemented');
    return this.#daemon.listen(listener);
  }

  /** CRI's state of a container. */
  stateOf(container: ContainerRecord): 'created' | 'running' | 'exited' {
    return stateOf(container);
  }

  #check(): void {
    this.#daemon.life.throwIfAborted();
    if (!this.#initialized) throw fault(this.flavour.notReadyWords, this.flavour.notReady);
  }

  /** instrumented_service.go: a line before, and one for what came of it. */
  async #logged<T>(
    what: string,
    work: () => Promise<T>,
    result: (value: T) => string = () => `${what} returns successfully`,
  ): Promise<T> {
    this.#check();
    const { log } = this.#daemon;
    log('info', what);
    try {
      const value = await work();
      log('info', result(value));
      return value;
    } catch (error) {
      if (!(error instanceof Died)) log('error', `${what} failed, error`, { error: wordsOf(error) });
      throw error;
    }
  }
}

/** Whether labels have all that is wanted. */
function selector(
  wanted: Readonly<Record<string, string>> = {},
): (labels: Readonly<Record<string, string>>) => boolean {
  const pairs = Object.entries(wanted);
  return (labels) => pairs.every(([key, value]) => labels[key] === value);
}

function logLine(wallNs: bigint, level: string, text: string, fields: Readonly<Record<string, string>> = {}): string {
  const seconds = new Date(Number(wallNs / 1_000_000n)).toISOString().slice(0, 19);
  const time = `${seconds}.${String(wallNs % 1_000_000_000n).padStart(9, '0')}Z`;
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${JSON.stringify(value)}`);
  return `time="${time}" level=${level} msg=${JSON.stringify(text)}${rest.join('')}`;
}
