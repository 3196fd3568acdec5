import type { Action, ActionOutcome, Stage } from '../model/plan.ts';

/** An act that an earlier run began and whose end it could not write down, and what was found of it. */
export interface Resumed {
  readonly object: string;
  readonly kind: Action['kind'];
  /** `done`: it was found done. `undone`: it was not; the plan says whether it is done now. */
  readonly found: 'done' | 'undone';
  readonly why: string;
}

/** What a run tells while it works. `elapsedMs` is since the run began, by the monotonic clock. */
export type ProgressEvent =
  | { readonly kind: 'resumed'; readonly elapsedMs: number; readonly runId: string; readonly left: readonly Resumed[] }
  | { readonly kind: 'confirming'; readonly elapsedMs: number; readonly waitMs: number }
  | {
      readonly kind: 'act';
      readonly elapsedMs: number;
      readonly action: Action;
      readonly index: number;
      readonly of: number;
    }
  | {
      readonly kind: 'acted';
      readonly elapsedMs: number;
      readonly outcome: ActionOutcome;
      readonly ended: number;
      readonly of: number;
    }
  | {
      readonly kind: 'verifying';
      readonly elapsedMs: number;
      readonly recovered: number;
      readonly of: number;
      readonly waiting: readonly string[];
    }
  | { readonly kind: 'stages'; readonly elapsedMs: number; readonly stages: readonly Stage[] };

export type OnProgress = (event: ProgressEvent) => void;
