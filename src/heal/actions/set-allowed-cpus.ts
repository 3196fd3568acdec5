import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Action, CpusGuard } from '../../model/plan.ts';
import { within } from '../deadline.ts';
import type { NodeChanges } from '../node-changes.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';

/**
 * AllowedCPUs of a slice, with all CPUs of the node, until the next boot: a unit that has it asks for cpuset, so that
 * systemd keeps that in all slices above it (systemd src/core/cgroup.c unit_get_own_mask). It limits nothing.
 */
export const setAllowedCpus: Performer = { kind: 'set-allowed-cpus', inFlight: 1, check, perform };

async function check(action: Action, context: ActContext): Promise<Check> {
  const guard = guardOf(action);
  const now = await asked(guard, context, (changes) => changes.readProperty(guard.unit, 'AllowedCPUs'));
  if (now === guard.after) return { already: 'it has them already' };
  if (now === guard.before) return { go: true, read: `AllowedCPUs=${now} of ${guard.unit}` };
  return {
    surprise: new SandwardenError('ERR_PRECONDITION', `somebody set AllowedCPUs=${now} of ${guard.unit} meanwhile`, {
      hint: 'nothing was changed; run `sandwarden heal` again for a new plan',
    }),
  };
}

async function perform(action: Action, context: ActContext): Promise<Done> {
  const guard = guardOf(action);
  await asked(guard, context, (changes) => changes.setProperty(guard.unit, 'AllowedCPUs', guard.after));
  const now = await asked(guard, context, (changes) => changes.readProperty(guard.unit, 'AllowedCPUs'));
  if (now === guard.after) return { result: 'done', why: '' };
  throw new SandwardenError('ERR_PRECONDITION', `systemd has AllowedCPUs=${now} of ${guard.unit} all the same`, {
    hint: `look at it: systemctl show ${guard.unit}`,
  });
}

function asked<T>(guard: CpusGuard, context: ActContext, work: (changes: NodeChanges) => Promise<T>): Promise<T> {
  const { changes, clock } = context.world;
  if (changes === undefined) throw new Error('a plan that changes units on a node that cannot');
  const deadline = { clock, ms: limits.filesTimeoutMs, doing: `asking systemd for ${guard.unit}` };
  return within({ ...deadline, signal: context.signal }, () => work(changes));
}

function guardOf(action: Action): CpusGuard {
  if (action.guard.kind !== 'set-allowed-cpus')
    throw new Error(`set-allowed-cpus with a guard of ${action.guard.kind}`);
  return action.guard;
}
