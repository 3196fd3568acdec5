import type { Identity, Look, World } from '../../src/heal/ports.ts';
import { SandwardenError } from '../../src/model/errors.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { Action, Plan, Refusal } from '../../src/model/plan.ts';
import { type Container, describePod, describeSandbox, type Sandbox } from '../../src/model/sandbox.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { snapshotFormat } from '../../src/model/snapshot.ts';
import { SECOND, SimClock } from './sim-clock.ts';

const YEAR = 31_536_000n * SECOND;

/** A node in memory. It notes what no executor may do, and changes when a test says so. */
export class SimWorld implements World {
  readonly clock = new SimClock();
  sandboxes: Sandbox[] = [];
  containers: Container[] = [];
  readonly pauses = new Map<string, boolean>();
  /** Whether the plan knows the pids of pause processes. */
  knowsPids = false;
  identity: Identity = { runtimePid: 10, runtimeStartedUptimeNs: 7n, kubeletRunning: true, kubeletPid: 20 };
  /** What the plan wants beside removals of ghosts. */
  extra: Action[] = [];
  /** Ghosts that the plan leaves out, by id. */
  readonly refused = new Map<string, Pick<Refusal, 'reason' | 'passes'>>();
  readonly processes = new Map<string, number>();
  /** Every call that reached the node, in order. */
  readonly calls: string[] = [];
  /** Things that no executor may do. */
  readonly violations: string[] = [];
  readonly removed = new Map<string, number>();
  mostInFlight = 0;
  /** Whether the runtime's RemovePodSandbox stops by itself. */
  stopsOnRemoval = false;
  removeMs = 3;
  /** How long kubelet takes to start a pod that nothing blocks; undefined: never. */
  recoverMs: number | undefined = 2_000;
  /** Runs before each call takes effect; may change the world, throw, or never end. */
  before: (call: string, id: string) => void | Promise<void> = () => undefined;
  /** Set by a test: whether an intent for this object is durable now. */
  isIntended: (target: string) => Promise<boolean> = () => Promise.resolve(true);
  readonly #pids = new Map<number, string>();
  #inFlight = 0;
  #freeSince = new Map<string, bigint>();

  /** A pod with ghosts (attempts 0…n-1, dated a year ahead) that kubelet would restart once they are gone. */
  addPod(name: string, ghosts = 1): void {
    for (let attempt = 0; attempt < ghosts; attempt += 1)
      this.sandboxes.push(this.sandbox(name, attempt, 'notready', YEAR));
    this.sandboxes.push(this.sandbox(name, ghosts, 'notready', -30n * SECOND));
  }

  sandbox(name: string, attempt: number, state: Sandbox['state'], aheadNs: bigint): Sandbox {
    const uid = `uid-${name}`;
    const createdAtNs = this.clock.wallNs() + aheadNs;
    const base = { namespace: 'default', runtimeHandler: '', configSource: 'api' };
    return { id: `${name}-${attempt}`, name, uid, attempt, state, createdAtNs, ...base };
  }

  change(id: string, change: Partial<Sandbox>): void {
    this.sandboxes = this.sandboxes.map((each) => (each.id === id ? { ...each, ...change } : each));
  }

  vanish(id: string): void {
    this.sandboxes = this.sandboxes.filter((each) => each.id !== id);
  }

  startContainer(sandboxId: string, state: Container['state'] = 'running'): void {
    const uid = this.sandboxes.find((each) => each.id === sandboxId)?.uid ?? '';
    const base = { id: `c-${sandboxId}`, sandboxId, podUid: uid, name: 'app', attempt: 0 };
    this.containers.push({ ...base, state, createdAtNs: this.clock.wallNs() });
  }

  ghosts(): Sandbox[] {
    const ahead = this.clock.wallNs() + YEAR / 2n;
    return this.sandboxes.filter((each) => each.state === 'notready' && each.createdAtNs > ahead);
  }

  plan(): Plan {
    const chosen = this.ghosts().filter((each) => !this.refused.has(each.id));
    const actions = chosen.map((each): Action => this.#removalOf(each));
    const refusals = this.ghosts().flatMap((each): Refusal[] => {
      const why = this.refused.get(each.id);
      return why === undefined ? [] : [{ object: describeSandbox(each), target: each.id, code: 'SW102', ...why }];
    });
    const pods = [...new Set(chosen.map(describePod))].sort();
    return { actions: [...this.extra, ...actions], refusals, pods };
  }

  #removalOf(sandbox: Sandbox): Action {
    const action = removalOf(sandbox);
    if (!this.knowsPids || action.guard.kind !== 'remove-sandbox') return action;
    const known = [...this.#pids].find(([, id]) => id === sandbox.id)?.[0];
    const pausePid = known ?? 1_000 + this.#pids.size;
    this.#pids.set(pausePid, sandbox.id);
    return { ...action, guard: { ...action.guard, pausePid } };
  }

  look(): Look {
    const plan = this.plan();
    const diagnosis = {
      verdict: 'simulated',
      state: 'errors',
      chain: [],
      findings: [],
      gaps: [],
      notJudged: [],
    } as const;
    return { snapshot: this.#snapshot(), diagnosis, plan, listedUptimeNs: this.clock.uptimeNs() };
  }

  async lookAgain(): Promise<Look> {
    await this.#call('look', '');
    this.#recover();
    return this.look();
  }

  async readPod(podUid: string) {
    await this.#call('read', podUid);
    this.#recover();
    const sandboxes = this.sandboxes.filter((each) => each.uid === podUid);
    return { sandboxes, containers: this.containers.filter((each) => each.podUid === podUid) };
  }

  async pauseAlive(sandboxId: string): Promise<boolean | undefined> {
    await this.#call('pause', sandboxId);
    return this.pauses.get(sandboxId) ?? false;
  }

  processAlive(pid: number): boolean {
    return this.pauses.get(this.#pids.get(pid) ?? '') ?? false;
  }

  async readIdentity(): Promise<Identity> {
    await this.#call('identity', '');
    return this.identity;
  }

  async removalStops(): Promise<boolean> {
    return this.stopsOnRemoval;
  }

  async stopSandbox(id: string): Promise<void> {
    await this.#write('stop', id, () => undefined);
  }

  async removeSandbox(id: string): Promise<void> {
    await this.#write('remove', id, () => {
      const sandbox = this.sandboxes.find((each) => each.id === id);
      this.removed.set(id, (this.removed.get(id) ?? 0) + 1);
      if (!sandbox) return;
      this.vanish(id);
      if (!this.ghosts().some((each) => each.uid === sandbox.uid)) {
        this.#freeSince.set(sandbox.uid, this.clock.uptimeNs());
      }
    });
  }

  async killProcess(pid: number, startedUptimeNs: bigint): Promise<'killed' | 'gone'> {
    await this.#call('kill', `${pid}@${startedUptimeNs}`);
    if (!(await this.isIntended(`${pid}@${startedUptimeNs}`))) this.violations.push(`killed ${pid} without an intent`);
    return this.processes.delete(`${pid}@${startedUptimeNs}`) ? 'killed' : 'gone';
  }

  async restartUnit(unit: string): Promise<void> {
    await this.#call('restart', unit);
    if (!(await this.isIntended(unit))) this.violations.push(`restarted ${unit} without an intent`);
    const runtimePid = (this.identity.runtimePid ?? 0) + 1;
    this.identity = { ...this.identity, runtimePid, runtimeStartedUptimeNs: this.clock.uptimeNs() };
  }

  async #write(call: 'stop' | 'remove', id: string, work: () => void): Promise<void> {
    this.#inFlight += 1;
    this.mostInFlight = Math.max(this.mostInFlight, this.#inFlight);
    try {
      await this.#call(call, id);
      const sandbox = this.sandboxes.find((each) => each.id === id);
      if (sandbox?.state === 'ready') this.violations.push(`${call} of READY ${id}`);
      if (!(await this.isIntended(id))) this.violations.push(`${call} of ${id} without a durable intent`);
      await this.clock.sleep(this.removeMs);
      work();
    } finally {
      this.#inFlight -= 1;
    }
  }

  #call(call: string, id: string): Promise<void> {
    return this.touch(call, id);
  }

  /** A call reaches the node: it is noted, and may be stopped. */
  async touch(call: string, id: string): Promise<void> {
    this.calls.push(`${call} ${id}`.trim());
    await this.before(call, id);
  }

  /** kubelet: a pod that nothing blocks gets a READY sandbox after a while. */
  #recover(): void {
    for (const [uid, since] of this.#freeSince) {
      const waited = Number(this.clock.uptimeNs() - since) / 1e6;
      if (this.recoverMs === undefined || waited < this.recoverMs) continue;
      const last = this.sandboxes.filter((each) => each.uid === uid).sort((a, b) => b.attempt - a.attempt)[0];
      if (last) this.sandboxes.push(this.sandbox(last.name, last.attempt + 1, 'ready', 0n));
      this.#freeSince.delete(uid);
    }
  }

  #snapshot(): Snapshot {
    const none = unknown('ERR_NOT_ASKED', 'simulated');
    const { runtimePid, runtimeStartedUptimeNs } = this.identity;
    const holders = [...this.processes.keys()].map((key) => {
      const [pid, started] = key.split('@');
      const base = { ppid: 1, comm: 'bridge', role: 'cni', state: 'S' } as const;
      return { pid: Number(pid), startedUptimeNs: BigInt(started ?? 0), ...base };
    });
    const runtime = runtimePid === undefined ? {} : { runtimePid };
    const since = runtimeStartedUptimeNs === undefined ? {} : { runtimeStartedUptimeNs };
    return {
      format: snapshotFormat,
      takenBy: 'test',
      node: none,
      clock: none,
      boots: none,
      runtime: none,
      runtimeUnit: none,
      sandboxes: known([...this.sandboxes]),
      containers: known([...this.containers]),
      details: {},
      kubelet: none,
      kubeletLog: none,
      runtimeLog: none,
      processes: known({ ...runtime, ...since, holders }),
      pods: none,
    };
  }
}

export function removalOf(sandbox: Sandbox): Action {
  const { id, uid, attempt, createdAtNs } = sandbox;
  return {
    kind: 'remove-sandbox',
    target: id,
    object: describeSandbox(sandbox),
    code: 'SW102',
    tier: 'safe',
    reason: 'from the future',
    precondition: 'NotReady',
    expects: 'gone',
    guard: { kind: 'remove-sandbox', sandboxId: id, podUid: uid, attempt, createdAtNs },
  };
}

export function restartOf(unit: string): Action {
  const base = {
    code: 'SW103',
    tier: 'disruptive',
    reason: 'hangs',
    precondition: 'hangs',
    expects: 'answers',
  } as const;
  return { kind: 'restart-runtime', target: unit, object: unit, ...base, guard: { kind: 'restart-runtime', unit } };
}

export function killOf(pid: number, startedUptimeNs: bigint): Action {
  const base = { code: 'SW103', tier: 'disruptive', reason: 'hangs', precondition: 'hangs', expects: 'gone' } as const;
  const guard = { kind: 'kill-cni', pid, startedUptimeNs } as const;
  return { kind: 'kill-cni', target: `${pid}@${startedUptimeNs}`, object: `bridge (${pid})`, ...base, guard };
}

export function criError(
  message: string,
  code: 'ERR_CRI_FAILED' | 'ERR_SOCKET_HUNG' = 'ERR_CRI_FAILED',
): SandwardenError {
  return new SandwardenError(code, message, { hint: 'simulated' });
}
