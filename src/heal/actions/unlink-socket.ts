import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Action, UnlinkGuard } from '../../model/plan.ts';
import { safeText } from '../../model/safe-text.ts';
import { within } from '../deadline.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';
import { storageOf } from './storage.ts';

/** The removal of a dead registration socket. What is decisive is looked at again by World.unlinkSocket itself. */
export const unlinkSocket: Performer = { kind: 'unlink-socket', inFlight: 1, check, perform };

async function check(action: Action, context: ActContext): Promise<Check> {
  const guard = guardOf(action);
  const storage = storageOf(context.world);
  const now = await within(deadlineOf(guard, context), () => storage.readRegistration(guard.path));
  if (now === undefined) return { already: 'the file is gone already' };
  if (now.inode !== guard.inode || now.device !== guard.device) return { already: 'a new socket stands there by now' };
  if (now.state !== 'refuses') return { leave: `it does not refuse connections any more (${now.state})` };
  if (now.owned !== false) return { leave: 'a process has it bound, or nobody can say' };
  return { go: true, read: `inode ${now.inode}, refuses connections, no process has it bound` };
}

async function perform(action: Action, context: ActContext): Promise<Done> {
  const guard = guardOf(action);
  const storage = storageOf(context.world);
  const end = await within(deadlineOf(guard, context), () => storage.unlinkSocket(guard.path, guard));
  if (end === 'removed') return { result: 'done', why: '' };
  if (end === 'gone') return { result: 'already', why: 'the file was gone already' };
  throw new SandwardenError('ERR_PRECONDITION', `${safeText(guard.path, 300)} changed in the last moment`, {
    hint: 'nothing was removed; run `sandwarden check` for a new look',
  });
}

function deadlineOf(guard: UnlinkGuard, { world, signal }: ActContext) {
  const ms = limits.csiProbeTimeoutMs + limits.childTimeoutMs;
  return { clock: world.clock, ms, doing: `looking at ${guard.path}`, signal };
}

function guardOf(action: Action): UnlinkGuard {
  if (action.guard.kind !== 'unlink-socket') throw new Error(`unlink-socket with a guard of ${action.guard.kind}`);
  return action.guard;
}
