import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Action, RestartGuard } from '../../model/plan.ts';
import { within } from '../deadline.ts';
import type { Identity } from '../ports.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';

/** A restart of the runtime's unit; done when CRI answers and another process is behind it. */
export const restartRuntime: Performer = { kind: 'restart-runtime', inFlight: 1, check, perform };

/** Whether both are known and are the same start of the runtime. */
export function isSameRuntime(a: Identity, b: Identity): boolean {
  return (
    a.runtimePid !== undefined && a.runtimePid === b.runtimePid && a.runtimeStartedUptimeNs === b.runtimeStartedUptimeNs
  );
}

function check(action: Action, { identity }: ActContext): Promise<Check> {
  const unit = guardOf(action).unit;
  return Promise.resolve({ go: true, read: `${unit}, process ${identity.runtimePid ?? 'unknown'}` });
}

async function perform(action: Action, { world, signal, identity }: ActContext): Promise<Done> {
  const { unit } = guardOf(action);
  const { clock } = world;
  const doing = `the restart of ${unit}`;
  await within({ clock, ms: limits.restartTimeoutMs, doing, signal }, () => world.restartUnit(unit));
  const ms = limits.criReadTimeoutMs + limits.connectTimeoutMs;
  const after = await within({ clock, ms, doing: `looking at ${unit}`, signal }, () => world.readIdentity());
  if (!isSameRuntime(identity, after)) return { result: 'done', why: '' };
  throw new SandwardenError(
    'ERR_PRECONDITION',
    `${unit} was restarted, but the runtime is the same process as before`,
    {
      hint: `the socket may be served by another unit: systemctl status ${after.runtimePid}`,
    },
  );
}

function guardOf(action: Action): RestartGuard {
  if (action.guard.kind !== 'restart-runtime') throw new Error(`restart-runtime with a guard of ${action.guard.kind}`);
  return action.guard;
}
