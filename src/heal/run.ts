import type { Clock } from '../model/clock.ts';
import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { Action, ActionOutcome } from '../model/plan.ts';
import type { ActContext, Check, Done, Performer, StillRight } from './actions/action.ts';
import { orderUnit, restoreFiles, writeConfig } from './actions/change-files.ts';
import { deleteAttachment } from './actions/delete-attachment.ts';
import { deletePod } from './actions/delete-pod.ts';
import { holdSlice, releaseSlice } from './actions/hold-slice.ts';
import { killCni } from './actions/kill-cni.ts';
import { removeSandbox } from './actions/remove-sandbox.ts';
import { restartKubelet } from './actions/restart-kubelet.ts';
import { isSameRuntime, restartRuntime } from './actions/restart-runtime.ts';
import { setAllowedCpus } from './actions/set-allowed-cpus.ts';
import { unlinkSocket } from './actions/unlink-socket.ts';
import type { Entry } from './entries.ts';
import { readIdentity } from './identity.ts';
import type { Journal } from './journal.ts';
import type { Backups } from './node-changes.ts';
import type { Identity, World } from './ports.ts';

const performers = [
  removeSandbox,
  killCni,
  writeConfig,
  orderUnit,
  restoreFiles,
  restartRuntime,
  restartKubelet,
  setAllowedCpus,
  holdSlice,
  releaseSlice,
  unlinkSocket,
  deletePod,
  deleteAttachment,
] as const satisfies readonly Performer[];

/** The first surprise, or Ctrl-C: after it nothing new begins. */
export class Stop {
  readonly #signal: AbortSignal;
  #first: SandwardenError | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
  }

  /** Why the run stops, or undefined where it goes on. */
  get reason(): SandwardenError | undefined {
    if (this.#first === undefined && this.#signal.aborted) {
      this.#first = new SandwardenError('ERR_INTERRUPTED', 'interrupted; nothing new was begun after that', {
        hint: 'what was under way was waited for and is in the journal; `sandwarden heal` goes on from there',
      });
    }
    return this.#first;
  }

  with(error: SandwardenError): void {
    if (this.reason === undefined) this.#first = error;
  }
}

export interface Run {
  readonly world: World;
  readonly journal: Journal;
  readonly signal: AbortSignal;
  readonly stop: Stop;
  readonly stillRight: StillRight;
  readonly backups: Backups;
  /** The runtime and the kubelet that the plan is meant for; a restart of ours changes it. */
  baseline: Identity;
  onStart(action: Action, index: number): void;
  onEnd(outcome: ActionOutcome, index: number): void;
}

/**
 * Does the actions in their order: removals of different pods at most `limits.removalsInFlight` at once, everything
 * else alone. Gives one outcome for each, in the same order. `run.stop` says what stopped it, where something did.
 */
export async function runActions(actions: readonly Action[], run: Run): Promise<ActionOutcome[]> {
  const outcomes: ActionOutcome[] = [];
  const writes: Promise<void>[] = [];
  for (const stage of stagesOf(actions)) {
    const next = stage.lanes.values();
    const gate = new Gate(stage.inFlight);
    const ends: Promise<void>[] = [];
    const worker = async () => {
      for (const lane of next) {
        for (const index of lane) {
          const begun = await begin(actions[index] as Action, index, run, gate);
          const end = finish(begun, run, writes).then((outcome) => {
            outcomes[index] = outcome;
          });
          // What came of it is read while the next one is prepared; only within a pod the next one waits for it.
          ends.push(end);
          if (index !== lane.at(-1) || stage.inFlight === 1) await end;
          else end.catch(noop);
        }
      }
    };
    // More are prepared (read again, written down) than may be under way: the runtime never waits for us, and those
    // who read at once share a listing and a sync of the journal.
    const workers = stage.inFlight === 1 ? 1 : limits.preparedPerAct * stage.inFlight;
    const worked = await Promise.allSettled(Array.from({ length: workers }, worker));
    const ended = await Promise.allSettled(ends);
    // What is under way elsewhere has ended by now, so a bug of ours leaves nothing behind.
    const bug = [...worked, ...ended].find((each) => each.status === 'rejected');
    if (bug !== undefined) {
      await Promise.all(writes);
      throw bug.reason;
    }
  }
  await Promise.all(writes);
  return outcomes;
}

/** It is looked at with all the others. */
function noop(): void {}

interface Stage {
  readonly inFlight: number;
  /** Indexes of actions; those of one lane run one after the other. */
  readonly lanes: number[][];
}

/** Neighbouring actions of one kind make a stage; in a stage, the removals of one pod make a lane. */
function stagesOf(actions: readonly Action[]): Stage[] {
  const stages: (Stage & { readonly kind: string; readonly byPod: Map<string, number[]> })[] = [];
  for (const [index, action] of actions.entries()) {
    let stage = stages.at(-1);
    if (stage?.kind !== action.kind) {
      stage = { kind: action.kind, inFlight: performerOf(action).inFlight, lanes: [], byPod: new Map() };
      stages.push(stage);
    }
    const pod = action.guard.kind === 'remove-sandbox' ? action.guard.podUid : action.target;
    const lane = stage.byPod.get(pod);
    if (lane) {
      lane.push(index);
      continue;
    }
    const fresh = [index];
    stage.byPod.set(pod, fresh);
    stage.lanes.push(fresh);
  }
  return stages;
}

/** Lets so many through at once, in the order in which they came. */
class Gate {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(places: number) {
    this.#free = places;
  }

  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/** An act that was done, or was not: what is left is to read what came of it and to write that down. */
interface Begun {
  readonly action: Action;
  readonly index: number;
  readonly sinceNs: bigint;
  /** Durable; there wherever something may have been done. */
  readonly intent?: Entry;
  readonly end: () => Promise<Ended>;
}

interface Ended {
  readonly result: ActionOutcome['result'];
  readonly why: string;
}

/** Reads the precondition again, makes the intent durable, waits for its turn, and acts if all is still as it was. */
async function begin(action: Action, index: number, run: Run, gate: Gate): Promise<Begun> {
  const sinceNs = run.world.clock.uptimeNs();
  const withEnd = (end: Begun['end'], intent?: Entry): Begun => {
    return { action, index, sinceNs, end, ...(intent === undefined ? {} : { intent }) };
  };
  const skipped = (why: string) => withEnd(async () => ({ result: 'skipped', why }));
  if (run.stop.reason) return skipped(`not begun: ${run.stop.reason.message}`);
  run.onStart(action, index);
  try {
    const prepared = await prepare(action, run);
    const { intent } = prepared;
    if (!intent) return withEnd(async () => ended(prepared.check, run));
    const acted = await gate.pass(async (): Promise<Prepared & { done?: Done | SandwardenError }> => {
      const now = await stillPrepared(action, prepared, run);
      return 'go' in now.check ? { ...now, done: await performed(action, run, now.context) } : now;
    });
    const { done } = acted;
    if (done === undefined) return withEnd(async () => ended(acted.check, run), intent);
    return withEnd(async () => {
      const came = done instanceof SandwardenError ? done : await confirmed(action, run, acted, done);
      return came instanceof SandwardenError ? { result: 'failed', why: came.message } : came;
    }, intent);
  } catch (error) {
    if (!isSandwardenError(error)) throw asBug(error, run);
    // Before the act: nothing was done.
    run.stop.with(error);
    return skipped(error.message);
  }
}

/** Reads what came of it. The outcome is written while the run goes on. */
async function finish(begun: Begun, run: Run, writes: Promise<void>[]): Promise<ActionOutcome> {
  const { action, index, sinceNs, intent } = begun;
  try {
    const { result, why } = await begun.end();
    const outcome = { action, result, why, tookMs: elapsedMs(run.world.clock, sinceNs) };
    if (intent) writes.push(writeOutcome(run, intent, outcome));
    run.onEnd(outcome, index);
    return outcome;
  } catch (error) {
    throw asBug(error, run);
  }
}

/** Nothing new begins after it. */
function asBug(error: unknown, run: Run): unknown {
  run.stop.with(new SandwardenError('ERR_PRECONDITION', 'a bug in Sandwarden', { hint: 'report it', cause: error }));
  return error;
}

/** What a check that does not say `go` comes to. */
function ended(check: Check, run: Run): Ended {
  if ('already' in check) return { result: 'already', why: check.already };
  if ('leave' in check) return { result: 'skipped', why: check.leave };
  if ('go' in check) throw new Error('an act that may begin has not ended');
  run.stop.with(check.surprise);
  return { result: 'skipped', why: check.surprise.message };
}

interface Prepared {
  readonly check: Check;
  /** Durable; there wherever `check` says `go`. */
  readonly intent?: Entry;
  readonly context: ActContext;
  /** When the precondition was read, by the monotonic clock. */
  readonly readAtNs: bigint;
}

/** Reads the precondition again and, where it says `go`, makes the intent durable. */
async function prepare(action: Action, run: Run): Promise<Prepared> {
  const readAtNs = run.world.clock.uptimeNs();
  const context = await contextOf(run);
  const check = await performerOf(action).check(action, context);
  if (!('go' in check)) return { check, context, readAtNs };
  if (run.stop.reason) return { check: { surprise: run.stop.reason }, context, readAtNs };
  const { runtimePid, runtimeStartedUptimeNs, kubeletPid } = context.identity;
  const intent = await run.journal.append({
    kind: 'intent',
    action,
    read: check.read,
    ...(runtimePid === undefined ? {} : { runtimePid }),
    ...(runtimeStartedUptimeNs === undefined ? {} : { runtimeStartedUptimeNs }),
    ...(kubeletPid === undefined ? {} : { kubeletPid }),
  });
  return { check, intent, context, readAtNs };
}

/** Immediately before the act: nothing has stopped the run, and what was read is young, or read once more. */
async function stillPrepared(action: Action, prepared: Prepared, run: Run): Promise<Prepared> {
  if (run.stop.reason) return { ...prepared, check: { surprise: run.stop.reason } };
  if (elapsedMs(run.world.clock, prepared.readAtNs) <= limits.guardFreshMs) return prepared;
  try {
    const readAtNs = run.world.clock.uptimeNs();
    const context = await contextOf(run);
    const check = await performerOf(action).check(action, context);
    const stopped = run.stop.reason;
    return { ...prepared, context, readAtNs, check: 'go' in check && stopped ? { surprise: stopped } : check };
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return { ...prepared, check: { surprise: error } };
  }
}

/** The act itself. Its failure is a surprise that stops the run. */
async function performed(action: Action, run: Run, context: ActContext): Promise<Done | SandwardenError> {
  try {
    const done = await performerOf(action).perform(action, context);
    if (action.guard.kind === 'restart-runtime' || action.guard.kind === 'restart-kubelet') {
      run.baseline = baselineAfterRestart(await readIdentity(run));
    }
    return done;
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    run.stop.with(error);
    return error;
  }
}

/** Where our restart of the runtime takes kubelet with it, its coming up is no surprise. */
function baselineAfterRestart({ kubeletPid, kubeletRunning, ...runtime }: Identity): Identity {
  return kubeletPid === undefined || kubeletRunning === false ? runtime : { ...runtime, kubeletPid };
}

/** Looks at what came of it, with the runtime free for the next one. */
async function confirmed(action: Action, run: Run, { context }: Prepared, done: Done): Promise<Done | SandwardenError> {
  try {
    return (await performerOf(action).confirm?.(action, context)) ?? done;
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    run.stop.with(error);
    return error;
  }
}

/** Reads the identity; throws ERR_PRECONDITION where it is not the one the plan is meant for. */
async function contextOf(run: Run): Promise<ActContext> {
  const identity = await readIdentity(run);
  const why = identitySurprise(run.baseline, identity);
  if (why !== undefined) {
    throw new SandwardenError('ERR_PRECONDITION', `${why}: the plan was made for what was there before`, {
      hint: 'run `sandwarden check` for a new look',
    });
  }
  const { world, signal, stillRight, backups, journal } = run;
  return { world, signal, stillRight, backups, identity, undoId: undoIdOf(journal.runId) };
}

/** What `heal --undo` takes: the beginning of a run's id. */
export function undoIdOf(runId: string): string {
  return runId.slice(0, 8);
}

/** What of the runtime and the kubelet changed since the plan was made, in plain words, or undefined. */
export function identitySurprise(before: Identity, now: Identity): string | undefined {
  if (before.runtimePid !== undefined && !isSameRuntime(before, now)) {
    return now.runtimePid === undefined ? 'the runtime is gone' : 'the runtime was restarted meanwhile';
  }
  if (before.kubeletRunning === false && now.kubeletRunning !== false) {
    return now.kubeletRunning === true ? 'kubelet came up meanwhile' : 'kubelet may have come up meanwhile';
  }
  if (before.kubeletPid !== undefined && now.kubeletPid !== undefined && before.kubeletPid !== now.kubeletPid) {
    return 'kubelet was restarted meanwhile';
  }
  return undefined;
}

/** The next intent waits for the same sync as this, so the run need not wait for it here; a failure stops the run. */
async function writeOutcome(run: Run, intent: Entry, outcome: ActionOutcome): Promise<void> {
  const { result, why, tookMs } = outcome;
  try {
    await run.journal.append({ kind: 'outcome', of: intent.seq, result, why, tookMs, found: false });
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    run.stop.with(error);
  }
}

function performerOf(action: Action): Performer {
  const performer = performers.find((each) => each.kind === action.kind);
  if (!performer) throw new Error(`no performer for ${action.kind}`);
  return performer;
}

/** Milliseconds since `sinceNs` by the monotonic clock. */
export function elapsedMs(clock: Clock, sinceNs: bigint): number {
  return Math.max(0, Math.round(Number(clock.uptimeNs() - sinceNs) / 1e6));
}
