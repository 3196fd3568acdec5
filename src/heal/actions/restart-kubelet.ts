import { SandwardenError } from '../../model/errors.ts';
import type { Action } from '../../model/plan.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';
import { restarted } from './restart-runtime.ts';

/**
 * A restart of kubelet's unit, after the runtime's: it asks the runtime for its cgroup driver at its own start. Done
 * when another kubelet runs.
 */
export const restartKubelet: Performer = { kind: 'restart-kubelet', inFlight: 1, check, perform };

function check(action: Action, { identity }: ActContext): Promise<Check> {
  return Promise.resolve({ go: true, read: `${unitOf(action)}, process ${identity.kubeletPid ?? 'unknown'}` });
}

async function perform(action: Action, context: ActContext): Promise<Done> {
  const unit = unitOf(action);
  const before = context.identity.kubeletPid;
  const after = await restarted(unit, context);
  const why =
    after.kubeletRunning === false
      ? 'no kubelet runs now'
      : before !== undefined && after.kubeletPid === before
        ? 'kubelet is the same process as before'
        : undefined;
  if (why === undefined) return { result: 'done', why: '' };
  throw new SandwardenError('ERR_PRECONDITION', `${unit} was restarted, but ${why}`, {
    hint: `look at it: systemctl status ${unit}; journalctl -u ${unit}`,
  });
}

function unitOf(action: Action): string {
  if (action.guard.kind !== 'restart-kubelet') throw new Error(`restart-kubelet with a guard of ${action.guard.kind}`);
  return action.guard.unit;
}
