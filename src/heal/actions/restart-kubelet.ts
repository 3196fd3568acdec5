import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Action } from '../../model/plan.ts';
import { readIdentity } from '../identity.ts';
import type { Identity } from '../ports.ts';
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
  const { clock } = context.world;
  const unit = unitOf(action);
  const before = context.identity.kubeletPid;
  let after = await restarted(unit, context);
  const sinceNs = clock.uptimeNs();
  const waitedMs = () => Number((clock.uptimeNs() - sinceNs) / 1_000_000n);
  while (whyNotNew(before, after) !== undefined && waitedMs() < limits.kubeletSeenTimeoutMs) {
    await clock.sleep(limits.verifyPollMs, context.signal);
    after = await readIdentity(context);
  }
  const why = whyNotNew(before, after);
  if (why === undefined) return { result: 'done', why: '' };
  throw new SandwardenError('ERR_PRECONDITION', `${unit} was restarted, but ${why}`, {
    hint: `look at it: systemctl status ${unit}; journalctl -u ${unit}`,
  });
}

/** Why this is no new kubelet, in plain words, or undefined where it is one. */
function whyNotNew(before: number | undefined, { kubeletRunning, kubeletPid }: Identity): string | undefined {
  if (kubeletRunning === false) return 'no kubelet runs now';
  return before !== undefined && kubeletPid === before ? 'kubelet is the same process as before' : undefined;
}

function unitOf(action: Action): string {
  if (action.guard.kind !== 'restart-kubelet') throw new Error(`restart-kubelet with a guard of ${action.guard.kind}`);
  return action.guard.unit;
}
