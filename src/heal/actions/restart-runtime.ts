import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Action, RestartGuard } from '../../model/plan.ts';
import { within } from '../deadline.ts';
import { readIdentity } from '../identity.ts';
import type { Identity } from '../ports.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';

/**
 * A restart of the runtime's unit; done when CRI answers, another process is behind it, and what it was restarted for
 * is in force.
 */
export const restartRuntime: Performer = { kind: 'restart-runtime', inFlight: 1, check, perform };

/** Whether both are known and are the same start of the runtime. */
export function isSameRuntime(a: Identity, b: Identity): boolean {
  return (
    a.runtimePid !== undefined && a.runtimePid === b.runtimePid && a.runtimeStartedUptimeNs === b.runtimeStartedUptimeNs
  );
}

/** Restarts the unit and gives who answers then. */
export async function restarted(unit: string, context: ActContext): Promise<Identity> {
  const { world, signal } = context;
  const { clock } = world;
  const doing = `the restart of ${unit}`;
  await within({ clock, ms: limits.restartTimeoutMs, doing, signal }, () => world.restartUnit(unit));
  return await readIdentity(context);
}

function check(action: Action, { identity }: ActContext): Promise<Check> {
  const unit = guardOf(action).unit;
  return Promise.resolve({ go: true, read: `${unit}, process ${identity.runtimePid ?? 'unknown'}` });
}

async function perform(action: Action, context: ActContext): Promise<Done> {
  const { unit, on = [] } = guardOf(action);
  const after = await restarted(unit, context);
  if (isSameRuntime(context.identity, after)) {
    throw new SandwardenError(
      'ERR_PRECONDITION',
      `${unit} was restarted, but the runtime is the same process as before`,
      {
        hint: `the socket may be served by another unit: systemctl status ${after.runtimePid}`,
      },
    );
  }
  const off = await stillOff(on, context);
  if (off.length === 0) return { result: 'done', why: '' };
  throw new SandwardenError(
    'ERR_PRECONDITION',
    `${unit} was restarted, and SystemdCgroup is still false in force for ${off.join(', ')}`,
    { hint: `what was written can be taken back: sandwarden heal --undo ${context.undoId}` },
  );
}

/** Of these handlers those that are known and without SystemdCgroup in force now. */
async function stillOff(on: readonly string[], { world, signal }: ActContext): Promise<string[]> {
  const { changes, clock } = world;
  if (on.length === 0 || changes === undefined) return [];
  const ms = limits.criReadTimeoutMs + limits.connectTimeoutMs;
  const doing = 'reading what is in force';
  const live = await within({ clock, ms, doing, signal }, () => changes.handlersInForce());
  const off = (live?.handlers ?? []).filter((each) => !each.systemdCgroup).map((each) => each.name);
  return on.filter((each) => off.includes(each));
}

function guardOf(action: Action): RestartGuard {
  if (action.guard.kind !== 'restart-runtime') throw new Error(`restart-runtime with a guard of ${action.guard.kind}`);
  return action.guard;
}
