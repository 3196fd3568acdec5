import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Action, RemoveGuard } from '../../model/plan.ts';
import { safeText } from '../../model/safe-text.ts';
import { within } from '../deadline.ts';
import type { ActContext, Check, Done, Fresh, Performer } from './action.ts';

/** StopPodSandbox where it is needed, RemovePodSandbox, then a listing that no longer has it. Never past CRI. */
export const removeSandbox: Performer = {
  kind: 'remove-sandbox',
  inFlight: limits.removalsInFlight,
  check,
  perform,
  confirm,
};

/**
 * What speaks against a removal by what was just read, whatever the plan was made of: the laws of docs/safety.md
 * that no plan may break. `gone` where the sandbox is not there any more, undefined where nothing speaks against it.
 */
export function surpriseBeforeRemoval(guard: RemoveGuard, fresh: Fresh): 'gone' | string | undefined {
  const sandbox = fresh.sandboxes.find((each) => each.id === guard.sandboxId);
  if (!sandbox) return 'gone';
  if (sandbox.state === 'ready') return 'it is READY now';
  if (sandbox.createdAtNs !== guard.createdAtNs) return 'it has another creation date now';
  if (sandbox.attempt !== guard.attempt) return `it is attempt ${sandbox.attempt} now, not ${guard.attempt}`;
  if (sandbox.uid !== guard.podUid) return 'it belongs to another pod now';
  const alive = fresh.containers.find(
    (each) => each.sandboxId === guard.sandboxId && (each.state === 'running' || each.state === 'created'),
  );
  if (alive) return `its container ${safeText(alive.name)} is ${alive.state} now`;
  if (fresh.pauseAlive === true) return 'its pause process is alive';
  return undefined;
}

/** The CNI plugin that an error of the runtime names (libcni: `plugin type="bridge" failed (delete)`), or undefined. */
export function pluginOf(text: string): string | undefined {
  const match = /plugin type="([^"]{1,100})"|failed to find plugin "([^"]{1,100})"/.exec(text);
  return match?.[1] ?? match?.[2];
}

async function check(action: Action, context: ActContext): Promise<Check> {
  const guard = guardOf(action);
  const fresh = await readFresh(action, guard, context);
  const against = surpriseBeforeRemoval(guard, fresh);
  if (against === 'gone') return { already: 'it was gone before it was its turn' };
  const why = against ?? context.stillRight(action, fresh);
  if (why !== undefined) return { surprise: surprise(action, why) };
  const inside = fresh.containers.filter((each) => each.sandboxId === guard.sandboxId).length;
  const pause =
    fresh.pauseAlive === false ? 'its pause process is gone' : 'nobody can say whether its pause process lives';
  return { go: true, read: `NotReady, created ${guard.createdAtNs}, ${inside} containers, none running; ${pause}` };
}

async function perform(action: Action, context: ActContext): Promise<Done> {
  const { world, signal } = context;
  const guard = guardOf(action);
  const { clock } = world;
  const call = async (doing: string, work: () => Promise<void>) => {
    // The margin lets the call's own deadline speak first: it knows more.
    const ms = limits.criWriteTimeoutMs + limits.connectTimeoutMs;
    try {
      await within({ clock, ms, doing: `${doing} of ${action.object}`, signal }, work);
    } catch (error) {
      if (isSandwardenError(error, 'ERR_CRI_NOT_FOUND')) return;
      throw isSandwardenError(error) ? asNetworkError(action, error) : error;
    }
  };
  if (!(await world.removalStops())) await call('StopPodSandbox', () => world.stopSandbox(guard.sandboxId));
  await call('RemovePodSandbox', () => world.removeSandbox(guard.sandboxId));
  return { result: 'done', why: '' };
}

async function confirm(action: Action, context: ActContext): Promise<Done> {
  const guard = guardOf(action);
  const { sandboxes } = await readPod(action, guard, context);
  if (!sandboxes.some((each) => each.id === guard.sandboxId)) return { result: 'done', why: '' };
  throw new SandwardenError('ERR_PRECONDITION', `${action.object} was removed without an error and is still listed`, {
    hint: 'run `sandwarden check` and look at the log of the runtime',
  });
}

async function readFresh(action: Action, guard: RemoveGuard, context: ActContext): Promise<Fresh> {
  const { world, signal } = context;
  const ms = limits.criReadTimeoutMs + limits.connectTimeoutMs;
  const doing = `reading the pause process of ${action.object}`;
  const { pausePid } = guard;
  const [pod, asked] = await Promise.all([
    readPod(action, guard, context),
    pausePid === undefined
      ? within({ clock: world.clock, ms, doing, signal }, () => world.pauseAlive(guard.sandboxId))
      : undefined,
  ]);
  const pauseAlive = pausePid === undefined ? asked : pausePid > 0 && world.processAlive(pausePid);
  const { identity } = context;
  return { ...pod, pauseAlive, nowWallNs: world.clock.wallNs(), kubeletRunning: identity.kubeletRunning };
}

function readPod(action: Action, guard: RemoveGuard, { world, signal }: ActContext) {
  const ms = 2 * limits.criReadTimeoutMs + limits.connectTimeoutMs;
  const deadline = { clock: world.clock, ms, doing: `reading the pod of ${action.object}`, signal };
  return within(deadline, () => world.readPod(guard.podUid));
}

/** An error of the runtime in plain words where it is CNI that failed: the network is then the thing to heal. */
function asNetworkError(action: Action, error: SandwardenError): SandwardenError {
  const text = textOf(error);
  const uninitialized = text.includes('cni plugin not initialized');
  if (!uninitialized && !text.includes('failed to destroy network')) return error;
  const plugin = pluginOf(text);
  const who = plugin === undefined ? 'the CNI plugin' : `the CNI plugin ${safeText(plugin)}`;
  // At the deadline of the call the runtime ends the plugin, and may answer just before our own clock ends the call.
  const wasKilled = text.includes('signal: killed');
  const failure = wasKilled ? 'was killed before it had torn' : 'cannot tear';
  const what = uninitialized
    ? 'no CNI configuration is loaded'
    : `${who} ${failure} its network down${wasKilled ? ', as it is when it hangs' : ''}`;
  return new SandwardenError(error.code, `${action.object} cannot be removed: ${what} (${safeText(text, 500)})`, {
    hint: "heal the pod's network first (the CNI plugin and its daemon), then run `sandwarden heal` again",
    cause: error,
  });
}

function textOf(error: unknown): string {
  const parts: string[] = [];
  for (let at = error; at instanceof Error && parts.length < 5; at = at.cause) parts.push(at.message);
  return parts.join(': ');
}

function surprise(action: Action, why: string): SandwardenError {
  return new SandwardenError('ERR_PRECONDITION', `${action.object} is not as it was planned: ${why}`, {
    hint: 'nothing was done to it; run `sandwarden check` for a new look',
  });
}

function guardOf(action: Action): RemoveGuard {
  if (action.guard.kind !== 'remove-sandbox') throw new Error(`remove-sandbox with a guard of ${action.guard.kind}`);
  return action.guard;
}
