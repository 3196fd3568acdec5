import { randomUUID } from 'node:crypto';
import { isSandwardenError } from '../model/errors.ts';
import type { SandboxOrder } from '../model/kubelet-choice.ts';
import { limits } from '../model/limits.ts';
import { type Observed, valueOr } from '../model/observed.ts';
import type { Action, ActionOutcome, Outcome, Plan, Recovery, Stage } from '../model/plan.ts';
import type { StillRight } from './actions/action.ts';
import { readApplications } from './applications.ts';
import { awaitStorage, withLate, withStages } from './await-storage.ts';
import { applyBudget } from './budget.ts';
import { confirm } from './confirm.ts';
import type { RunMode } from './entries.ts';
import { readIdentity } from './identity.ts';
import type { Journal } from './journal.ts';
import { openIntents, resolveLeftovers } from './leftovers.ts';
import type { Identity, Look, World } from './ports.ts';
import type { OnProgress, Resumed } from './progress.ts';
import { elapsedMs, runActions, Stop } from './run.ts';
import type { HealState } from './state-dir.ts';
import type { Applications } from './storage-world.ts';
import { notChecked, verify } from './verify.ts';

export interface ExecuteRequest {
  /** The look that the plan was made of. */
  readonly look: Look;
  /** The plan as the person confirmed it. */
  readonly plan: Plan;
  readonly world: World;
  readonly state: HealState;
  /** Ctrl-C. */
  readonly signal: AbortSignal;
  readonly onProgress: OnProgress;
  /** The plan rests on kubelet not running. It is read again. */
  readonly kubeletDown: boolean;
  readonly stillRight: StillRight;
  /** How this node's kubelet sorts, for the verification; undefined where its version is not known. */
  readonly order: SandboxOrder | undefined;
  readonly verifyTimeoutMs?: number;
  /** The run that this one takes back, by a person's own word: no second look has to ask for it too. */
  readonly undoes?: string;
}

/**
 * Carries out a confirmed plan: takes the lock, reads the journal and the budget, confirms by a second listing,
 * acts (each act after a fresh read and a durable intent), stops at the first surprise, and verifies.
 *
 * Throws, before anything was done, ERR_LOCKED, ERR_JOURNAL_DAMAGED, ERR_JOURNAL_WRITE, ERR_FILE and ERR_FORBIDDEN.
 * Everything later is in the outcome: `stopped` says what stopped the run.
 */
export async function execute(request: ExecuteRequest): Promise<Outcome> {
  const { world, state } = request;
  const startedNs = world.clock.uptimeNs();
  const lock = await state.lock(world.clock.wallNs());
  try {
    const journal = await state.openJournal(randomUUID(), world.clock);
    try {
      return await healUnderLock({ ...request, journal, startedNs });
    } finally {
      await letGo(() => journal.close());
    }
  } finally {
    await letGo(() => lock.release());
  }
}

type Session = ExecuteRequest & { readonly journal: Journal; readonly startedNs: bigint };

async function healUnderLock(session: Session): Promise<Outcome> {
  const { journal, look, plan, signal } = session;
  // The budget is read again under the lock: another run may have spent since the plan was shown.
  const mode: RunMode = session.kubeletDown ? 'boot' : 'run';
  const sandboxesOnNode = valueOr(look.snapshot.sandboxes, []).length;
  const { undoes } = session;
  const isUndo = undoes !== undefined;
  const affordable = applyBudget(plan, journal.entries, { now: journal.stamp(), mode, sandboxesOnNode, isUndo });
  const counts = { planned: plan.actions.length, refused: affordable.refusals.length, sandboxesOnNode };
  await journal.append({ kind: 'run-start', mode, ...counts, ...(undoes === undefined ? {} : { undoes }) });
  const stop = new Stop(signal);
  const before = await applicationsBefore(session);
  const actions = await actUntilStopped(session, stop, affordable);
  const recovery = await recoveryAfter({ ...session, before }, stop, affordable, actions);
  const stopped = stop.reason;
  if (stopped === undefined) return writeEnd(journal, { actions, recovery });
  const { code, message, hint } = stopped;
  return writeEnd(journal, { actions, stopped: { code, message, hint }, recovery });
}

type WithBefore = Session & { readonly before: Observed<Applications> | undefined };

/** What was red before the first act is not waited for. An API that did not answer the look is not asked. */
async function applicationsBefore({ plan, look, world, signal }: Session): Promise<WithBefore['before']> {
  if (plan.storage === undefined || !look.snapshot.pods.known || signal.aborted) return undefined;
  return await readApplications(world, signal);
}

/** One outcome for each action of the confirmed plan, in its order. What goes wrong on the way is in `stop`. */
async function actUntilStopped(session: Session, stop: Stop, affordable: Plan): Promise<ActionOutcome[]> {
  const { plan, world, look, kubeletDown, startedNs, signal } = session;
  const skipped = new Map<Action, string>();
  const kept = new Set(affordable.actions);
  for (const each of plan.actions) if (!kept.has(each)) skipped.set(each, budgetReason(each, affordable));
  const onWait = (waitMs: number) => session.onProgress({ kind: 'confirming', elapsedMs: elapsedOf(session), waitMs });
  const already = new Set<Action>();
  let done: ActionOutcome[] = [];
  try {
    const identity = await readIdentity(session);
    const resumed = await resume(session, identity);
    const actions = affordable.actions.filter((each) => !(session.undoes !== undefined && isRestarted(each, resumed)));
    for (const each of affordable.actions) if (!actions.includes(each)) already.add(each);
    const unfounded = restartsWithoutFiles(session, resumed, actions);
    for (const each of unfounded) skipped.set(each, 'the files it was for were put back; run it again for a new plan');
    const isSure = kubeletDown || session.undoes !== undefined;
    const founded = actions.filter((each) => !unfounded.includes(each));
    const asked = { world, look, actions: founded, identity, kubeletDown, isSure, startedNs, signal, onWait };
    const left = await confirm(asked);
    for (const [action, why] of left) skipped.set(action, why);
    const confirmed = founded.filter((each) => !left.has(each));
    done = await act(session, stop, confirmed, identity);
  } catch (error) {
    // Before the first act: an act that goes wrong puts it into `stop` itself.
    if (isSandwardenError(error)) stop.with(error);
    else if (!signal.aborted || error !== signal.reason) throw error;
  }
  const ended = new Map(done.map((each) => [each.action, each]));
  const notBegun = `not begun: ${stop.reason?.message ?? ''}`;
  const ofOther = (action: Action): ActionOutcome => {
    if (already.has(action)) return { action, result: 'already', why: 'the run before had come to it', tookMs: 0 };
    return { action, result: 'skipped', why: skipped.get(action) ?? notBegun, tookMs: 0 };
  };
  return plan.actions.map((action) => ended.get(action) ?? ofOther(action));
}

/** The plan was made before what was cut off was put back: a restart for those files alone would change nothing. */
function restartsWithoutFiles({ journal }: Session, resumed: readonly Resumed[], actions: readonly Action[]): Action[] {
  const guards = openIntents(journal.entries).map((each) => each.action.guard);
  const undone = guards.filter((_, index) => resumed[index]?.found === 'undone');
  const units = new Set(undone.flatMap((guard) => ('files' in guard ? guard.restarts : [])));
  if (actions.some(({ guard }) => 'files' in guard && guard.restarts.length > 0)) return [];
  return actions.filter((each) => units.has(each.target));
}

/** Taking back goes by the journal, in which the restart of a run that was cut off had no end yet. */
function isRestarted({ kind, object }: Action, resumed: readonly Resumed[]): boolean {
  const isRestart = kind === 'restart-runtime' || kind === 'restart-kubelet';
  return isRestart && resumed.some((each) => each.kind === kind && each.object === object && each.found === 'done');
}

function budgetReason(action: Action, affordable: Plan): string {
  const refusal = affordable.refusals.find((each) => each.target === action.target && each.code === action.code);
  return refusal?.reason ?? 'over budget';
}

async function resume(session: Session, identity: Identity): Promise<readonly Resumed[]> {
  const { journal, world, look, state, signal } = session;
  const open = openIntents(journal.entries);
  const last = open.at(-1);
  if (last === undefined) return [];
  const { bootId, backups } = state;
  const left = await resolveLeftovers(journal, { world, look, identity, bootId, signal, backups });
  session.onProgress({ kind: 'resumed', elapsedMs: elapsedOf(session), runId: last.runId, left });
  return left;
}

function act(session: Session, stop: Stop, actions: readonly Action[], baseline: Identity): Promise<ActionOutcome[]> {
  const { world, journal, signal, stillRight, onProgress } = session;
  const of = actions.length;
  let ended = 0;
  return runActions(actions, {
    world,
    journal,
    signal,
    stop,
    stillRight,
    backups: session.state.backups,
    baseline,
    onStart: (action, index) => onProgress({ kind: 'act', elapsedMs: elapsedOf(session), action, index, of }),
    onEnd: (outcome) => {
      ended += 1;
      onProgress({ kind: 'acted', elapsedMs: elapsedOf(session), outcome, ended, of });
    },
  });
}

/**
 * Waits for the pods; after a surprise, or where nothing was done, it looks once, after Ctrl-C not at all.
 * Pods that the budget left for the next run are still waiting.
 */
async function recoveryAfter(
  session: WithBefore,
  stop: Stop,
  affordable: Plan,
  outcomes: readonly ActionOutcome[],
): Promise<Recovery> {
  const { world, look, order, signal, plan } = session;
  if (signal.aborted) return notChecked(plan.pods, 'interrupted before it was looked at');
  if (session.kubeletDown) return notChecked(plan.pods, 'kubelet is not running; it starts the pod when it comes up');
  const idle = outcomes.every((each) => each.result !== 'done' && each.result !== 'already');
  const timeoutMs = stop.reason !== undefined || idle ? 0 : (session.verifyTimeoutMs ?? limits.verifyTimeoutMs);
  // Who waits for a volume too comes with the stages of storage, which are given longer.
  const behind = world.storage === undefined ? [] : (plan.storage?.waiting ?? []);
  const late = affordable.pods.filter((each) => behind.includes(each));
  const pods = affordable.pods.filter((each) => !behind.includes(each));
  const onPoll = (recovered: readonly string[], waiting: readonly string[]) =>
    session.onProgress({
      kind: 'verifying',
      elapsedMs: elapsedOf(session),
      recovered: recovered.length,
      of: pods.length,
      waiting,
    });
  const verified = await verify({ world, pods, snapshot: look.snapshot, order, timeoutMs, signal, onPoll });
  const recovery = await storageAfter(session, verified, timeoutMs, late);
  const later = plan.pods.filter((pod) => !affordable.pods.includes(pod));
  if (later.length === 0) return recovery;
  const waiting = [...recovery.waiting, ...later.map((pod) => ({ pod, why: 'left for the next run by the budget' }))];
  return { ...recovery, waiting, state: recovery.recovered.length > 0 ? 'partly' : 'not-yet' };
}

/** Waits for the drivers that come back with the plan, where there are some, and for all that hangs on them. */
async function storageAfter(
  session: WithBefore,
  verified: Recovery,
  timeoutMs: number,
  late: readonly string[],
): Promise<Recovery> {
  const { plan, world, before, signal, startedNs } = session;
  if (plan.storage === undefined || world.storage === undefined) return verified;
  const onStages = (stages: readonly Stage[]) => {
    session.onProgress({ kind: 'stages', elapsedMs: elapsedOf(session), stages });
  };
  const waitMs = timeoutMs === 0 ? 0 : (session.verifyTimeoutMs ?? limits.csiWaitMs);
  const stages = await awaitStorage({
    world,
    goal: plan.storage,
    before,
    timeoutMs: waitMs,
    startedNs,
    signal,
    onStages,
  });
  return withStages(withLate(verified, late, stages), stages, elapsedMs(world.clock, startedNs));
}

/** Writes the end of the run; an outcome that cannot be written says so. */
async function writeEnd(journal: Journal, outcome: Outcome): Promise<Outcome> {
  const count = (result: ActionOutcome['result']) => outcome.actions.filter((each) => each.result === result).length;
  const { stopped, recovery } = outcome;
  try {
    await journal.append({
      kind: 'run-end',
      done: count('done'),
      already: count('already'),
      failed: count('failed'),
      skipped: count('skipped'),
      ...(stopped === undefined ? {} : { stopped: { code: stopped.code, message: stopped.message } }),
      recovery: { state: recovery.state, tookMs: recovery.tookMs },
    });
    return outcome;
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    const { code, message, hint } = error;
    return { ...outcome, stopped: stopped ?? { code, message, hint } };
  }
}

/** Closing and freeing: where they fail (a full disk), the end of this process does it. The outcome matters more. */
async function letGo(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
  }
}

function elapsedOf(session: Session): number {
  return elapsedMs(session.world.clock, session.startedNs);
}
