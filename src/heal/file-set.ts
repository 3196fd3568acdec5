import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import type { FileIdentity, FileStep, FilesGuard } from '../model/plan.ts';
import type { Backups, FileNow, NodeChanges } from './node-changes.ts';

export interface FilesPorts {
  readonly changes: NodeChanges;
  readonly backups: Backups;
}

/** How a file stands to a change: as before it, as after it, or as somebody else left it. */
export type Standing = 'before' | 'after' | 'foreign';

/** How each file of a change stands now. Throws what the reads throw. */
export async function standing(guard: FilesGuard, changes: NodeChanges): Promise<Standing[]> {
  const found: Standing[] = [];
  for (const step of guard.files) found.push(standingOf(step, await changes.fileNow(step.path)));
  return found;
}

/** How one file stands to its change. Pure. */
export function standingOf(step: FileStep, now: FileNow): Standing {
  if (now.kind === 'other') return 'foreign';
  const is = now.kind === 'file' ? now.identity : undefined;
  if (same(is, step.before)) return 'before';
  return same(is, step.after) ? 'after' : 'foreign';
}

/**
 * Keeps what is there and what is to be, then puts the new files in their places. Each is looked at once more
 * immediately before. Throws ERR_PRECONDITION where one is not as it was planned; those before it are put back then.
 */
export async function drawFiles(
  guard: FilesGuard,
  contents: ReadonlyMap<string, Buffer>,
  { changes, backups }: FilesPorts,
): Promise<void> {
  const drawn: FileStep[] = [];
  try {
    for (const step of guard.files) {
      const now = await changes.fileNow(step.path);
      if (standingOf(step, now) !== 'before') throw changedMeanwhile(step.path);
      if (now.kind === 'file' && step.before) await backups.save(step.before.sha256, now.content);
      const content = contents.get(step.path);
      if (step.after && content) await backups.save(step.after.sha256, content);
    }
    for (const step of guard.files) {
      if (standingOf(step, await changes.fileNow(step.path)) !== 'before') throw changedMeanwhile(step.path);
      drawn.push(step);
      await put(step, 'after', contents.get(step.path), changes);
    }
  } catch (error) {
    if (isSandwardenError(error)) await putBack({ ...guard, files: drawn }, { changes, backups });
    throw error;
  }
}

/** Why containerd or systemd does not take the files as they are now, in plain words; undefined where they do. */
export async function refusalOf(guard: FilesGuard, changes: NodeChanges): Promise<string | undefined> {
  const { dump, reload } = guard;
  if (reload !== undefined) {
    await changes.reloadUnits();
    const after = (await changes.readProperty(reload.unit, 'After')).split(/\s+/);
    const missing = reload.after.filter((each) => !after.includes(each));
    if (missing.length > 0) return `systemd does not order ${reload.unit} after ${missing.join(', ')}`;
  }
  if (dump === undefined) return undefined;
  const answer = await changes.dumpConfig(dump.file);
  // What goes back to what was there may have to, with a runtime that does not come up.
  if ('unknown' in answer && guard.kind === 'restore-files') return undefined;
  if ('unknown' in answer) return `nobody could ask containerd whether it takes it (${answer.unknown})`;
  if ('refusal' in answer) return `containerd would not start with it: ${answer.refusal}`;
  const on = new Set(answer.settings.handlers.filter((each) => each.systemdCgroup).map((each) => each.name));
  const off = dump.on.filter((each) => !on.has(each));
  return off.length === 0 ? undefined : `containerd reads SystemdCgroup = false for ${off.join(', ')} all the same`;
}

/**
 * Puts what was there before back into its place, last file first, wherever our own file stands now. `left` is what
 * could not be put back, in plain words.
 */
export async function putBack(guard: FilesGuard, ports: FilesPorts): Promise<{ readonly left?: string }> {
  const left: string[] = [];
  for (const step of guard.files.toReversed()) {
    try {
      await putStepBack(step, ports);
    } catch (error) {
      if (!isSandwardenError(error)) throw error;
      left.push(error.message);
    }
  }
  try {
    if (guard.reload !== undefined) await ports.changes.reloadUnits();
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    left.push(error.message);
  }
  return left.length === 0 ? {} : { left: left.join('; ') };
}

/**
 * Ends a change that was cut off by a crash: where all of it was written and is good it stays, else all of it is put
 * back; what somebody changed since is left alone. Says in plain words what was found.
 */
export async function finishFiles(guard: FilesGuard, ports: FilesPorts): Promise<{ done: boolean; why: string }> {
  const { changes } = ports;
  for (const step of guard.files) await changes.sweep(step.path);
  const states = await standing(guard, changes);
  const foreign = guard.files.filter((_, index) => states[index] === 'foreign').map((each) => each.path);
  if (foreign.length > 0) {
    return { done: false, why: `${foreign.join(', ')} was changed by somebody since, and is left as it is` };
  }
  // What is taken back is all to be found in the copies; what was planned was in the memory of a process that is gone.
  const isBack = guard.kind === 'restore-files' && states.includes('after');
  const isWhole = states.every((each) => each === 'after') || (isBack && (await drawRest(guard, states, ports)));
  for (const { after, folders } of isWhole ? guard.files : []) {
    if (after === undefined) await changes.removeFolders(folders);
  }
  const why = isWhole ? await unlessRefused(guard, changes) : undefined;
  if (isWhole && why === undefined) return { done: true, why: 'it is written, and it is good' };
  const { left } = await putBack(guard, ports);
  if (left !== undefined) return { done: false, why: `it could not be put back: ${left}` };
  if (why !== undefined) return { done: false, why: `it was put back: ${why}` };
  return {
    done: false,
    why: states.includes('after') ? 'half of it was written; it was put back' : 'nothing of it was written',
  };
}

/** Puts the rest of a change in its place; false where the copies for it are not all there. */
async function drawRest(
  guard: FilesGuard,
  states: readonly Standing[],
  { changes, backups }: FilesPorts,
): Promise<boolean> {
  const rest = guard.files.filter((_, index) => states[index] === 'before');
  const contents = new Map<string, Buffer>();
  for (const { path, after } of rest) {
    const content = after && (await backups.read(after.sha256));
    if (after && content === undefined) return false;
    if (content !== undefined) contents.set(path, content);
  }
  for (const step of rest) await put(step, 'after', contents.get(step.path), changes);
  return true;
}

async function unlessRefused(guard: FilesGuard, changes: NodeChanges): Promise<string | undefined> {
  try {
    return await refusalOf(guard, changes);
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return error.message;
  }
}

async function putStepBack(step: FileStep, { changes, backups }: FilesPorts): Promise<void> {
  const now = standingOf(step, await changes.fileNow(step.path));
  if (now === 'foreign') throw changedMeanwhile(step.path);
  if (now === 'before') return await changes.removeFolders(step.before === undefined ? step.folders : []);
  const content = step.before && (await backups.read(step.before.sha256));
  if (step.before && content === undefined) {
    throw new SandwardenError('ERR_FILE', `the copy of ${step.path} that was kept is not there any more`, {
      hint: 'put the file right by hand',
    });
  }
  await put(step, 'before', content, changes);
}

async function put(
  step: FileStep,
  which: 'before' | 'after',
  content: Buffer | undefined,
  changes: NodeChanges,
): Promise<void> {
  const to = step[which];
  if (to !== undefined) {
    if (content === undefined) throw new Error(`no content for ${step.path}`);
    const { mode, uid, gid } = to;
    return await changes.replaceFile(step.path, { content, mode, uid, gid }, step.folders);
  }
  await changes.replaceFile(step.path, undefined, []);
  await changes.removeFolders(step.folders);
}

function same(a: FileIdentity | undefined, b: FileIdentity | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.sha256 === b.sha256 && a.mode === b.mode && a.uid === b.uid && a.gid === b.gid;
}

function changedMeanwhile(path: string): SandwardenError {
  return new SandwardenError('ERR_PRECONDITION', `${path} was changed by somebody meanwhile`, {
    hint: 'it is left as it is; run `sandwarden heal` again for a new plan',
  });
}
