/**
 * Which sandbox kubelet takes for the newest, which attempt it asks for next, and whether that can work.
 * A replay of kubelet's own rule over what is listed; nothing here is a guess of ours.
 *
 * Sources: pkg/kubelet/kuberuntime/util/util.go PodSandboxChanged (the same from 1.20 to 1.36);
 * pkg/kubelet/kuberuntime/helpers.go podSandboxByCreated (≤ 1.34: creation date only),
 * 1.35: the highest attempt (kubernetes PR 130551), 1.36: attempt, then date, then id.
 */

/** How a kubelet sorts the sandboxes of a pod: by creation date (≤ 1.34) or by attempt (≥ 1.35). */
export type SandboxOrder = 'by-date' | 'by-attempt';

/** What the rule needs of a sandbox. */
export interface Candidate {
  readonly id: string;
  readonly attempt: number;
  readonly ready: boolean;
  readonly createdAtNs: bigint;
  /** Whether the runtime refuses its name to others. Default: it does. */
  readonly holdsName?: boolean;
}

/** The order of a kubelet version (`v1.34.9`), or undefined where the text is no version. */
export function orderOfVersion(version: string | undefined): SandboxOrder | undefined {
  const match = /^v?(\d{1,4})\.(\d{1,4})(?:\D|$)/.exec(version ?? '');
  if (!match) return undefined;
  const [major, minor] = [Number(match[1]), Number(match[2])];
  return major > 1 || (major === 1 && minor >= 35) ? 'by-attempt' : 'by-date';
}

/**
 * The sandboxes of one pod as kubelet sorts them, newest first. Ties end by id, so that the answer never hangs on the
 * input's order.
 */
export function newestFirst<T extends Candidate>(sandboxes: readonly T[], order: SandboxOrder): T[] {
  const byDate = (a: T, b: T) => compare(b.createdAtNs, a.createdAtNs);
  const byAttempt = (a: T, b: T) => compare(b.attempt, a.attempt);
  const first = order === 'by-date' ? byDate : byAttempt;
  const second = order === 'by-date' ? byAttempt : byDate;
  return [...sandboxes].sort((a, b) => first(a, b) || second(a, b) || compare(a.id, b.id));
}

/**
 * Which branch of PodSandboxChanged fires: `keep` is none of them. Network branches need more than a listing and are
 * not decided here.
 */
export type Branch = 'none' | 'several-ready' | 'newest-not-ready' | 'keep';

export interface Choice<T extends Candidate> {
  readonly branch: Branch;
  /** The attempt kubelet asks for (or keeps, for `keep`). */
  readonly attempt: number;
  /** The sandbox kubelet takes for the newest. */
  readonly head: T | undefined;
}

/** kubelet's choice for one pod over its sandboxes. */
export function chooseSandbox<T extends Candidate>(sandboxes: readonly T[], order: SandboxOrder): Choice<T> {
  const sorted = newestFirst(sandboxes, order);
  const head = sorted[0];
  if (!head) return { branch: 'none', attempt: 0, head: undefined };
  if (sorted.filter((each) => each.ready).length > 1) {
    return { branch: 'several-ready', attempt: head.attempt + 1, head };
  }
  if (!head.ready) return { branch: 'newest-not-ready', attempt: head.attempt + 1, head };
  return { branch: 'keep', attempt: head.attempt, head };
}

/** What becomes of a pod if nobody helps. */
export type Fate<T extends Candidate> =
  /** It runs, or will after one new sandbox. */
  | { readonly kind: 'settles' }
  /** The name kubelet asks for is held by a listed sandbox: the request is refused for as long as that is so. */
  | { readonly kind: 'name-held'; readonly attempt: number; readonly holder: T; readonly head: T | undefined }
  /** The new sandbox is created, but sorts behind `head`: kubelet takes `head` for the newest and kills the new one. */
  | { readonly kind: 'outsorted'; readonly attempt: number; readonly head: T };

/**
 * Replays kubelet's next two syncs for a pod that wants a sandbox.
 * `nowNs` is the wall clock with which a new sandbox would be dated.
 */
export function foresee<T extends Candidate>(sandboxes: readonly T[], order: SandboxOrder, nowNs: bigint): Fate<T> {
  const choice = chooseSandbox(sandboxes, order);
  if (choice.branch === 'keep') return { kind: 'settles' };
  const holder = sandboxes.find((each) => each.attempt === choice.attempt && each.holdsName !== false);
  if (holder) return { kind: 'name-held', attempt: choice.attempt, holder, head: choice.head };
  // kubelet stops every sandbox of the pod before it creates the new one (SyncPod: killPodWithSyncResult).
  const created: Candidate = { id: '\uffff', attempt: choice.attempt, ready: true, createdAtNs: nowNs };
  const after = sandboxes.map((each) => ({ ...each, ready: false as boolean, of: each as T | undefined }));
  const next = chooseSandbox([...after, { ...created, of: undefined }], order);
  const head = next.head?.of;
  return next.branch === 'keep' || head === undefined
    ? { kind: 'settles' }
    : { kind: 'outsorted', attempt: choice.attempt, head };
}

function compare<T extends bigint | number | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
