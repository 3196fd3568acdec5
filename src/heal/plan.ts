import type { Cure, Ghost } from '../diagnose/cure.ts';
import type { Facts } from '../diagnose/facts.ts';
import { buildFacts } from '../diagnose/facts.ts';
import { inFlightErrors } from '../diagnose/in-flight-errors.ts';
import { holdersOf } from '../diagnose/rules/sw103.ts';
import { agoNs } from '../diagnose/time.ts';
import type { Tier } from '../model/finding.ts';
import { limits } from '../model/limits.ts';
import { known, valueOr } from '../model/observed.ts';
import type { Action, Plan, Refusal } from '../model/plan.ts';
import type { Container, Sandbox } from '../model/sandbox.ts';
import { describePod, describeSandbox } from '../model/sandbox.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { isWanted } from './chosen.ts';
import { planConfig, wouldRefuse } from './config-plan.ts';
import type { Material } from './material.ts';
import { planStorage } from './storage-plan.ts';

/** What a person (or the boot hook) allows. */
export interface PlanOptions {
  readonly allow: readonly Tier[];
  /**
   * Only these findings; an empty list means all. `object` is a name (`default/web/0`), a pod (`default/web`) or an
   * id's beginning.
   */
  readonly only: readonly { readonly code: string; readonly object?: string }[];
  /** Whether CSI's sockets and the objects of the API may be acted on; not at boot, where nobody waits for them. */
  readonly storage?: boolean;
}

/**
 * The ordered actions that mend what the snapshot shows, and what is left alone with why. Pure. Without `material`
 * nothing but sandboxes, processes and the runtime's restart is planned.
 */
export function makePlan(snapshot: Snapshot, options: PlanOptions, material?: Material): Plan {
  const facts = buildFacts(snapshot);
  const parts = [
    ...byWeight(facts).map((cure) => planRemovals(cure, options)),
    ...planHungRequests(facts, options),
    ...(material === undefined ? [] : planConfig(facts, options, material)),
    { actions: [], refusals: keptRefusals(facts), pods: [] },
  ];
  const actions = oneRestart(parts.flatMap((each) => each.actions));
  const volumes = options.storage === true ? planStorage(facts, options, actions) : undefined;
  return {
    // Dead sockets first: a registrar that starts with its pod makes its own anew. What waits for a socket last.
    actions: [...ofSockets(volumes), ...actions, ...(volumes?.actions ?? []).filter((each) => !isOfSockets(each))],
    refusals: [...parts.flatMap((each) => each.refusals), ...(volumes?.refusals ?? [])],
    pods: [...new Set(parts.flatMap((each) => each.pods))].sort(),
    ...(volumes?.storage === undefined ? {} : { storage: volumes.storage }),
  };
}

/**
 * Those on whom others wait come first, since the budget may leave the last ones for another run: what serves volumes,
 * then static pods (of a control plane), then the rest by name.
 */
function byWeight({ cures, drivers }: Facts): readonly Cure[] {
  const plugins = new Set(drivers.flatMap((each) => each.plugins.map((pod) => pod.uid)));
  const weightOf = ({ view }: Cure) => {
    if (plugins.has(view.uid)) return 0;
    return view.sandboxes.some((each) => each.configSource === 'file') ? 1 : 2;
  };
  return cures.toSorted((a, b) => weightOf(a) - weightOf(b));
}

function ofSockets(plan: Plan | undefined): readonly Action[] {
  return (plan?.actions ?? []).filter(isOfSockets);
}

function isOfSockets({ kind }: Action): boolean {
  return kind === 'unlink-socket';
}

/** What was read of a pod immediately before a removal. */
export interface FreshPod {
  readonly sandboxes: readonly Sandbox[];
  readonly containers: readonly Container[];
  /** Whether the pause process of the sandbox lives; undefined where nobody can say. */
  readonly pauseAlive: boolean | undefined;
}

/**
 * Whether the reason for a removal still holds for what is read of its pod now: undefined, or why not. The rules that
 * made the plan are asked again, over `snapshot` (the look of the plan) with this pod's part replaced by `fresh`.
 */
export function removalStillRight(
  action: Action,
  fresh: FreshPod,
  snapshot: Snapshot,
  options: PlanOptions,
): string | undefined {
  if (action.guard.kind !== 'remove-sandbox') return undefined;
  const { sandboxId, podUid } = action.guard;
  if (fresh.pauseAlive === undefined) return 'nobody can say whether its pause process lives';
  const again = makePlan(onlyPod(snapshot, podUid, fresh), { ...options, only: [], storage: false });
  if (again.actions.some((each) => each.kind === 'remove-sandbox' && each.target === sandboxId)) return undefined;
  const refusal = again.refusals.find((each) => each.target === sandboxId);
  return refusal?.reason ?? 'it does not block its pod any more';
}

/** The look, narrowed to one pod: what is read of it now, with how its containers ended as the look knew it. */
function onlyPod(snapshot: Snapshot, podUid: string, fresh: FreshPod): Snapshot {
  const before = valueOr(snapshot.containers, []).filter((each) => each.podUid === podUid);
  const exits = new Map(before.map((each) => [each.id, each.exit]));
  const containers = fresh.containers.map((each) => {
    const exit = each.exit ?? exits.get(each.id);
    return exit === undefined ? each : { ...each, exit };
  });
  const log = valueOr(snapshot.kubeletLog, undefined);
  return {
    ...snapshot,
    sandboxes: known(fresh.sandboxes),
    containers: known(containers),
    ...(log === undefined
      ? {}
      : { kubeletLog: known({ ...log, nameHeld: log.nameHeld.filter((each) => each.asked.uid === podUid) }) }),
  };
}

/** All of a pod's removals or none: removing a part of what blocks it would cost something and mend nothing. */
function planRemovals(cure: Cure, options: PlanOptions): Plan {
  const chosen = cure.ghosts.filter((ghost) => isChosen(ghost, cure, options));
  if (chosen.length === 0) return nothing;
  const refused = cure.ghosts
    .map((ghost) => refusalOf(ghost, options))
    .filter((each): each is Refusal => each !== undefined);
  if (refused.length === 0) {
    return { actions: chosen.map((ghost) => removalOf(ghost, cure)), refusals: [], pods: [describePod(cure.view)] };
  }
  const passes = refused.every((each) => each.passes) ? ({ passes: true } as const) : {};
  const others = chosen
    .filter((ghost) => !refused.some((each) => each.target === ghost.sandbox.id))
    .map((ghost) => ({
      ...refuse(ghost, `of no use alone: ${refused[0]?.object} would still block the pod`),
      ...passes,
    }));
  return { actions: [], refusals: [...refused, ...others], pods: [] };
}

/** Of two restarts of one unit the later one serves both: a new configuration must be written before it. */
function oneRestart(actions: readonly Action[]): Action[] {
  const last = new Map(actions.map((each, index) => [`${each.kind} ${each.target}`, index]));
  return actions.filter(
    (each, index) => each.kind !== 'restart-runtime' || last.get(`${each.kind} ${each.target}`) === index,
  );
}

const nothing: Plan = { actions: [], refusals: [], pods: [] };

function refusalOf(ghost: Ghost, options: PlanOptions): Refusal | undefined {
  if (ghost.obstacle !== undefined) {
    const { why, ...passes } = ghost.obstacle;
    return { ...refuse(ghost, why), ...passes };
  }
  if (ghost.stake.lost === 'yes') return refuse(ghost, ghost.stake.why);
  if (ghost.stake.lost === 'perhaps' && !options.allow.includes('disruptive')) {
    return { ...refuse(ghost, ghost.stake.why), lift: '--allow=disruptive' };
  }
  return undefined;
}

function refuse(ghost: Ghost, reason: string): Refusal {
  return { object: describeSandbox(ghost.sandbox), target: ghost.sandbox.id, code: ghost.code, reason };
}

function removalOf(ghost: Ghost, cure: Cure): Action {
  const { sandbox } = ghost;
  return {
    kind: 'remove-sandbox',
    target: sandbox.id,
    object: describeSandbox(sandbox),
    code: ghost.code,
    tier: ghost.stake.lost === 'perhaps' ? 'disruptive' : 'safe',
    reason: `${reasonWords[ghost.code]}; ${ghost.stake.why}`,
    precondition: 'still NotReady, same date, no container running, no pause process, and still in the way',
    expects: `${describePod(cure.view)} gets a new sandbox within 15 s`,
    guard: {
      kind: 'remove-sandbox',
      sandboxId: sandbox.id,
      podUid: sandbox.uid,
      attempt: sandbox.attempt,
      createdAtNs: sandbox.createdAtNs,
      // One that was never finished may be getting its process: it is asked for again.
      ...(ghost.pausePid === undefined || sandbox.createdAtNs <= 0n ? {} : { pausePid: ghost.pausePid }),
    },
  };
}

const reasonWords: Readonly<Record<Ghost['code'], string>> = {
  SW101: 'it holds the name that kubelet asks for',
  SW102: 'by its date kubelet takes it for the newest',
  SW104: 'it was never finished and holds its name',
  SW109: 'its dead container makes kubelet ask for a name that is taken',
};

function isChosen(ghost: Ghost, cure: Cure, options: PlanOptions): boolean {
  return isWanted(options, ghost.code, describeSandbox(ghost.sandbox), describePod(cure.view), ghost.sandbox.id);
}

/**
 * Requests that hang past kubelet's deadline: end the CNI process that holds one, or else restart the runtime, once.
 */
function planHungRequests(facts: Facts, options: PlanOptions): Plan[] {
  const node = facts.node;
  if (node === undefined) return [];
  const seen = new Set<string>();
  return inFlightErrors(facts).map((error): Plan => {
    const object = describeSandbox(error.asked);
    if (!isWanted(options, 'SW103', object, describePod(error.asked), error.holderId)) return nothing;
    const refusal = (reason: string, lift?: string): Plan => ({
      actions: [],
      refusals: [{ object, target: error.holderId, code: 'SW103', reason, ...(lift === undefined ? {} : { lift }) }],
      pods: [],
    });
    const ago = agoNs(error.first, node) ?? 0n;
    if (ago < BigInt(limits.runPodSandboxTimeoutMs) * 1_000_000n) {
      return refusal('its RunPodSandbox is younger than 4 minutes and may still end by itself');
    }
    const action = hungRequestAction(error, facts);
    if (typeof action === 'string') return refusal(action);
    if (!options.allow.includes('disruptive')) return refusal(`would ${action.reason}`, '--allow=disruptive');
    if (seen.has(action.target)) return { ...nothing, pods: [describePod(error.asked)] };
    seen.add(action.target);
    return { actions: [action], refusals: [], pods: [describePod(error.asked)] };
  });
}

type HeldSandbox = ReturnType<typeof inFlightErrors>[number];

function hungRequestAction(error: HeldSandbox, facts: Facts): Action | string {
  const cni = holdersOf(error, facts).find((each) => each.role === 'cni');
  const shared = {
    code: 'SW103',
    tier: 'disruptive',
    expects: `${describePod(error.asked)} gets a new sandbox within 15 s`,
  } as const;
  if (cni !== undefined) {
    return {
      ...shared,
      kind: 'kill-cni',
      target: `${cni.pid}@${cni.startedUptimeNs}`,
      object: describeSandbox(error.asked),
      reason: `end the hung CNI process ${cni.comm} (pid ${cni.pid})`,
      precondition: 'the same process still runs',
      guard: { kind: 'kill-cni', pid: cni.pid, startedUptimeNs: cni.startedUptimeNs },
    };
  }
  const unit = valueOr(facts.snapshot.runtimeUnit, undefined)?.name;
  if (wouldRefuse(facts)) return 'what holds it was not seen, and the runtime would not start again with its files';
  if (unit === undefined) return "what holds it was not seen, and the runtime's unit is not known";
  return {
    ...shared,
    kind: 'restart-runtime',
    target: unit,
    object: unit,
    reason: `restart ${unit}; running pods live on`,
    precondition: 'the same runtime still runs, and the name is still held by an id that is not listed',
    guard: { kind: 'restart-runtime', unit },
  };
}

function keptRefusals(facts: Facts): Refusal[] {
  return facts.kept.map((each) => ({
    object: describeSandbox(each.sandbox),
    target: each.sandbox.id,
    code: 'SW108',
    reason: each.reason,
  }));
}
