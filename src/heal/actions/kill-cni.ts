import { limits } from '../../model/limits.ts';
import type { Action, ProcessGuard } from '../../model/plan.ts';
import { within } from '../deadline.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';

/**
 * SIGKILL to a hung CNI plugin, if it is still the process that started then. The check of pid and start belongs
 * to the kill itself (World.killProcess): between a look of ours and the signal the pid could change hands.
 */
export const killCni: Performer = { kind: 'kill-cni', inFlight: 1, check, perform };

function check(action: Action): Promise<Check> {
  const guard = guardOf(action);
  return Promise.resolve({
    go: true,
    read: `process ${guard.pid} that started ${guard.startedUptimeNs} ns after boot`,
  });
}

async function perform(action: Action, { world, signal }: ActContext): Promise<Done> {
  const guard = guardOf(action);
  const deadline = { clock: world.clock, ms: limits.childTimeoutMs, doing: `killing process ${guard.pid}`, signal };
  const end = await within(deadline, () => world.killProcess(guard.pid, guard.startedUptimeNs));
  return end === 'killed' ? { result: 'done', why: '' } : { result: 'already', why: 'the process had ended by itself' };
}

function guardOf(action: Action): ProcessGuard {
  if (action.guard.kind !== 'kill-cni') throw new Error(`kill-cni with a guard of ${action.guard.kind}`);
  return action.guard;
}
