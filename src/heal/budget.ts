import { limits } from '../model/limits.ts';
import type { Action, Plan, Refusal } from '../model/plan.ts';
import { shellLine } from '../model/shell-word.ts';
import type { Entry, IntentEntry, RunMode, Stamp } from './entries.ts';

export interface BudgetContext {
  readonly now: Stamp;
  readonly mode: RunMode;
  /** All sandboxes of the node, ready or not. */
  readonly sandboxesOnNode: number;
  /** Taking back may restart what a heal restarted a moment ago; a heal that follows waits for it. */
  readonly isUndo?: boolean;
}

/**
 * The plan as far as the budgets of docs/safety.md reach; what is over becomes a refusal with the numbers.
 * `entries` is the whole journal: what was spent before, also before a reboot, counts. Pure.
 */
export function applyBudget(plan: Plan, entries: readonly Entry[], context: BudgetContext): Plan {
  const spent = spending(entries, context.now);
  const refused = new Map<Action, string>();
  let deletions = 0;
  for (const action of plan.actions) {
    const kind = restartOf(action);
    const isFree = kind !== undefined && context.isUndo === true;
    const isOver = isDeletion(action.kind) && spent.deletions + deletions >= limits.deletionsPerHour;
    if (isOver) refused.set(action, deletionsText);
    if (isOver) continue;
    if (isDeletion(action.kind)) deletions += 1;
    const why = kind === undefined ? overAttempts(action, spent.attempts) : overRestarts(kind, spent.restarts[kind]);
    if (why !== undefined && !isFree) refused.set(action, why);
    else if (kind !== undefined) spent.restarts[kind].push(0n);
  }
  for (const [action, why] of overTogether(plan.actions, refused)) refused.set(action, why);
  for (const [action, why] of overRemovals(plan.actions, refused, context)) refused.set(action, why);
  const left = new Set([...refused.keys()].map((each) => podOf(each.object)));
  const refusals = [...refused].map(
    ([{ object, target, code }, reason]): Refusal => ({ object, target, code, reason }),
  );
  return {
    actions: plan.actions.filter((each) => !refused.has(each)),
    refusals: [...plan.refusals, ...refusals],
    pods: plan.pods.filter((pod) => !left.has(pod)),
    ...(plan.storage === undefined ? {} : { storage: plan.storage }),
  };
}

/** How many sandboxes one run may remove: 200 or half of the node's, whichever is more at boot and less at run time. */
export function removalsPerRun(mode: RunMode, sandboxesOnNode: number): number {
  const share = Math.ceil(sandboxesOnNode * limits.removalsShareOfNode);
  return mode === 'boot' ? Math.max(limits.removalsPerRun, share) : Math.min(limits.removalsPerRun, share);
}

interface Spending {
  /** Attempts that did not end well, by kind and object. */
  readonly attempts: ReadonlyMap<string, number>;
  /** How long ago each was restarted, nanoseconds, for the restarts of the last day. */
  readonly restarts: Readonly<Record<Restarted, bigint[]>>;
  /** Deletions through the API and of sockets within the last hour. */
  readonly deletions: number;
}

function isDeletion(kind: Action['kind']): boolean {
  return kind === 'delete-pod' || kind === 'unlink-socket' || kind === 'delete-attachment';
}

const deletionsText =
  `${limits.deletionsPerHour} deletions of CSI pods, sockets and attachments within an hour are allowed, ` +
  'and they are spent: what needs more needs a person';

type Restarted = 'runtime' | 'kubelet';

/** Each of the two has a budget of its own: a change of the runtime's configuration needs one restart of both. */
function restartOf({ kind }: Action): Restarted | undefined {
  return kind === 'restart-runtime' ? 'runtime' : kind === 'restart-kubelet' ? 'kubelet' : undefined;
}

/** A new configuration and the restarts for it are all done or none: the files alone would wait under the node. */
function overTogether(actions: readonly Action[], refused: ReadonlyMap<Action, string>): [Action, string][] {
  const isPart = ({ kind }: Action) => kind === 'write-config' || kind === 'restore-files';
  const groups = Map.groupBy(
    actions.filter((each) => isPart(each) || restartOf(each) !== undefined),
    (each) => each.code,
  );
  return [...groups.values()].flatMap((group) => {
    const first = group.find((each) => refused.has(each));
    if (first === undefined || !group.some(isPart)) return [];
    const left = group.filter((each) => !refused.has(each));
    return left.map((each): [Action, string] => [each, `of no use alone: ${refused.get(first)}`]);
  });
}

function spending(entries: readonly Entry[], now: Stamp): Spending {
  const results = new Map(
    entries.flatMap((each) => (each.kind === 'outcome' ? [[each.of, each.result] as const] : [])),
  );
  const attempts = new Map<string, number>();
  const restarts: Record<Restarted, bigint[]> = { runtime: [], kubelet: [] };
  for (const each of entries) {
    if (each.kind !== 'intent') continue;
    const result = results.get(each.seq);
    const kind = restartOf(each.action);
    if (kind !== undefined) {
      const ago = agoNs(each, now);
      if (ago !== undefined && result !== 'skipped') restarts[kind].push(ago);
    } else if ((result === undefined || result === 'failed') && isSameObject(each, now)) {
      const key = keyOf(each.action);
      attempts.set(key, (attempts.get(key) ?? 0) + 1);
    }
  }
  const deletions = entries.filter((each) => {
    if (each.kind !== 'intent' || !isDeletion(each.action.kind) || results.get(each.seq) === 'skipped') return false;
    return (agoNs(each, now) ?? HOUR_NS) < HOUR_NS;
  });
  return { attempts, restarts, deletions: deletions.length };
}

/** A pid with its start names a process of one boot, and a property lasts as long; the others are the same for ever. */
function isSameObject(intent: IntentEntry, now: Stamp): boolean {
  const ofOneBoot = ['kill-cni', 'set-allowed-cpus', 'hold-slice', 'release-slice'];
  return !ofOneBoot.includes(intent.action.kind) || intent.at.bootId === now.bootId;
}

/**
 * How long ago an entry was written, where that is within the last day; undefined where it is longer.
 * Of this boot: exact, by uptime, whatever the clock did. Of another boot: before this one began, so at least
 * `uptime` ago; how much longer only the wall clock says, and a date in the future counts as just then.
 */
function agoNs(entry: Entry, now: Stamp): bigint | undefined {
  const byUptime = now.uptimeNs - entry.at.uptimeNs;
  const byWall = now.wallNs - entry.at.wallNs;
  const sameBoot = entry.at.bootId === now.bootId;
  const least = sameBoot ? 0n : now.uptimeNs;
  const told = sameBoot ? byUptime : byWall;
  const ago = told < least ? least : told;
  return ago < DAY_NS ? ago : undefined;
}

const HOUR_NS = 3_600n * 1_000_000_000n;
const DAY_NS = 24n * 3_600n * 1_000_000_000n;
const WINDOW_NS = BigInt(limits.runtimeRestartEveryMs) * 1_000_000n;

function overRestarts(kind: Restarted, restarts: readonly bigint[]): string | undefined {
  const who = kind === 'runtime' ? 'the runtime' : 'kubelet';
  const recent = restarts.filter((ago) => ago < WINDOW_NS);
  const [last] = recent.sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  if (last !== undefined) {
    const every = limits.runtimeRestartEveryMs / 60_000;
    const rest = Math.ceil(Number(WINDOW_NS - last) / 60e9);
    const ago = last / 60_000_000_000n;
    const rule = `at most once in ${every} min is allowed`;
    return `${who} was restarted ${ago} min ago, and ${rule}; again in ${rest} min`;
  }
  if (restarts.length < limits.runtimeRestartsPerDay) return undefined;
  const allowed = `${limits.runtimeRestartsPerDay} are allowed: restarting does not cure this, a person has to look`;
  return `${who} was restarted ${restarts.length} times within 24 h, and ${allowed}`;
}

function overAttempts(action: Action, attempts: ReadonlyMap<string, number>): string | undefined {
  const made = attempts.get(keyOf(action)) ?? 0;
  if (made < limits.attemptsPerObject) return undefined;
  const person = `this is for a person (see \`sandwarden history\`${byHand(action)})`;
  return `tried ${made} times and failed, and ${limits.attemptsPerObject} attempts are allowed: ${person}`;
}

function byHand({ kind, target }: Action): string {
  if (kind === 'remove-sandbox') return `; by hand: ${shellLine('crictl', 'rmp', target)}`;
  return kind === 'kill-cni' ? `; by hand: ${shellLine('kill', '-9', target.split('@')[0] ?? '')}` : '';
}

/**
 * The removals that this run leaves. A pod's removals are all done or none, for a part of them mends nothing;
 * only where the first pod alone is more than a run may do, is it begun and ended by the next run.
 */
function overRemovals(
  actions: readonly Action[],
  refused: ReadonlyMap<Action, string>,
  context: BudgetContext,
): Map<Action, string> {
  const most = removalsPerRun(context.mode, context.sandboxesOnNode);
  const over = new Map<Action, string>();
  const late: Action[] = [];
  let now = 0;
  for (const removals of Map.groupBy(actions.flatMap(asRemoval), (each) => each.podUid).values()) {
    const hopeless = removals.find((each) => refused.has(each.action));
    if (hopeless) {
      const why = `of no use alone: ${hopeless.action.object} would still block the pod`;
      for (const { action } of removals) if (!refused.has(action)) over.set(action, why);
      continue;
    }
    const room = now === 0 || now + removals.length <= most ? most - now : 0;
    now += Math.min(room, removals.length);
    late.push(...removals.slice(room).map((each) => each.action));
  }
  for (const action of late) over.set(action, removalsText(now, now + late.length, most, context));
  return over;
}

function asRemoval(action: Action): { action: Action; podUid: string }[] {
  return action.guard.kind === 'remove-sandbox' ? [{ action, podUid: action.guard.podUid }] : [];
}

function removalsText(now: number, wanted: number, most: number, context: BudgetContext): string {
  const [share, number] = [`half of the node's ${context.sandboxesOnNode}`, String(limits.removalsPerRun)];
  const rule = context.mode === 'boot' ? `the more of ${number} and ${share}` : `the less of ${number} and ${share}`;
  const next = 'run `sandwarden heal` again when these pods are up';
  return `${now} of ${wanted} now: one run removes at most ${most} sandboxes (${rule}); ${next}`;
}

/** An action on an object; two with one key are the same act. */
export function keyOf(action: Action): string {
  return `${action.kind} ${action.target}`;
}

/** `namespace/pod` of `namespace/pod/attempt`. */
function podOf(object: string): string {
  return object.split('/').slice(0, 2).join('/');
}
