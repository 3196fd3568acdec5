import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { Action, Plan } from '../model/plan.ts';
import { keyOf } from './budget.ts';
import { within } from './deadline.ts';
import type { Identity, Look, World } from './ports.ts';
import { elapsedMs, identitySurprise } from './run.ts';

export interface ConfirmRequest {
  readonly world: World;
  readonly look: Look;
  readonly actions: readonly Action[];
  /** The runtime and the kubelet that answer now. */
  readonly identity: Identity;
  readonly kubeletDown: boolean;
  /** One look is enough: kubelet is down, or a person asked for these very actions. */
  readonly isSure: boolean;
  /** Uptime at which the first listing is taken to have been made, where the look does not say. */
  readonly startedNs: bigint;
  readonly signal: AbortSignal;
  onWait(waitMs: number): void;
}

/**
 * The actions that are left out, and why, after the confirmation of safety.md, 1: one listing is enough only while
 * kubelet is provably not running; otherwise what is done is what two looks at least `limits.confirmAfterMs` apart
 * both ask for. What the second leaves out for something that passes by itself within seconds is looked at again, up
 * to `limits.passingLooks` times. Throws ERR_PRECONDITION where the runtime or the kubelet is not the one of the first
 * look, what the look throws, and the signal's reason.
 */
export async function confirm(request: ConfirmRequest): Promise<ReadonlyMap<Action, string>> {
  const { look, world, actions, identity, kubeletDown, isSure, startedNs, signal } = request;
  const surprise = identitySurprise(
    { ...runtimeOf(look), ...(kubeletDown ? { kubeletRunning: false } : {}) },
    identity,
  );
  if (surprise !== undefined) {
    throw new SandwardenError('ERR_PRECONDITION', `${surprise}: the plan was made for what was there before`, {
      hint: 'run `sandwarden heal` again for a new plan',
    });
  }
  if (isSure || actions.length === 0) return new Map();
  const waitMs = Math.max(0, limits.confirmAfterMs - elapsedMs(world.clock, look.listedUptimeNs ?? startedNs));
  request.onWait(waitMs);
  await world.clock.sleep(waitMs, signal);
  const deadline = { clock: world.clock, ms: limits.lookTimeoutMs, doing: 'the second look', signal };
  let { plan } = await within(deadline, () => world.lookAgain());
  const left = fellOut(actions, plan);
  for (let again = 0; again < limits.passingLooks; again += 1) {
    const passing = [...left.keys()].filter((action) => isPassing(action, plan));
    if (passing.length === 0) break;
    request.onWait(limits.passingGapMs);
    await world.clock.sleep(limits.passingGapMs, signal);
    ({ plan } = await within(deadline, () => world.lookAgain()));
    for (const action of passing) left.delete(action);
    // What has gone otherwise since is left out too: the later look knows more.
    for (const [action, why] of fellOut(actions, plan)) left.set(action, left.get(action) ?? why);
  }
  return left;
}

function isPassing(action: Action, plan: Plan): boolean {
  return plan.refusals.some((each) => each.target === action.target && each.passes);
}

/** What of `actions` the second plan does not ask for in the same way, and why. Pure. */
export function fellOut(actions: readonly Action[], second: Plan): Map<Action, string> {
  const asked = new Map(second.actions.map((each) => [keyOf(each), guardText(each)]));
  const refused = new Map(second.refusals.map((each) => [each.target, each.reason]));
  const left = new Map<Action, string>();
  for (const action of actions) {
    const again = asked.get(keyOf(action));
    if (again === undefined) {
      const why = refused.get(action.target) ?? 'nothing asks for it any more';
      left.set(action, `a second look ${limits.confirmAfterMs / 1_000} s later left it out: ${why}`);
    } else if (again !== guardText(action)) {
      left.set(action, 'it was not the same in the second look');
    }
  }
  // Without the files that they were for, restarts would only disturb.
  const gone = new Set([...left.keys()].flatMap(({ guard }) => ('files' in guard ? guard.restarts : [])));
  for (const action of actions) {
    if (gone.has(action.target) && !left.has(action)) left.set(action, 'of no use without the files it was for');
  }
  return left;
}

/** The runtime that the look saw. */
function runtimeOf({ snapshot }: Look): Identity {
  const processes = valueOr(snapshot.processes, undefined);
  if (processes?.runtimePid === undefined || processes.runtimeStartedUptimeNs === undefined) return {};
  return { runtimePid: processes.runtimePid, runtimeStartedUptimeNs: processes.runtimeStartedUptimeNs };
}

function guardText(action: Action): string {
  const text = (value: unknown) =>
    JSON.stringify(value, (_key, each: unknown) => (typeof each === 'bigint' ? each.toString() : each));
  const fields = Object.entries(action.guard).map(([key, value]) => `${key}=${text(value)}`);
  return fields.sort().join(' ');
}
