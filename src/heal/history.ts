import type { Action, ActionOutcome } from '../model/plan.ts';
import type { Entry, RunEndBody, RunMode, Stamp } from './entries.ts';

/** One act of a run, as the journal tells it. */
export interface HistoryAct {
  readonly action: Action;
  /** When the intent was written. `wallNs` is by a clock that may be wrong; `uptimeNs` of `bootId` is exact. */
  readonly at: Stamp;
  /** The precondition as it was read. */
  readonly read: string;
  /** `undone`: nobody wrote down how it ended; the next `heal` looks. */
  readonly result: ActionOutcome['result'] | 'undone';
  readonly why: string;
  readonly tookMs: number;
  /** The end was found by a later run. */
  readonly found: boolean;
}

/** One run of `heal`, oldest first in a history. */
export interface HistoryRun {
  readonly runId: string;
  readonly startedAt: Stamp;
  /** Absent for a run that was killed before its end. */
  readonly endedAt?: Stamp;
  /** Exact, by the monotonic clock; absent where the run did not end in the boot it began in. */
  readonly tookMs?: number;
  readonly mode: RunMode | 'unknown';
  readonly planned: number;
  readonly acts: readonly HistoryAct[];
  readonly notes: readonly string[];
  readonly end?: RunEndBody;
}

/** The runs that a journal tells of, oldest first. Pure; entries in the order of the journal. */
export function history(entries: readonly Entry[]): HistoryRun[] {
  const outcomes = new Map(entries.flatMap((each) => (each.kind === 'outcome' ? [[each.of, each] as const] : [])));
  return [...Map.groupBy(entries, (each) => each.runId)].map(([runId, own]) => runOf(runId, own, outcomes));
}

function runOf(
  runId: string,
  own: readonly Entry[],
  outcomes: ReadonlyMap<number, Extract<Entry, { kind: 'outcome' }>>,
): HistoryRun {
  const start = own.find((each) => each.kind === 'run-start');
  const end = own.find((each) => each.kind === 'run-end');
  const first = start ?? own[0];
  if (!first) throw new Error('a run without entries');
  return {
    runId,
    startedAt: first.at,
    mode: start?.mode ?? 'unknown',
    planned: start?.planned ?? 0,
    acts: own.filter((each) => each.kind === 'intent').map((each) => actOf(each, outcomes.get(each.seq))),
    notes: own.filter((each) => each.kind === 'note').map((each) => each.text),
    ...(end === undefined ? {} : { end, endedAt: end.at, ...tookOf(first.at, end.at) }),
  };
}

function actOf(
  intent: Extract<Entry, { kind: 'intent' }>,
  outcome: Extract<Entry, { kind: 'outcome' }> | undefined,
): HistoryAct {
  const { action, at, read } = intent;
  if (!outcome) return { action, at, read, result: 'undone', why: 'its end was not written', tookMs: 0, found: false };
  const { result, why, tookMs, found } = outcome;
  return { action, at, read, result, why, tookMs, found };
}

function tookOf(from: Stamp, to: Stamp): { tookMs?: number } {
  if (from.bootId !== to.bootId) return {};
  return { tookMs: Math.max(0, Math.round(Number(to.uptimeNs - from.uptimeNs) / 1e6)) };
}
