import { unifiedDiff } from '../diagnose/config/diff.ts';
import { SandwardenError } from '../model/errors.ts';
import type { Action, FileStep, FilesGuard, Plan, Refusal, SliceGuard } from '../model/plan.ts';
import { safeText } from '../model/safe-text.ts';
import type { Entry, IntentEntry } from './entries.ts';
import { type FilesPorts, standingOf } from './file-set.ts';
import type { FileNow } from './node-changes.ts';
import { undoIdOf } from './run.ts';

/** A run and what takes it back. */
export interface Undo {
  readonly runId: string;
  readonly plan: Plan;
}

/**
 * The actions that take a run back, last change first, then the restarts in their order. A file that somebody changed
 * since is refused with what was changed; what is back already needs nothing. `id` is the beginning of a run's id.
 * Throws ERR_USAGE where no run or more than one is meant, and what reading the files throws.
 */
export async function planUndo(
  entries: readonly Entry[],
  id: string,
  ports: FilesPorts,
  bootId: string,
): Promise<Undo> {
  const runId = runNamed(entries, id);
  const intents = changesOf(entries, runId);
  if (intents.length === 0) throw nothingIn(runId);
  const actions: Action[] = [];
  const refusals: Refusal[] = [];
  const restarts = new Set<string>();
  for (const intent of intents.toReversed()) {
    const found = await inverseOf(intent, ports, bootId);
    if (found === undefined) for (const each of stillOwed(intent, entries, bootId)) restarts.add(each);
    else if ('guard' in found) actions.push(found);
    else refusals.push(found);
    if (found !== undefined && 'guard' in found && found.guard.kind === 'restore-files') {
      for (const each of found.guard.restarts) restarts.add(each);
    }
  }
  const [runtime, kubelet] = restarts;
  const code =
    intents.find(({ action: { guard } }) => 'files' in guard && guard.restarts.length > 0)?.action.code ?? '';
  const kindOf = (unit: string) => kindsOfRestart(intents).get(unit) ?? 'restart-runtime';
  for (const unit of [runtime, kubelet]) if (unit !== undefined) actions.push(restartOf(kindOf(unit), unit, code));
  return { runId, plan: { actions, refusals, pods: [] } };
}

/** The runs that changed something that can be taken back and has not been, by what `heal --undo` takes. Pure. */
export function undoable(entries: readonly Entry[]): ReadonlyMap<string, string> {
  const done = doneIntents(entries);
  const starts = entries.filter((each) => each.kind === 'run-start');
  const undone = new Set(
    starts.flatMap(({ runId, undoes }) => {
      return undoes !== undefined && entries.some((each) => each.runId === runId && done.has(each.seq)) ? [undoes] : [];
    }),
  );
  const runs = new Set(entries.filter((each) => done.has(each.seq)).map((each) => each.runId));
  return new Map([...runs].filter((each) => !undone.has(each)).map((each) => [each, undoIdOf(each)]));
}

/** Which unit is the runtime's and which is kubelet's: they are listed in the order they are restarted. */
function kindsOfRestart(intents: readonly IntentEntry[]): Map<string, 'restart-runtime' | 'restart-kubelet'> {
  const kinds = new Map<string, 'restart-runtime' | 'restart-kubelet'>();
  for (const { action } of intents) {
    const [runtime, kubelet] = 'files' in action.guard ? action.guard.restarts : [];
    if (runtime !== undefined) kinds.set(runtime, 'restart-runtime');
    if (kubelet !== undefined) kinds.set(kubelet, 'restart-kubelet');
  }
  return kinds;
}

/** The restarts that an earlier taking back was cut off before, in this boot. */
function stillOwed({ action, runId }: IntentEntry, entries: readonly Entry[], bootId: string): string[] {
  if (!('files' in action.guard)) return [];
  const runs = new Set(
    entries.flatMap((each) => (each.kind === 'run-start' && each.undoes === runId ? [each.runId] : [])),
  );
  const results = new Map(
    entries.flatMap((each) => (each.kind === 'outcome' ? [[each.of, each.result] as const] : [])),
  );
  const acts = entries.filter((each) => each.kind === 'intent').filter((each) => each.at.bootId === bootId);
  const back = acts.findLast(
    (each) => runs.has(each.runId) && each.action.kind === 'restore-files' && each.action.target === action.target,
  );
  const isOver = back === undefined || !['done', undefined].includes(results.get(back.seq));
  if (isOver) return [];
  const since = acts.filter((each) => each.seq > back.seq && results.get(each.seq) === 'done');
  return action.guard.restarts.filter((unit) => !since.some((each) => each.action.target === unit));
}

function runNamed(entries: readonly Entry[], id: string): string {
  const hint = "`sandwarden history` lists the runs, and with 'undo' those that can be taken back.";
  if (!/^[0-9a-f-]{4,36}$/.test(id)) {
    throw new SandwardenError('ERR_USAGE', `'${safeText(id, 60)}' is no beginning of a run's id`, { hint });
  }
  const named = [...new Set(entries.map((each) => each.runId))].filter((each) => each.startsWith(id));
  const [first, second] = named;
  if (first !== undefined && second === undefined) return first;
  const which = first === undefined ? 'no run' : `more than one run (${named.join(', ')})`;
  throw new SandwardenError('ERR_USAGE', `${which} in the journal has an id that begins with '${id}'`, { hint });
}

function nothingIn(runId: string): SandwardenError {
  return new SandwardenError('ERR_USAGE', `the run ${undoIdOf(runId)} changed no file and no property`, {
    hint: 'What was removed, ended or restarted cannot be taken back.',
  });
}

function changesOf(entries: readonly Entry[], runId: string): IntentEntry[] {
  const done = doneIntents(entries);
  return entries.filter((each) => each.kind === 'intent').filter((each) => each.runId === runId && done.has(each.seq));
}

/** The numbers of the intents that changed a file or a property, and were done. */
function doneIntents(entries: readonly Entry[]): ReadonlySet<number> {
  const ended = entries.flatMap((each) => (each.kind === 'outcome' && each.result === 'done' ? [each.of] : []));
  const done = new Set(ended);
  const isChange = ({ action: { guard } }: IntentEntry) =>
    'files' in guard || ['set-allowed-cpus', 'hold-slice', 'release-slice'].includes(guard.kind);
  const changes = entries
    .filter((each) => each.kind === 'intent')
    .filter((each) => isChange(each) && done.has(each.seq));
  return new Set(changes.map((each) => each.seq));
}

/** What takes one act back, why that is refused, or nothing where it is back already. */
async function inverseOf(
  intent: IntentEntry,
  ports: FilesPorts,
  bootId: string,
): Promise<Action | Refusal | undefined> {
  const { guard, target, object, code } = intent.action;
  if ('files' in guard) return await filesBack(intent, guard, ports);
  if (intent.at.bootId !== bootId) return undefined;
  if (guard.kind === 'hold-slice' || guard.kind === 'release-slice') return await sliceBack(intent, guard, ports);
  if (guard.kind !== 'set-allowed-cpus') return undefined;
  const now = await ports.changes.readProperty(guard.unit, 'AllowedCPUs');
  if (now === guard.before) return undefined;
  if (now !== guard.after)
    return { object, target, code, reason: `somebody set AllowedCPUs=${now} of ${guard.unit} since` };
  return {
    ...intent.action,
    reason: 'takes back what an earlier run set',
    precondition: 'it is still what that run set',
    expects: 'systemd decides about cpuset there as before',
    guard: { ...guard, before: guard.after, after: guard.before },
  };
}

async function sliceBack(
  { action }: IntentEntry,
  { kind, slice }: SliceGuard,
  { changes }: FilesPorts,
): Promise<Action | undefined> {
  if ((await changes.isHeld(slice)) !== (kind === 'hold-slice')) return undefined;
  const back = kind === 'hold-slice' ? 'release-slice' : 'hold-slice';
  return {
    ...action,
    kind: back,
    reason: 'takes back what an earlier run did',
    precondition: back === 'release-slice' ? 'it is still held' : 'it is not held',
    expects: back === 'release-slice' ? 'systemd decides about its controllers as before' : 'every controller stays',
    guard: { kind: back, slice },
  };
}

async function filesBack(
  intent: IntentEntry,
  guard: FilesGuard,
  ports: FilesPorts,
): Promise<Action | Refusal | undefined> {
  const { target, object, code } = intent.action;
  const steps = guard.files.map(inverse);
  const todo: FileStep[] = [];
  const diffs: string[] = [];
  for (const step of steps) {
    const now = await ports.changes.fileNow(step.path);
    const standing = standingOf(step, now);
    if (standing === 'after') continue;
    const refuse = (reason: string, diff?: string): Refusal => {
      return { object: step.path, target: step.path, code, reason, ...(diff === undefined ? {} : { diff }) };
    };
    if (standing === 'foreign')
      return refuse(changedSince(step, intent.runId, ports), await changeSince(step, now, ports));
    const before = step.after && (await ports.backups.read(step.after.sha256));
    if (step.after && before === undefined) return refuse('the copy of what was there is not in the state directory');
    diffs.push(unifiedDiff(step.path, textOf(now), before?.toString('utf8') ?? ''));
    todo.push(step);
  }
  if (todo.length === 0) return undefined;
  const { dump, reload, restarts } = guard;
  const paths = todo.map((each) => each.path).join(', ');
  return {
    kind: 'restore-files',
    target,
    object: guard.kind === 'restore-files' ? object : paths,
    code,
    tier: 'disruptive',
    reason: `takes back what the run ${undoIdOf(intent.runId)} wrote`,
    precondition: 'it is still what that run wrote',
    expects: restarts.length === 0 ? 'it is as it was; nothing is restarted' : 'it is as it was, byte for byte',
    guard: {
      kind: 'restore-files',
      files: todo,
      ...(dump === undefined ? {} : { dump: { file: dump.file, on: [] } }),
      ...(reload === undefined ? {} : { reload: { unit: reload.unit, after: [] } }),
      restarts,
    },
    diff: diffs.join(''),
  };
}

/** The same step the other way round. */
function inverse({ path, before, after, folders }: FileStep): FileStep {
  return {
    path,
    folders,
    ...(after === undefined ? {} : { before: after }),
    ...(before === undefined ? {} : { after: before }),
  };
}

function changedSince({ path, before, after }: FileStep, runId: string, { backups }: FilesPorts): string {
  const was = before === undefined ? 'removed it' : 'wrote it';
  const then =
    after === undefined ? `to have it gone: rm '${path}'` : `what was there: ${backups.pathOf(after.sha256)}`;
  return `somebody changed it since the run ${undoIdOf(runId)} ${was}: it stays (${then})`;
}

/** What was changed since that run, where both texts are there to compare. */
async function changeSince(step: FileStep, now: FileNow, { backups }: FilesPorts): Promise<string | undefined> {
  const ours = step.before === undefined ? Buffer.alloc(0) : await backups.read(step.before.sha256);
  if (ours === undefined || now.kind === 'other') return undefined;
  return unifiedDiff(step.path, ours.toString('utf8'), textOf(now) ?? '');
}

function textOf(now: FileNow): string | undefined {
  return now.kind === 'file' ? now.content.toString('utf8') : undefined;
}

function restartOf(kind: 'restart-runtime' | 'restart-kubelet', unit: string, code: string): Action {
  return {
    kind,
    target: unit,
    object: unit,
    code,
    tier: 'disruptive',
    reason: kind === 'restart-runtime' ? 'it reads its files only at its start' : 'it comes after the runtime',
    precondition: 'the same process still runs',
    expects: 'what was in force before is in force again; running pods live on',
    guard: { kind, unit },
  };
}
