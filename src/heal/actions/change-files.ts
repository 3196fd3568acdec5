import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Action, FilesGuard } from '../../model/plan.ts';
import { sha256Of } from '../backups.ts';
import { within } from '../deadline.ts';
import { drawFiles, type FilesPorts, putBack, refusalOf, standing } from '../file-set.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';

/**
 * Writing files that are checked before anything is restarted, and taking that back. What was there is kept first;
 * what containerd or systemd would not take is put back at once.
 */
const performerOf = (kind: FilesGuard['kind']): Performer => ({ kind, inFlight: 1, check, perform });

/** containerd's configuration (or the template that k3s makes it from). */
export const writeConfig: Performer = performerOf('write-config');
/** A drop-in that orders the runtime after the units that write its configuration. */
export const orderUnit: Performer = performerOf('order-unit');
/** What an earlier run replaced. */
export const restoreFiles: Performer = performerOf('restore-files');

async function check(action: Action, context: ActContext): Promise<Check> {
  const guard = guardOf(action);
  const states = await bounded(action, context, (ports) => standing(guard, ports.changes));
  if (states.every((each) => each === 'after')) return { already: 'it was so before it was its turn' };
  const at = states.findIndex((each) => each !== 'before');
  if (at === -1) return { go: true, read: `${guard.files.length === 1 ? 'the file is' : 'the files are'} as planned` };
  return {
    surprise: new SandwardenError('ERR_PRECONDITION', `${guard.files[at]?.path} was changed by somebody meanwhile`, {
      hint: 'nothing was written; run `sandwarden heal` again for a new plan',
    }),
  };
}

async function perform(action: Action, context: ActContext): Promise<Done> {
  const guard = guardOf(action);
  const contents = await contentsOf(action, guard, context);
  await bounded(action, context, (ports) => drawFiles(guard, contents, ports));
  const why = await refused(action, guard, context);
  if (why === undefined) return { result: 'done', why: '' };
  // Not to be interrupted: half of it must not stay.
  const { left } = await putBack(guard, portsOf(context));
  const end = left === undefined ? 'what was there before is back in place' : `it could not be put back: ${left}`;
  throw new SandwardenError('ERR_PRECONDITION', `${action.object} was not left as it was to be written: ${why}`, {
    hint: `${end}; nothing was restarted`,
  });
}

/** The new contents: of the plan, or of what was kept when they were replaced. */
async function contentsOf(action: Action, guard: FilesGuard, { backups }: ActContext): Promise<Map<string, Buffer>> {
  const contents = new Map<string, Buffer>();
  for (const { path, after } of guard.files) {
    if (after === undefined) continue;
    const planned = action.contents?.get(path);
    const content = planned === undefined ? await backups.read(after.sha256) : Buffer.from(planned);
    if (content === undefined || sha256Of(content) !== after.sha256) {
      throw new SandwardenError('ERR_FILE', `the copy of ${path} that was kept is not there any more`, {
        hint: 'nothing was written; put the file right by hand',
      });
    }
    contents.set(path, content);
  }
  return contents;
}

/** Why it may not stay, in plain words. What fails on the way is such a reason too: nobody has seen that it is good. */
async function refused(action: Action, guard: FilesGuard, context: ActContext): Promise<string | undefined> {
  try {
    return await bounded(action, context, (ports) => refusalOf(guard, ports.changes));
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return error.message;
  }
}

function bounded<T>(action: Action, context: ActContext, work: (ports: FilesPorts) => Promise<T>): Promise<T> {
  const ports = portsOf(context);
  const { clock } = context.world;
  const deadline = { clock, ms: limits.filesTimeoutMs, doing: `changing ${action.object}`, signal: context.signal };
  return within(deadline, () => work(ports));
}

function portsOf({ world, backups }: ActContext): FilesPorts {
  if (world.changes === undefined) throw new Error('a plan that changes files on a node that cannot');
  return { changes: world.changes, backups };
}

function guardOf({ guard, kind }: Action): FilesGuard {
  if (guard.kind === 'write-config' || guard.kind === 'order-unit' || guard.kind === 'restore-files') return guard;
  throw new Error(`${kind} with a guard of ${guard.kind}`);
}
