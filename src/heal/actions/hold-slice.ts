import { limits } from '../../model/limits.ts';
import type { Action, SliceGuard } from '../../model/plan.ts';
import { within } from '../deadline.ts';
import type { NodeChanges } from '../node-changes.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';

/** An anchor: a delegated scope with one tiny process in a slice, so that systemd leaves its controllers. */
export const holdSlice: Performer = {
  kind: 'hold-slice',
  inFlight: 1,
  check: async (action, context): Promise<Check> => {
    const isHeld = await asked(action, context, (changes, { slice }) => changes.isHeld(slice));
    return isHeld ? { already: 'it is held already' } : { go: true, read: `${guardOf(action).slice} is not held` };
  },
  perform: async (action, context): Promise<Done> => {
    await asked(action, context, (changes, { slice }) => changes.holdSlice(slice));
    return { result: 'done', why: '' };
  },
};

/** Taking an anchor of ours away. */
export const releaseSlice: Performer = {
  kind: 'release-slice',
  inFlight: 1,
  check: async (action, context): Promise<Check> => {
    const isHeld = await asked(action, context, (changes, { slice }) => changes.isHeld(slice));
    return isHeld ? { go: true, read: `${guardOf(action).slice} is held` } : { already: 'it is not held any more' };
  },
  perform: async (action, context): Promise<Done> => {
    await asked(action, context, (changes, { slice }) => changes.releaseSlice(slice));
    return { result: 'done', why: '' };
  },
};

function asked<T>(
  action: Action,
  { world, signal }: ActContext,
  work: (changes: NodeChanges, guard: SliceGuard) => Promise<T>,
): Promise<T> {
  const { changes, clock } = world;
  if (changes === undefined) throw new Error('a plan that changes units on a node that cannot');
  const guard = guardOf(action);
  const deadline = { clock, ms: limits.filesTimeoutMs, doing: `holding ${guard.slice}`, signal };
  return within(deadline, () => work(changes, guard));
}

function guardOf({ guard, kind }: Action): SliceGuard {
  if (guard.kind === 'hold-slice' || guard.kind === 'release-slice') return guard;
  throw new Error(`${kind} with a guard of ${guard.kind}`);
}
