import { pause } from '../model/clock.ts';
import { isSandwardenError } from '../model/errors.ts';
import { chooseSandbox, type SandboxOrder } from '../model/kubelet-choice.ts';
import { limits } from '../model/limits.ts';
import type { Recovery } from '../model/plan.ts';
import { describePod, type Sandbox } from '../model/sandbox.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { within } from './deadline.ts';
import type { World } from './ports.ts';
import { elapsedMs } from './run.ts';

export interface VerifyRequest {
  readonly world: World;
  /** The pods that should start, as `namespace/name`. */
  readonly pods: readonly string[];
  /** Where the pods' uids are read from. */
  readonly snapshot: Snapshot;
  /** How this node's kubelet sorts; undefined where its version is not known: then both orders must agree. */
  readonly order: SandboxOrder | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  onPoll(recovered: readonly string[], waiting: readonly string[]): void;
}

/**
 * Polls until each pod has a READY sandbox that kubelet keeps, or the time is over. A source that does not answer
 * is a reason to go on waiting, and is what a pod is said to wait for. Never throws but for a bug.
 */
export async function verify(request: VerifyRequest): Promise<Recovery> {
  const { world, pods, signal, timeoutMs } = request;
  const { clock } = world;
  const since = clock.uptimeNs();
  const uids = uidsOf(request.snapshot);
  const waiting = new Map(pods.map((pod) => [pod, 'not looked at yet']));
  for (;;) {
    for (const [pod, why] of await lookAt([...waiting.keys()], uids, request)) {
      if (why === undefined) waiting.delete(pod);
      else waiting.set(pod, why);
    }
    const recovered = pods.filter((pod) => !waiting.has(pod));
    request.onPoll(recovered, [...waiting.keys()]);
    if (waiting.size === 0 || signal.aborted || elapsedMs(clock, since) >= timeoutMs) {
      return recoveryOf(recovered, waiting, elapsedMs(clock, since));
    }
    await pause(clock, limits.verifyPollMs, signal);
  }
}

/** Nothing was looked at: why, for each pod. */
export function notChecked(pods: readonly string[], why: string): Recovery {
  return { state: 'not-checked', tookMs: 0, recovered: [], waiting: pods.map((pod) => ({ pod, why })) };
}

/** What a pod still waits for, or undefined where kubelet keeps a READY sandbox of it. Pure. */
export function waitsFor(sandboxes: readonly Sandbox[], order: SandboxOrder | undefined): string | undefined {
  const candidates = sandboxes.map((each) => ({ ...each, ready: each.state === 'ready' }));
  for (const each of order === undefined ? (['by-date', 'by-attempt'] as const) : [order]) {
    const { branch, head } = chooseSandbox(candidates, each);
    if (branch === 'none') return 'it has no sandbox yet';
    if (branch === 'several-ready') return 'more than one of its sandboxes is READY; kubelet replaces them';
    if (branch === 'newest-not-ready') {
      const ready = candidates.some((other) => other.ready);
      const newest = `its newest sandbox (attempt ${head?.attempt}) is NotReady`;
      return ready ? `${newest}, and kubelet takes it for the one that counts` : newest;
    }
  }
  return undefined;
}

async function lookAt(
  pods: readonly string[],
  uids: ReadonlyMap<string, ReadonlySet<string>>,
  request: VerifyRequest,
): Promise<[pod: string, why: string | undefined][]> {
  const strangers = pods.filter((pod) => !uids.has(pod));
  const listed = strangers.length === 0 ? undefined : await lookAround(request);
  const answers: [string, string | undefined][] = strangers.map((pod) => [
    pod,
    typeof listed === 'string' ? listed : whyOfAll(listed?.get(pod) ?? new Map(), request.order),
  ]);
  const queue = pods.filter((pod) => uids.has(pod)).values();
  const worker = async () => {
    for (const pod of queue) answers.push([pod, await lookAtPod(uids.get(pod) ?? new Set(), request)]);
  };
  await Promise.all(Array.from({ length: limits.criReadsInFlight / 2 }, worker));
  return answers;
}

/** A pod name can stand for two uids while a new pod takes the place of an old one: one that runs is enough. */
async function lookAtPod(uids: ReadonlySet<string>, request: VerifyRequest): Promise<string | undefined> {
  const { world, signal } = request;
  const ms = 2 * limits.criReadTimeoutMs + limits.connectTimeoutMs;
  const byUid = new Map<string, readonly Sandbox[]>();
  try {
    for (const uid of uids) {
      const pod = await within({ clock: world.clock, ms, doing: 'reading a pod', signal }, () => world.readPod(uid));
      byUid.set(uid, pod.sandboxes);
    }
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return `the runtime does not answer: ${error.message}`;
  }
  return whyOfAll(byUid, request.order);
}

async function lookAround({ world, signal }: VerifyRequest) {
  try {
    const deadline = { clock: world.clock, ms: limits.lookTimeoutMs, doing: 'looking at the node', signal };
    const { snapshot } = await within(deadline, () => world.lookAgain());
    if (!snapshot.sandboxes.known) return `the runtime does not answer: ${snapshot.sandboxes.message}`;
    const byPod = new Map<string, Map<string, Sandbox[]>>();
    for (const each of snapshot.sandboxes.value) {
      const pod = byPod.get(describePod(each)) ?? new Map<string, Sandbox[]>();
      pod.set(each.uid, [...(pod.get(each.uid) ?? []), each]);
      byPod.set(describePod(each), pod);
    }
    return byPod;
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return `the runtime does not answer: ${error.message}`;
  }
}

function whyOfAll(byUid: ReadonlyMap<string, readonly Sandbox[]>, order: SandboxOrder | undefined): string | undefined {
  const whys = [...byUid.values()].map((sandboxes) => waitsFor(sandboxes, order));
  return whys.length === 0 ? 'it has no sandbox yet' : whys.includes(undefined) ? undefined : whys.at(-1);
}

function uidsOf(snapshot: Snapshot): Map<string, Set<string>> {
  const uids = new Map<string, Set<string>>();
  const listed = snapshot.sandboxes.known ? snapshot.sandboxes.value : [];
  const known = snapshot.pods.known ? snapshot.pods.value : [];
  for (const each of [...listed, ...known]) {
    const pod = describePod(each);
    uids.set(pod, (uids.get(pod) ?? new Set()).add(each.uid));
  }
  return uids;
}

function recoveryOf(recovered: readonly string[], waiting: ReadonlyMap<string, string>, tookMs: number): Recovery {
  const state = waiting.size === 0 ? 'recovered' : recovered.length === 0 ? 'not-yet' : 'partly';
  return { state, tookMs, recovered, waiting: [...waiting].map(([pod, why]) => ({ pod, why })) };
}
