import type { Clock } from '../model/clock.ts';
import { isSandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { type Observed, unknown } from '../model/observed.ts';
import type { StorageGoal } from '../model/plan.ts';
import { within } from './deadline.ts';
import type { World } from './ports.ts';
import type { Application, Applications } from './storage-world.ts';

/** Argo CD's Applications as they are, and as they were before the first act; undefined where there are none. */
export interface ApplicationsSeen {
  readonly now: Observed<Applications>;
  readonly before: Observed<Applications> | undefined;
}

/**
 * Which red Applications are waited for: what turned red since the first act, and what was unhealthy before and holds a
 * pod of the goal. The others were red for a reason that this plan does not mend. Without a look from before all are
 * waited for. Pure.
 */
export function partApplications(
  { red }: Applications,
  before: Observed<Applications> | undefined,
  goal: StorageGoal,
): { readonly waitedFor: readonly Application[]; readonly leftAlone: readonly Application[] } {
  if (before === undefined || !before.known) return { waitedFor: red, leftAlone: [] };
  const earlier = new Map(before.value.red.map((each) => [keyOf(each), each]));
  const isWaitedFor = (app: Application) => {
    const was = earlier.get(keyOf(app));
    if (was === undefined || (isOutOfSync(app) && !isOutOfSync(was))) return true;
    return isUnhealthy(app) && (!isUnhealthy(was) || holdsPodOf(goal, was));
  };
  const { yes = [], no = [] } = Object.groupBy(red, (each) => (isWaitedFor(each) ? 'yes' : 'no'));
  return { waitedFor: yes, leftAlone: no };
}

/** The Applications, listed no more often than they may be. */
export class ApplicationLooks {
  readonly #world: World;
  readonly #signal: AbortSignal;
  #last: { readonly atNs: bigint; readonly seen: Observed<Applications> | undefined } | undefined;

  constructor(world: World, signal: AbortSignal) {
    this.#world = world;
    this.#signal = signal;
  }

  /** As they are, or were `limits.applicationsPollMs` ago at most; undefined where the cluster has none. */
  async look(): Promise<Observed<Applications> | undefined> {
    const { clock } = this.#world;
    if (this.#last !== undefined && !isOld(this.#last.atNs, clock)) return this.#last.seen;
    const seen = await readApplications(this.#world, this.#signal);
    this.#last = { atNs: clock.uptimeNs(), seen };
    return seen;
  }
}

/** One listing of them. Never throws but for a bug; undefined where the cluster has none, or nobody can ask it. */
export async function readApplications(
  { storage, clock }: World,
  signal: AbortSignal,
): Promise<Observed<Applications> | undefined> {
  if (storage === undefined) return undefined;
  const deadline = { clock, ms: limits.kubeWriteTimeoutMs, doing: 'asking for the Applications', signal };
  try {
    return await within(deadline, () => storage.applications());
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return unknown(error.code, error.message, error.hint);
  }
}

function isOld(atNs: bigint, clock: Clock): boolean {
  return clock.uptimeNs() - atNs >= BigInt(limits.applicationsPollMs) * 1_000_000n;
}

function keyOf({ namespace, name }: Application): string {
  return `${namespace}/${name}`;
}

function isOutOfSync({ sync }: Application): boolean {
  return sync !== 'Synced';
}

function isUnhealthy({ health }: Application): boolean {
  return health !== 'Healthy' && health !== 'Suspended';
}

/** A pod is named after what makes it: a StatefulSet, a Deployment, an operator's object. Else its namespace says. */
function holdsPodOf({ follow }: StorageGoal, { resources, destination }: Application): boolean {
  return follow.some((pod) =>
    resources.length === 0
      ? pod.startsWith(`${destination}/`)
      : resources.some((each) => pod === each || pod.startsWith(`${each}-`)),
  );
}
