import { backedOff, type DriverView, isDriverContainer } from '../../diagnose/csi-facts.ts';
import { whyKept } from '../../diagnose/rules/sw303.ts';
import type { CsiDriver } from '../../model/csi.ts';
import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Pod } from '../../model/node.ts';
import type { Action, DeletePodGuard } from '../../model/plan.ts';
import { within } from '../deadline.ts';
import type { PodObject } from '../storage-world.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';
import { storageOf } from './storage.ts';

/**
 * The deletion of a CSI pod that waits in back-off, so that a new one is tried at once. It waits for the driver's
 * socket first: until it answers, a new pod would crash like the old one.
 */
export const deletePod: Performer = { kind: 'delete-pod', inFlight: 1, check, perform, confirm };

/** What speaks against a deletion by what is read now. `already`: nothing is left to be done. Pure. */
export function judgePod(
  guard: DeletePodGuard,
  now: {
    pod: Pod | undefined;
    driver: CsiDriver | undefined;
    wallNs: bigint;
    /** The containers whose last words tell of something else than a socket. */
    others?: readonly string[];
  },
): { readonly go: string } | { readonly already: string } | { readonly leave: string } {
  const { pod, driver } = now;
  if (pod === undefined) return { already: 'the pod is gone already' };
  if (pod.uid !== guard.uid) return { already: 'a new pod has taken its place' };
  if (pod.deleting) return { already: 'it is being deleted already' };
  if (driver?.state !== 'ready')
    return { leave: `the socket ${guard.socket} does not answer (${driver?.state ?? 'missing'})` };
  const view = viewOf(guard, pod, driver);
  const waiting = backedOff([view], { wallNs: now.wallNs });
  const kept = whyKept({ pod, driver: view }, waiting);
  if (kept !== undefined) return { leave: kept };
  if (waiting.length === 0) return { already: 'none of its containers waits in back-off any more' };
  const other = waiting.find((each) => each.cause !== 'gone');
  if (other !== undefined) return { leave: `${other.container.name}: ${other.why}` };
  const strange = waiting.find((each) => now.others?.includes(each.container.name));
  if (strange !== undefined) {
    return { leave: `${strange.container.name}: its last words tell of something else than the socket` };
  }
  const healthy = (pod.containers ?? []).find((each) => each.state === 'running' && isDriverContainer(each, pod));
  if (healthy !== undefined) return { leave: `its driver ${healthy.name} runs` };
  return { go: waiting.map((each) => `${each.container.name} in CrashLoopBackOff, ${each.why}`).join('; ') };
}

async function check(action: Action, context: ActContext): Promise<Check> {
  const guard = guardOf(action);
  const node = await within(deadlineOf(guard, context), () => storageOf(context.world).readNodeObject());
  if (node === undefined || node.deleting)
    return { leave: 'this node is being deleted: its pods are not made anew here' };
  const driver = await awaitSocket(guard, context);
  const { pod } = await read(guard, context);
  const others = pod === undefined ? [] : await strangers(pod, guard, context);
  const judged = judgePod(guard, { pod, driver, others, wallNs: context.world.clock.wallNs() });
  return 'go' in judged ? { go: true, read: judged.go } : judged;
}

/** With the uid and the version that were judged: whoever changes the pod meanwhile makes the API refuse. */
async function perform(action: Action, context: ActContext): Promise<Done> {
  const guard = guardOf(action);
  const storage = storageOf(context.world);
  for (let tries = 1; ; tries++) {
    const driver = await within(deadlineOf(guard, context), () => storage.readDriver(guard.socket));
    const { pod, resourceVersion } = await read(guard, context);
    const others = pod === undefined ? [] : await strangers(pod, guard, context);
    const judged = judgePod(guard, { pod, driver, others, wallNs: context.world.clock.wallNs() });
    if ('already' in judged) return { result: 'already', why: judged.already };
    if ('leave' in judged) throw changed(action, judged.leave);
    try {
      await within(deadlineOf(guard, context), () =>
        storage.deletePod(guard.namespace, guard.name, { uid: guard.uid, resourceVersion }),
      );
      return { result: 'done', why: '' };
    } catch (error) {
      if (isSandwardenError(error, 'ERR_KUBE_NOT_FOUND')) return { result: 'already', why: 'the pod was gone already' };
      // kubelet writes the status of such a pod every few minutes, and now it did: what it wrote is judged again.
      if (!isSandwardenError(error, 'ERR_KUBE_CONFLICT') || tries >= limits.attemptsPerObject) throw error;
    }
  }
}

async function confirm(action: Action, context: ActContext): Promise<Done> {
  const guard = guardOf(action);
  const { pod } = await read(guard, context);
  if (pod === undefined || pod.uid !== guard.uid || pod.deleting) return { result: 'done', why: '' };
  throw changed(action, 'the API took its deletion, and it is still there');
}

/** When the waiting for a socket began, by run: all pods of a driver wait for it together, once. */
const waits = new WeakMap<AbortSignal, Map<string, bigint>>();

/** The driver once it answers, or as it is when the time is over. */
async function awaitSocket(guard: DeletePodGuard, context: ActContext): Promise<CsiDriver | undefined> {
  const { clock } = context.world;
  const ofRun = waits.get(context.signal) ?? new Map<string, bigint>();
  waits.set(context.signal, ofRun);
  const sinceNs = ofRun.get(guard.socket) ?? clock.uptimeNs();
  ofRun.set(guard.socket, sinceNs);
  for (;;) {
    const driver = await within(deadlineOf(guard, context), () => storageOf(context.world).readDriver(guard.socket));
    const over = clock.uptimeNs() - sinceNs >= BigInt(limits.csiWaitMs) * 1_000_000n;
    if (driver?.state === 'ready' || over || context.signal.aborted) return driver;
    await clock.sleep(limits.csiPollMs, context.signal);
  }
}

async function read(guard: DeletePodGuard, context: ActContext) {
  const storage = storageOf(context.world);
  const found: PodObject | undefined = await within(deadlineOf(guard, context), () =>
    storage.readPodObject(guard.namespace, guard.name),
  );
  return { pod: found?.pod, resourceVersion: found?.resourceVersion ?? '' };
}

/** The containers that wait in back-off and whose last words, where there are some, tell of no socket. */
async function strangers(pod: Pod, guard: DeletePodGuard, context: ActContext): Promise<string[]> {
  const storage = storageOf(context.world);
  const waiting = (pod.containers ?? []).filter((each) => each.reason === 'CrashLoopBackOff');
  const found: string[] = [];
  for (const { name } of waiting) {
    const tells = await within(deadlineOf(guard, context), () => storage.tellsOfSocket(pod, name));
    if (tells === false) found.push(name);
  }
  return found;
}

function viewOf(guard: DeletePodGuard, pod: Pod, driver: CsiDriver): DriverView {
  return {
    name: guard.driver,
    folder: guard.folder,
    socket: guard.socket,
    state: driver.state,
    says: driver.says,
    driver,
    registration: undefined,
    registered: undefined,
    plugins: [],
    sidecars: [pod],
    attachments: [],
  };
}

function deadlineOf({ namespace, name }: DeletePodGuard, { world, signal }: ActContext) {
  const ms = limits.csiProbeTimeoutMs + limits.kubeWriteTimeoutMs;
  return { clock: world.clock, ms, doing: `asking about pod ${namespace}/${name}`, signal };
}

function changed(action: Action, why: string): SandwardenError {
  return new SandwardenError('ERR_PRECONDITION', `${action.object} is not as it was planned: ${why}`, {
    hint: 'run `sandwarden check` for a new look',
  });
}

function guardOf(action: Action): DeletePodGuard {
  if (action.guard.kind !== 'delete-pod') throw new Error(`delete-pod with a guard of ${action.guard.kind}`);
  return action.guard;
}
