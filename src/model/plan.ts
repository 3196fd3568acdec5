import type { Tier } from './finding.ts';

/** What a plan may do. Each action is one file in heal/actions/. */
export type ActionKind = 'remove-sandbox' | 'kill-cni' | 'restart-runtime';

/** One step of a plan, for one object. */
export interface Action {
  readonly kind: ActionKind;
  /** The full id of the object: a sandbox id, a pid with its start (`412@8812`), a unit. */
  readonly target: string;
  /** How a person names it: `default/web/0`. */
  readonly object: string;
  /** The finding that it mends. */
  readonly code: string;
  readonly tier: Tier;
  /** Why, in plain words. */
  readonly reason: string;
  /** What must still be true when it acts, in plain words. */
  readonly precondition: string;
  /** What should be seen afterwards, in plain words. */
  readonly expects: string;
  /** What the executor compares with what it reads again. */
  readonly guard: RemoveGuard | ProcessGuard | RestartGuard;
}

export interface RemoveGuard {
  readonly kind: 'remove-sandbox';
  readonly sandboxId: string;
  readonly podUid: string;
  readonly attempt: number;
  readonly createdAtNs: bigint;
}

export interface ProcessGuard {
  readonly kind: 'kill-cni';
  readonly pid: number;
  readonly startedUptimeNs: bigint;
}

export interface RestartGuard {
  readonly kind: 'restart-runtime';
  readonly unit: string;
}

/** Why something is left alone. Refusing is an answer, with the numbers behind it. */
export interface Refusal {
  readonly object: string;
  readonly target: string;
  readonly code: string;
  readonly reason: string;
  /** What would lift it (`--allow=disruptive`), where something would. */
  readonly lift?: string;
}

export interface Plan {
  /** Ordered: they are done in this order, removals of one pod oldest cause first. */
  readonly actions: readonly Action[];
  readonly refusals: readonly Refusal[];
  /** The pods that should start once the plan is done, as `namespace/name`. */
  readonly pods: readonly string[];
}

/** What became of one action. */
export interface ActionOutcome {
  readonly action: Action;
  readonly result: 'done' | 'already' | 'failed' | 'skipped';
  /** For all but `done`: why, in plain words. */
  readonly why: string;
  readonly tookMs: number;
}

export interface Outcome {
  readonly actions: readonly ActionOutcome[];
  /** The surprise that stopped the run, where one did. */
  readonly stopped?: { readonly code: string; readonly message: string; readonly hint: string };
  readonly recovery: Recovery;
}

/** What was seen after the last action. */
export interface Recovery {
  readonly state: 'recovered' | 'partly' | 'not-yet' | 'not-checked';
  readonly tookMs: number;
  readonly recovered: readonly string[];
  readonly waiting: readonly { readonly pod: string; readonly why: string }[];
}
