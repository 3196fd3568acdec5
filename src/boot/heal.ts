import type { Entry } from '../heal/entries.ts';
import { execute } from '../heal/execute.ts';
import { openIntents } from '../heal/leftovers.ts';
import { removalStillRight } from '../heal/plan.ts';
import type { Look, World } from '../heal/ports.ts';
import type { HealState } from '../heal/state-dir.ts';
import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import { orderOfVersion } from '../model/kubelet-choice.ts';
import { limits } from '../model/limits.ts';
import { unknown, valueOr } from '../model/observed.ts';
import type { Outcome, Plan } from '../model/plan.ts';
import type { BootConf } from './boot-conf.ts';
import { type FloorPorts, floorClock } from './clock-floor.ts';
import { criWitnesses, leftForKubelet, refusedOf } from './left.ts';
import type { ClockRecord, HealRecord } from './record.ts';
import type { Witness } from './witnesses.ts';

/** A runtime that serves, and what healing does with it. */
export interface BootRuntime extends AsyncDisposable {
  readonly world: World;
  /** Whether pods can be given and refused a network now (`NetworkReady`). */
  networkReady(): Promise<boolean>;
}

export interface BootHealPorts {
  /** Resolves when CRI serves. Throws where it cannot come up; `signal` ends the wait. */
  openRuntime(signal: AbortSignal): Promise<BootRuntime>;
  readonly floor: FloorPorts;
  readonly clock: World['clock'];
  openState(): Promise<HealState>;
  /** Our journal. Throws as heal/journal.ts readJournal. */
  entries(): Promise<readonly Entry[]>;
  /** What the disk told before the runtime started; read now where nobody did. */
  witnesses(): Promise<readonly Witness[]>;
}

export interface BootHealOptions {
  readonly conf: Pick<BootConf, 'clockFloor' | 'forwardDays'>;
  /** The hook may be part of a loop of reboots. */
  readonly reportOnly: boolean;
  /** All of it, milliseconds. */
  readonly limitMs: number;
}

/** What a step has done so far: kept outside of it, so that a step that ends early tells it too. */
export class Progress {
  runtimeReadyUptimeNs: bigint | undefined;
  clock: ClockRecord | undefined;
  removed: string[] = [];
  left: { object: string; why: string }[] = [];
  settled = false;
  why = '';

  /** Takes over what a run removed, and what it could not. */
  add(outcome: Outcome): void {
    for (const { action, result, why } of outcome.actions) {
      if (result === 'done') this.removed.push(action.object);
      else if (result !== 'already') this.left.push({ object: action.object, why });
    }
    if (outcome.stopped !== undefined) this.why = outcome.stopped.message;
  }
}

/**
 * After the runtime serves and before kubelet starts: the exact floor of the clock from CRI's dates, then the safe
 * tier. Ends within `limitMs` (and a grace for a call in hand). Throws for a bug only: what went wrong is in `why`.
 */
export function healBeforeKubelet(ports: BootHealPorts, options: BootHealOptions): Promise<HealRecord> {
  return step('before-kubelet', ports, options, async (progress, signal) => {
    await using runtime = await ports.openRuntime(signal);
    progress.runtimeReadyUptimeNs = ports.clock.uptimeNs();
    let look = await runtime.world.lookAgain();
    if (isKubeletUp(look)) {
      progress.why = 'kubelet runs already, or may: nothing is done before it';
      return;
    }
    progress.clock = await exactFloor(look, ports, options);
    if (progress.clock?.result === 'moved') look = await runtime.world.lookAgain();
    const { actions } = look.plan;
    progress.left = refusedOf(look.plan);
    if (options.reportOnly) {
      progress.left.push(...actions.map(({ object, reason }) => ({ object, why: `would be removed: ${reason}` })));
      progress.why = `${limits.rebootLoopBoots} unclean boots within an hour: this one only reports`;
      return;
    }
    const plan = actions.length > 0 ? removableNow(look, await isNetworkReady(runtime, ports, signal)) : look.plan;
    // What the power cut out of an earlier run is looked after and written down, also where nothing is left to do.
    if (plan.actions.length > 0 || (await isCutOff(ports))) {
      progress.add(await heal({ ...look, plan }, runtime.world, ports, signal));
      look = await runtime.world.lookAgain();
    }
    if (plan.actions.length < actions.length && progress.why === '') progress.why = noNetwork;
    const left = leftForKubelet(look.snapshot);
    progress.left.push(...left.filter(({ object }) => !progress.left.some((each) => each.object === object)));
    progress.settled = left.length === 0 && progress.why === '';
    if (progress.why === '') progress.why = left.length === 0 ? 'nothing is left that blocks a pod' : 'kubelet decides';
  });
}

/**
 * After kubelet's start, where the step before it left something: watches until no sandbox can keep a pod from starting
 * or kubelet has run in peace for a while, and heals the safe tier as `heal` does, on the proof of kubelet's own
 * refusals and of the API where it answers. A look costs a small board seconds of its processor, just when its pods
 * start: they come at growing distances (limits.bootWatch…).
 */
export function healAfterKubelet(ports: BootHealPorts, options: BootHealOptions): Promise<HealRecord> {
  return step('after-kubelet', ports, options, async (progress, signal) => {
    await using runtime = await ports.openRuntime(signal);
    progress.runtimeReadyUptimeNs = ports.clock.uptimeNs();
    let waitMs: number = limits.bootWatchPollMs;
    for (let idle = 0; idle < limits.attemptsPerObject; ) {
      const look = await runtime.world.lookAgain();
      progress.left = refusedOf(look.plan);
      const { actions } = look.plan;
      const plan = actions.length > 0 ? removableNow(look, await runtime.networkReady()) : look.plan;
      progress.why = plan.actions.length < actions.length ? noNetwork : '';
      if (plan.actions.length > 0 && !options.reportOnly) {
        const before = progress.removed.length;
        progress.add(await heal({ ...look, plan }, runtime.world, ports, signal));
        idle = progress.removed.length > before ? 0 : idle + 1;
        waitMs = limits.bootWatchPollMs;
      } else if (peaceInMs(look) === 0) {
        progress.settled = true;
        progress.why = 'kubelet runs, and nothing blocks a pod';
        return;
      }
      await ports.clock.sleep(Math.min(waitMs, peaceInMs(look) ?? waitMs), signal);
      const mostMs = look.diagnosis.state === 'errors' ? limits.bootWatchBlockedMs : limits.bootWatchMaxMs;
      waitMs = Math.min(2 * waitMs, mostMs);
    }
    progress.why = 'what was tried failed each time: see `sandwarden check`';
  });
}

type Work = (progress: Progress, signal: AbortSignal) => Promise<void>;

/** Runs `work` within the limit; a failure of the world is its `why`. */
async function step(
  name: HealRecord['step'],
  { clock }: BootHealPorts,
  { limitMs, reportOnly }: BootHealOptions,
  work: Work,
): Promise<HealRecord> {
  const startedUptimeNs = clock.uptimeNs();
  const progress = new Progress();
  const [limit, ended] = [new AbortController(), new AbortController()];
  const late = (async () => {
    await clock.sleep(limitMs, ended.signal);
    limit.abort(tooLate(limitMs));
    // A call in hand is given the time that Ctrl-C gives it; what still hangs then is left behind.
    await clock.sleep(limits.interruptGraceMs, ended.signal);
    throw tooLate(limitMs);
  })();
  try {
    await Promise.race([work(progress, limit.signal), late]);
  } catch (error) {
    const reason = limit.signal.aborted && error === limit.signal.reason ? limit.signal.reason : error;
    if (!isSandwardenError(reason)) throw reason;
    progress.why = progress.why === '' ? reason.message : `${progress.why}; ${reason.message}`;
  } finally {
    ended.abort();
    await Promise.allSettled([late]);
  }
  const { runtimeReadyUptimeNs, clock: moved, removed, left, settled, why } = progress;
  return {
    step: name,
    startedUptimeNs,
    endedUptimeNs: clock.uptimeNs(),
    ...(runtimeReadyUptimeNs === undefined ? {} : { runtimeReadyUptimeNs }),
    reportOnly,
    ...(moved === undefined ? {} : { clock: moved }),
    removed,
    left,
    settled,
    why,
  };
}

function tooLate(limitMs: number): SandwardenError {
  return new SandwardenError('ERR_INTERRUPTED', `not done within ${limitMs / 1_000} s; kubelet starts anyway`, {
    hint: '`sandwarden check` says what is left.',
  });
}

/** Only where the runtime tells of a date after now; the same rule of trust as before its start. */
async function exactFloor(
  look: Look,
  ports: BootHealPorts,
  options: BootHealOptions,
): Promise<ClockRecord | undefined> {
  const ours = criWitnesses(look.snapshot);
  const nowNs = ports.clock.wallNs();
  if (!ours.some((each) => each.dateNs > nowNs)) return undefined;
  // containerd has written its files since: of its family only the dates inside them count now.
  const others = (await ports.witnesses()).filter((each) => each.family !== 'containerd');
  const { conf, reportOnly } = options;
  return await floorClock(ports.floor, { conf, reportOnly, witnesses: [...ours, ...others] });
}

const noNetwork = 'the pod network is not ready, and a sandbox is stopped with its CNI plugin';

/**
 * What of the plan can be done now. Without a pod network a removal is bound to fail, and would use up one of the
 * attempts that the object has; a sandbox in the host's network needs none, and may be the one that brings it.
 */
function removableNow({ plan, snapshot }: Look, isNetworkReady: boolean): Plan {
  if (isNetworkReady) return plan;
  const inHost = (id: string) => valueOr(snapshot.details[id] ?? unseen, undefined)?.hostNetwork === true;
  const actions = plan.actions.filter((each) => inHost(each.target));
  const pods = new Set(actions.map((each) => each.object.slice(0, each.object.lastIndexOf('/'))));
  return { ...plan, actions, pods: plan.pods.filter((each) => pods.has(each)) };
}

const unseen = unknown('ERR_NOT_SUPPORTED', 'it was not asked for');

/** Waits for a moment: where containerd has just started, it reads its network configuration yet. */
async function isNetworkReady(runtime: BootRuntime, { clock }: BootHealPorts, signal: AbortSignal): Promise<boolean> {
  const untilNs = clock.uptimeNs() + BigInt(limits.bootNetworkMs) * 1_000_000n;
  while (!(await runtime.networkReady())) {
    if (clock.uptimeNs() >= untilNs) return false;
    await clock.sleep(limits.bootPollMs, signal);
  }
  return true;
}

async function heal(look: Look, world: World, { openState }: BootHealPorts, signal: AbortSignal): Promise<Outcome> {
  const kubeletDown = !isKubeletUp(look);
  return await execute({
    look,
    plan: look.plan,
    world,
    state: await openState(),
    signal,
    onProgress: () => {},
    kubeletDown,
    stillRight: (action, fresh) => removalStillRight(action, fresh, look.snapshot, { allow: ['safe'], only: [] }),
    order: orderOfVersion(valueOr(look.snapshot.kubelet, undefined)?.version),
  });
}

/** Whether our journal has intents without an outcome. A journal that cannot be read keeps nobody from going on. */
async function isCutOff({ entries }: BootHealPorts): Promise<boolean> {
  try {
    return openIntents(await entries()).length > 0;
  } catch (error) {
    if (isSandwardenError(error)) return false;
    throw error;
  }
}

/** Unknown counts as up: then nothing may be taken for granted. */
function isKubeletUp({ snapshot: { kubelet } }: Look): boolean {
  return !kubelet.known || kubelet.value.running;
}

/**
 * When nothing more need be watched for, milliseconds from now: at once where kubelet runs, its choice replayed settles
 * for each pod and nothing is dated after now; else when kubelet has run for so long without being refused anything.
 * Undefined: not yet known.
 */
function peaceInMs({ snapshot, diagnosis, plan }: Look): number | undefined {
  const { kubelet, node } = snapshot;
  if (!kubelet.known || !node.known || !kubelet.value.running) return undefined;
  if (diagnosis.state === 'errors' || diagnosis.state === 'unobservable' || plan.actions.length > 0) return undefined;
  const isDatedAhead = criWitnesses(snapshot).some((each) => each.dateNs > node.value.wallNs);
  if (leftForKubelet(snapshot).length === 0 && !isDatedAhead) return 0;
  if (kubelet.value.startedUptimeNs === undefined) return undefined;
  const ranMs = Number((node.value.uptimeNs - kubelet.value.startedUptimeNs) / 1_000_000n);
  return Math.max(limits.bootSettledMs - ranMs, 0);
}
