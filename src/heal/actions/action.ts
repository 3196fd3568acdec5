import type { SandwardenError } from '../../model/errors.ts';
import type { Action, ActionKind } from '../../model/plan.ts';
import type { Container, Sandbox } from '../../model/sandbox.ts';
import type { Backups } from '../node-changes.ts';
import type { Identity, World } from '../ports.ts';

/** What was read of a pod immediately before an act. */
export interface Fresh {
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly Container[];
  /** Of the sandbox to be removed; undefined where nobody can say. */
  readonly pauseAlive: boolean | undefined;
  readonly nowWallNs: bigint;
  readonly kubeletRunning: boolean | undefined;
}

/** Whether the plan's reason for a removal still holds: why not, or undefined where it does. Pure. */
export type StillRight = (action: Action, fresh: Fresh) => string | undefined;

/** What the actions see of a run. */
export interface ActContext {
  readonly world: World;
  readonly signal: AbortSignal;
  readonly stillRight: StillRight;
  /** What was read last, immediately before this action. */
  readonly identity: Identity;
  readonly backups: Backups;
  /** What `heal --undo` takes for this run. */
  readonly undoId: string;
}

/** What a second look immediately before the act says. */
export type Check =
  | { readonly go: true; readonly read: string }
  /** Nothing is left to be done. */
  | { readonly already: string }
  /** This one is left alone, for this reason; the run goes on. */
  | { readonly leave: string }
  | { readonly surprise: SandwardenError };

export interface Done {
  readonly result: 'done' | 'already';
  readonly why: string;
}

/** One kind of action. `perform` throws a SandwardenError where it fails; the run stops then. */
export interface Performer {
  readonly kind: ActionKind;
  /** How many of the kind may be under way at once. */
  readonly inFlight: number;
  /** Reads the precondition again. */
  check(action: Action, context: ActContext): Promise<Check>;
  perform(action: Action, context: ActContext): Promise<Done>;
  /** Reads what came of it, where there is something to read; the next of its kind may be under way by then. */
  confirm?(action: Action, context: ActContext): Promise<Done>;
}
