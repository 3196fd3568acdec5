import { foresee, type SandboxOrder } from '../model/kubelet-choice.ts';
import type { NameHeld } from '../model/records.ts';
import { pausePidOf } from '../model/sandbox.ts';
import { maybeInFlight, type Obstacle } from './in-flight.ts';
import { leastRemoval } from './least-removal.ts';
import type { Stake } from './stake.ts';
import { stakeOf } from './stake.ts';
import type { ListedSandbox, PodView, Views } from './views.ts';
import { outOfOrder } from './views.ts';

export type GhostCode = 'SW101' | 'SW102' | 'SW104' | 'SW109';

/** A sandbox whose removal unblocks its pod, and what speaks against it. */
export interface Ghost {
  readonly sandbox: ListedSandbox;
  readonly code: GhostCode;
  readonly stake: Stake;
  /** Why it must not be removed now, whatever the tier; undefined where nothing forbids it. */
  readonly obstacle: Obstacle | undefined;
  /** The error that shows it, where one does. */
  readonly error: NameHeld | undefined;
  /** The pid of its pause process, 0 where it has none; undefined where the runtime did not tell. */
  readonly pausePid: number | undefined;
}

/** How a pod is blocked by listed sandboxes, and the fewest of them that must go. */
export interface Cure {
  readonly view: PodView;
  readonly ghosts: readonly Ghost[];
  /** The order under which it is blocked; undefined where an error alone shows it. */
  readonly order: SandboxOrder | undefined;
  /** kubelet's version is not known and another order would not block it: a warning, never a removal. */
  readonly onlyPerhaps: boolean;
}

/** The pods that listed NotReady sandboxes block, each with the least removal that unblocks it. Ordered by pod. */
export function findCures(facts: Views): Cure[] {
  return [...facts.pods.values()]
    .map((view) => cureOf(view, facts))
    .filter((cure): cure is Cure => cure !== undefined)
    .sort((a, b) => (sortKey(a.view) < sortKey(b.view) ? -1 : 1));
}

function cureOf(view: PodView, facts: Views): Cure | undefined {
  if (view.wanted.wants === 'no') return undefined;
  return cureByOrder(view, facts) ?? cureBySandboxError(view, facts) ?? cureByContainerError(view, facts);
}

/** kubelet's own rule, replayed, does not settle. */
function cureByOrder(view: PodView, facts: Views): Cure | undefined {
  const node = facts.node;
  if (node === undefined) return undefined;
  const order = facts.orders.find((each) => (view.fates.get(each)?.kind ?? 'settles') !== 'settles');
  if (order === undefined) return undefined;
  const removable = view.sandboxes.filter((each) => !each.ready && !holdsRunning(each, view));
  const least = leastRemoval(view.sandboxes, removable, order, node.wallNs, (each) => costOf(each, view));
  if (least === undefined || least.length === 0) return undefined;
  const onlyPerhaps = facts.orders.length > 1;
  const leaving = new Set(least.map((each) => each.id));
  const odd = new Set(outOfOrder(view, node).map((each) => each.id));
  const ghosts = least.map((sandbox) => {
    const code: GhostCode = sandbox.createdAtNs <= 0n ? 'SW104' : odd.has(sandbox.id) ? 'SW102' : 'SW101';
    return ghostOf(sandbox, code, { view, facts, onlyPerhaps, leaving, error: view.errors[0] });
  });
  // Nothing tells whether the pod is wanted, and its records live here: a finished Job looks like this. No fault, it is
  // kept.
  if (view.wanted.wants === 'unknown' && ghosts.some((ghost) => ghost.stake.lost === 'yes')) return undefined;
  return { view, ghosts, order, onlyPerhaps };
}

/** The rule would settle, yet kubelet is refused again and again, and a listed NotReady sandbox holds the name. */
function cureBySandboxError(view: PodView, facts: Views): Cure | undefined {
  const error = view.errors.find((each) => each.kind === 'sandbox' && each.count >= 2 && isGhost(each.holderId, facts));
  const sandbox = error && facts.sandboxById.get(error.holderId);
  if (error === undefined || sandbox === undefined || sandbox.uid !== view.uid) return undefined;
  if (sandbox.attempt !== error.asked.attempt) return undefined;
  const code: GhostCode = sandbox.createdAtNs <= 0n ? 'SW104' : 'SW101';
  return cureByError({ sandbox, code, error }, view, facts);
}

/**
 * The name of a container is held. By an ended container whose sandbox is NotReady, or because an older container is
 * dated after it: kubelet counts restarts from the newest container by date (kubernetes issue 134153, in all versions).
 */
function cureByContainerError(view: PodView, facts: Views): Cure | undefined {
  for (const error of view.errors) {
    if (error.kind !== 'container' || error.count < 2) continue;
    const holder = view.containers.find((each) => each.id === error.holderId);
    if (holder === undefined) continue;
    const outsorts = view.containers.find(
      (each) => each.name === holder.name && each.attempt < holder.attempt && each.createdAtNs > holder.createdAtNs,
    );
    const cause = [outsorts, holder].find((each) => each !== undefined && isGhost(each.sandboxId, facts));
    const sandbox = cause && facts.sandboxById.get(cause.sandboxId);
    if (sandbox === undefined || holdsRunning(sandbox, view)) continue;
    const cure = cureByError({ sandbox, code: 'SW109', error }, view, facts);
    if (cure !== undefined) return cure;
  }
  return undefined;
}

interface Refused {
  readonly sandbox: ListedSandbox;
  readonly code: GhostCode;
  readonly error: NameHeld;
}

/** The sandbox that an error names, and what else must go so that kubelet's rule settles without it. */
function cureByError({ sandbox, code, error }: Refused, view: PodView, facts: Views): Cure | undefined {
  const also = alsoInTheWay(sandbox, view, facts);
  if (also === undefined) return undefined;
  const leaving = new Set([sandbox, ...also].map((each) => each.id));
  const context = { view, facts, onlyPerhaps: false, leaving, error };
  const others = also.map((each) => ghostOf(each, each.createdAtNs <= 0n ? 'SW104' : 'SW101', context));
  return { view, ghosts: [ghostOf(sandbox, code, context), ...others], order: undefined, onlyPerhaps: false };
}

/**
 * What would block the pod once `first` is gone; undefined where no removal helps, or where kubelet's order is unknown.
 */
function alsoInTheWay(first: ListedSandbox, view: PodView, facts: Views): ListedSandbox[] | undefined {
  const { node, orders } = facts;
  if (node === undefined) return [];
  const rest = view.sandboxes.filter((each) => each.id !== first.id);
  const [order, other] = orders;
  if (order !== undefined && other === undefined) {
    const removable = rest.filter((each) => !each.ready && !holdsRunning(each, view));
    return leastRemoval(rest, removable, order, node.wallNs, (each) => costOf(each, view));
  }
  return orders.every((each) => foresee(rest, each, node.wallNs).kind === 'settles') ? [] : undefined;
}

interface GhostContext {
  readonly view: PodView;
  readonly facts: Views;
  readonly onlyPerhaps: boolean;
  /** The ids that go together. */
  readonly leaving: ReadonlySet<string>;
  readonly error: NameHeld | undefined;
}

function ghostOf(sandbox: ListedSandbox, code: GhostCode, of: GhostContext): Ghost {
  const detail = of.facts.snapshot.details[sandbox.id];
  return {
    sandbox,
    code,
    stake: stakeOf(sandbox, of.view, of.leaving),
    obstacle: obstacleOf(sandbox, of.view, of.facts, of.onlyPerhaps),
    error: of.error,
    pausePid: detail?.known ? pausePidOf(detail.value) : undefined,
  };
}

function obstacleOf(sandbox: ListedSandbox, view: PodView, facts: Views, onlyPerhaps: boolean): Obstacle | undefined {
  if (onlyPerhaps) return { why: "kubelet's version is not known; from 1.35 on it would not be blocked by this" };
  const detail = facts.snapshot.details[sandbox.id];
  if (detail?.known && (detail.value.pid ?? 0) > 0 && detail.value.processStatus === 'running') {
    return { why: `its pause process (pid ${detail.value.pid}) is alive` };
  }
  return maybeInFlight(view, facts);
}

function isGhost(sandboxId: string, facts: Views): boolean {
  return facts.sandboxById.get(sandboxId)?.ready === false;
}

function holdsRunning(sandbox: ListedSandbox, view: PodView): boolean {
  return view.containers.some(
    (each) => each.sandboxId === sandbox.id && (each.state === 'running' || each.state === 'created'),
  );
}

/**
 * Prefer what costs least to lose: a half-created sandbox, then one without records, then one whose records stay
 * elsewhere.
 */
function costOf(sandbox: ListedSandbox, view: PodView): number {
  const lost = { nothing: 0, perhaps: 100, yes: 10_000 }[stakeOf(sandbox, view, new Set()).lost];
  const records = view.containers.filter((each) => each.sandboxId === sandbox.id).length;
  return lost + records + (sandbox.createdAtNs <= 0n ? 0 : 1);
}

function sortKey(view: PodView): string {
  return `${view.namespace}/${view.name}/${view.uid}`;
}
