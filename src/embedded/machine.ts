import type { TurnableClock } from './clock.ts';
import { CniPlugin } from './cni.ts';
import { Disk } from './disk.ts';
import { Died } from './faults.ts';
import { lifetimeOf, socketOf } from './lifetime.ts';
import type { Random } from './random.ts';

/** A process of a container or a pause process, under its shim: it outlives the daemon, but not the power. */
export interface Task {
  readonly pid: number;
  readonly startedUptimeNs: bigint;
  /** Set when it has ended. */
  exit: { readonly code: number; readonly atNs: bigint } | undefined;
  /** The daemon's ear; a daemon that dies takes it off. */
  onExit: (() => void) | undefined;
  /** The unix socket that it listens on. */
  serves?: string;
  /** The unix socket that it is connected to. */
  needs?: string;
}

/** How long a process lives by itself and what it leaves. Undefined: until it is killed. */
export type Lifetime = { readonly afterMs: number; readonly code: number } | undefined;

/** kubernetes-csi sidecars give up at once where the file is not there, and else when the connection is refused. */
const withoutSocket = { afterMs: 800, code: 1 } as const;

/** The machine under the daemon: a disk that survives a power cut; processes and a tmpfs that do not. */
export class Machine {
  readonly disk = new Disk();
  readonly cni: CniPlugin;
  readonly tasks = new Map<string, Task>();
  readonly netns = new Set<string>();
  readonly clock: TurnableClock;
  readonly random: Random;
  #power = new AbortController();
  #lastPid = 300;

  constructor(clock: TurnableClock, random: Random) {
    this.clock = clock;
    this.random = random;
    this.cni = new CniPlugin();
  }

  /** Aborted when the power is cut. */
  get power(): AbortSignal {
    return this.#power.signal;
  }

  newPid(): number {
    this.#lastPid += 1 + Math.floor(this.random.next() * 12);
    return this.#lastPid;
  }

  spawn(id: string, lifetime: Lifetime): Task {
    const startedUptimeNs = this.clock.uptimeNs();
    const task: Task = { pid: this.newPid(), startedUptimeNs, exit: undefined, onExit: undefined };
    this.tasks.set(id, task);
    if (lifetime) void this.#endLater(id, task, lifetime);
    return task;
  }

  /** The process of a container with this command; a CSI driver listens on its socket from then on. */
  start(id: string, command: readonly string[]): Task {
    const socket = socketOf(command);
    if (socket === undefined) return this.spawn(id, lifetimeOf(command));
    if (socket.does === 'need') {
      const served = this.isServed(socket.path);
      return Object.assign(this.spawn(id, served ? undefined : withoutSocket), served ? { needs: socket.path } : {});
    }
    this.disk.sockets.set(socket.path, { madeAtNs: this.clock.wallNs(), inode: this.newPid() });
    return Object.assign(this.spawn(id, undefined), { serves: socket.path });
  }

  /** Whether a process listens on a socket; its file outlives it. */
  isServed(path: string): boolean {
    return [...this.tasks.values()].some((each) => each.serves === path && each.exit === undefined);
  }

  /** SIGKILL (137) or the end by itself. Without effect on a task that has ended. */
  end(task: Task, code: number): void {
    if (task.exit) return;
    task.exit = { code, atNs: this.clock.wallNs() };
    task.onExit?.();
    // csi-lib-utils connection.ExitOnConnectionLoss.
    const lost = [...this.tasks.values()].filter((each) => task.serves !== undefined && each.needs === task.serves);
    for (const each of lost) this.end(each, 1);
  }

  openNetns(): string {
    const path = `/var/run/netns/cni-${this.random.uid()}`;
    this.netns.add(path);
    return path;
  }

  /** Everything that is not on the disk is gone. Whoever starts processes again calls `powerOn` first. */
  powerCut(): void {
    this.#power.abort(new Died('the machine'));
    for (const task of this.tasks.values()) task.onExit = undefined;
    this.tasks.clear();
    this.netns.clear();
    this.cni.releaseHeld();
  }

  powerOn(): void {
    this.#power = new AbortController();
    this.#lastPid = 300;
    this.clock.reboot();
  }

  async #endLater(id: string, task: Task, lifetime: NonNullable<Lifetime>): Promise<void> {
    try {
      await this.clock.sleep(lifetime.afterMs, this.power);
    } catch (error) {
      if (error instanceof Died) return;
      throw error;
    }
    if (this.tasks.get(id) === task) this.end(task, lifetime.code);
  }
}
