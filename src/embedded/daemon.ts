import type { CriEvent } from '../cri/types.ts';
import type { ContainerRecord, SandboxRecord } from './disk.ts';
import { Events } from './events.ts';
import { Died, fault } from './faults.ts';
import type { Flavour } from './flavour.ts';
import type { Machine, Task } from './machine.ts';
import { Registrar } from './registrar.ts';

/** How long the steps of a call take, milliseconds; they vary by a fifth. Zero in real time. */
export interface Latency {
  /** A CNI plugin. */
  readonly cniMs: number;
  /** A shim and its process. */
  readonly taskMs: number;
  /** A commit to meta.db. */
  readonly recordMs: number;
  /** Recovery at start. */
  readonly recoverMs: number;
}
export const noLatency: Latency = { cniMs: 0, taskMs: 0, recordMs: 0, recoverMs: 0 };
/** Like the recorded nodes: a virtual machine on two slow cores. */
export const recordedLatency: Latency = { cniMs: 900, taskMs: 350, recordMs: 40, recoverMs: 600 };

/** A sandbox in the daemon's store. `unknown` is listed as NOTREADY. */
export interface LiveSandbox {
  readonly record: SandboxRecord;
  state: 'ready' | 'notready' | 'unknown';
  readonly createdAtNs: bigint;
}

/** What Go's zero time.Time is as UnixNano: a sandbox without a container record is listed with it. */
export const zeroTimeNs = -6795364578871345152n;

/** What a running containerd has in memory, and what its parts share. It dies with the process. */
export class Daemon {
  readonly machine: Machine;
  readonly flavour: Flavour;
  readonly latency: Latency;
  readonly sandboxNames = new Registrar();
  readonly containerNames = new Registrar();
  readonly sandboxes = new Map<string, LiveSandbox>();
  readonly containers = new Map<string, ContainerRecord>();
  readonly log: (level: string, text: string, fields?: Readonly<Record<string, string>>) => void;
  readonly #life = new AbortController();
  readonly #events: Events;

  constructor(machine: Machine, flavour: Flavour, latency: Latency, log: Daemon['log']) {
    this.machine = machine;
    this.flavour = flavour;
    this.latency = latency;
    this.log = log;
    this.#events = new Events(flavour.telling);
  }

  /** Aborted when the daemon dies; its calls end with `Died`. */
  get life(): AbortSignal {
    return this.#life.signal;
  }

  /** SIGKILL: tasks live on and nobody listens to them any more. */
  die(): void {
    this.#life.abort(new Died('containerd'));
    for (const task of this.machine.tasks.values()) task.onExit = undefined;
    this.#events.clear();
  }

  /** The configuration's syncer notices a file that is removed or written in place (cni_conf_syncer.go). */
  get cniLoaded(): boolean {
    return this.machine.disk.conflist;
  }

  newId(): string {
    return this.machine.random.hex(64);
  }

  async pause(step: keyof Latency): Promise<void> {
    this.life.throwIfAborted();
    const ms = this.latency[step];
    if (ms > 0) await this.machine.clock.sleep(ms * (0.8 + 0.4 * this.machine.random.next()), this.life);
  }

  listen(listener: (event: CriEvent) => void): () => void {
    return this.#events.listen(listener, this.machine.clock.wallNs());
  }

  tell(type: CriEvent['type'], id: string): void {
    const of = this.containers.get(id);
    const container = of && { name: of.config.name, attempt: of.config.attempt, sandboxId: of.sandboxId };
    this.#events.tell({ id, type, atNs: this.machine.clock.wallNs(), ...(container ? { container } : {}) });
  }

  /** Follows a sandbox's pause process: when it ends, the sandbox is not ready. */
  watchSandbox(sandbox: LiveSandbox, task: Task): void {
    task.onExit = () => {
      this.machine.tasks.delete(sandbox.record.id);
      if (sandbox.state === 'ready') sandbox.state = 'notready';
      this.tell('stopped', sandbox.record.id);
    };
  }

  /** Follows a container's process and writes its end to the status file. */
  watchContainer(container: ContainerRecord, task: Task): void {
    task.onExit = () => {
      const exit = task.exit;
      if (!exit) return;
      this.machine.tasks.delete(container.id);
      container.finishedAtNs = exit.atNs;
      container.exitCode = exit.code;
      container.reason = exit.code === 0 ? 'Completed' : 'Error';
      this.tell('stopped', container.id);
    };
  }

  containersOf(sandboxId: string): ContainerRecord[] {
    return [...this.containers.values()].filter((each) => each.sandboxId === sandboxId);
  }

  /** The container, or NotFound with containerd's words. */
  findContainer(id: string): ContainerRecord {
    const container = this.containers.get(id);
    if (container) return container;
    throw fault(`an error occurred when try to find container ${JSON.stringify(id)}: not found`, 'NotFound');
  }
}

/** CRI's state of a container, from its dates as containerd's own (store/container/status.go State). */
export function stateOf(container: ContainerRecord): 'created' | 'running' | 'exited' {
  if (container.finishedAtNs !== 0n) return 'exited';
  return container.startedAtNs !== 0n ? 'running' : 'created';
}
