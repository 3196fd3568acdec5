import { pause } from '../model/clock.ts';
import { isSandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { Observed } from '../model/observed.ts';
import type { Recovery, Stage, StageName, StorageGoal } from '../model/plan.ts';
import { ApplicationLooks } from './applications.ts';
import { within } from './deadline.ts';
import type { World } from './ports.ts';
import { elapsedMs } from './run.ts';
import { isOver, type StageNow, stagesOf } from './stages.ts';
import type { Applications } from './storage-world.ts';

export interface AwaitRequest {
  readonly world: World;
  readonly goal: StorageGoal;
  /** Argo CD's Applications before the first act; undefined where there are none, or nobody asked. */
  readonly before: Observed<Applications> | undefined;
  /** How long it may take, milliseconds from now. */
  readonly timeoutMs: number;
  /** When the run began, by the monotonic clock: what the times of the stages count from. */
  readonly startedNs: bigint;
  readonly signal: AbortSignal;
  onStages(stages: readonly Stage[]): void;
}

/**
 * Looks again and again until all stages are green or the time is over, and says when each became green. A look that
 * fails is a reason to wait. Never throws but for a bug.
 */
export async function awaitStorage(request: AwaitRequest): Promise<readonly Stage[]> {
  const { world, signal, timeoutMs } = request;
  const { clock } = world;
  const sinceNs = clock.uptimeNs();
  const first = new Map<StageName, number>();
  const looks = new ApplicationLooks(world, signal);
  for (;;) {
    const { stages, over } = await look(request, looks);
    const timed = stages.map((each) => withTime(each, first, elapsedMs(clock, request.startedNs)));
    request.onStages(timed);
    if (over || signal.aborted || elapsedMs(clock, sinceNs) >= timeoutMs) return timed;
    await pause(clock, limits.csiPollMs, signal);
  }
}

/** A recovery with the pods of the plan that waited for volumes too, as the stage of waiting pods tells of them. */
export function withLate(recovery: Recovery, late: readonly string[], stages: readonly Stage[]): Recovery {
  if (late.length === 0) return recovery;
  const stage = stages.find((each) => each.name === 'pods');
  const whyOf = (pod: string) => {
    if (stage === undefined || stage.state === 'unknown') return stage?.red[0]?.why ?? 'the API was not asked';
    return stage.red.find((each) => each.object === pod)?.why;
  };
  const [recovered, waiting] = [[...recovery.recovered], [...recovery.waiting]];
  for (const pod of late) {
    const why = whyOf(pod);
    if (why === undefined) recovered.push(pod);
    else waiting.push({ pod, why });
  }
  const state = waiting.length === 0 ? 'recovered' : recovered.length === 0 ? 'not-yet' : 'partly';
  return { ...recovery, state, recovered, waiting };
}

/** A recovery with what its stages say: red keeps it from being complete. */
export function withStages(recovery: Recovery, stages: readonly Stage[], tookMs: number): Recovery {
  const isRed = stages.some((each) => each.state === 'red');
  const state = !isRed ? recovery.state : recovery.state === 'recovered' ? 'partly' : recovery.state;
  const done = recovery.state === 'recovered' && !isRed;
  return { ...recovery, state: done ? 'recovered' : state, tookMs, stages };
}

async function look(
  { world, goal, before, signal }: AwaitRequest,
  looks: ApplicationLooks,
): Promise<{ stages: StageNow[]; over: boolean }> {
  const deadline = { clock: world.clock, ms: limits.lookTimeoutMs, doing: 'looking at the node', signal };
  try {
    const { snapshot } = await within(deadline, () => world.lookAgain());
    const ours = stagesOf(goal, snapshot, undefined);
    // The cluster's own judgement comes last: it is asked only when there is nothing else to wait for.
    if (!isOver(ours, snapshot)) return { stages: ours, over: false };
    const now = await looks.look();
    const stages = stagesOf(goal, snapshot, now && { now, before });
    return { stages, over: isOver(stages, snapshot) };
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    const red = [{ object: 'the node', why: error.message }];
    return { stages: [{ name: 'sockets', state: 'unknown', green: 0, of: 0, red }], over: false };
  }
}

/** What turned red again begins anew. */
function withTime(now: StageNow, first: Map<StageName, number>, atMs: number): Stage {
  if (now.state !== 'green') {
    first.delete(now.name);
    return now;
  }
  const afterMs = first.get(now.name) ?? atMs;
  first.set(now.name, afterMs);
  return { ...now, afterMs };
}
