import type { Fate, SandboxOrder } from '../model/kubelet-choice.ts';
import { foresee, newestFirst, orderOfVersion } from '../model/kubelet-choice.ts';
import { limits } from '../model/limits.ts';
import type { NodeFacts, Pod } from '../model/node.ts';
import { valueOr } from '../model/observed.ts';
import type { NameHeld } from '../model/records.ts';
import type { Container, Sandbox } from '../model/sandbox.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { refusalsOf } from './refusals.ts';
import { isCurrent } from './time.ts';
import type { Wanted } from './wanted.ts';
import { wantedOf } from './wanted.ts';

/** A sandbox with what kubelet's rule needs of it. */
export interface ListedSandbox extends Sandbox {
  readonly ready: boolean;
  readonly holdsName: boolean;
}

/** One pod as the runtime, kubelet's log and (where there is one) the API know it, under the uid kubelet uses. */
export interface PodView {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** By attempt, then id: the order of the input never matters. */
  readonly sandboxes: readonly ListedSandbox[];
  readonly containers: readonly Container[];
  /** The pod by the API, where it was asked and knows it. */
  readonly pod: Pod | undefined;
  /** Errors that name a held name and that nothing has overtaken. */
  readonly errors: readonly NameHeld[];
  readonly wanted: Wanted;
  /** What becomes of it under each order kubelet may have; empty where nothing is listed or no clock was read. */
  readonly fates: ReadonlyMap<SandboxOrder, Fate<ListedSandbox>>;
}

/** A snapshot with the indexes and the replayed kubelet decisions that more than one rule needs. */
export interface Views {
  readonly snapshot: Snapshot;
  readonly node: NodeFacts | undefined;
  /** How this node's kubelet sorts; both where its version is not known. */
  readonly orders: readonly SandboxOrder[];
  readonly pods: ReadonlyMap<string, PodView>;
  readonly sandboxById: ReadonlyMap<string, ListedSandbox>;
}

/** Builds the views. Pure; the same for any order of the snapshot's lists. */
export function buildViews(snapshot: Snapshot): Views {
  const node = valueOr(snapshot.node, undefined);
  const order = orderOfVersion(kubeletVersion(snapshot));
  const orders: readonly SandboxOrder[] = order === undefined ? ['by-date', 'by-attempt'] : [order];
  const sandboxes = valueOr(snapshot.sandboxes, []).map((each) => ({
    ...each,
    ready: each.state === 'ready',
    holdsName: holdsName(each, snapshot),
  }));
  const containers = Map.groupBy(valueOr(snapshot.containers, []), (each) => each.podUid);
  const podsByUid = new Map(valueOr(snapshot.pods, []).map((each) => [each.uid, each]));
  const errors = Map.groupBy(refusalsOf(snapshot), (each) => each.asked.uid);
  const byUid = Map.groupBy(sandboxes, (each) => each.uid);

  const pods = new Map<string, PodView>();
  for (const uid of [...new Set([...byUid.keys(), ...errors.keys()])].sort()) {
    const own = [...(byUid.get(uid) ?? [])].sort((a, b) => a.attempt - b.attempt || (a.id < b.id ? -1 : 1));
    const named = own[0] ?? errors.get(uid)?.[0]?.asked;
    if (named === undefined) continue;
    const standing = standingErrors(errors.get(uid) ?? [], own, containers.get(uid) ?? [], node);
    const pod = podsByUid.get(uid);
    pods.set(uid, {
      uid,
      name: named.name,
      namespace: named.namespace,
      sandboxes: own,
      containers: [...(containers.get(uid) ?? [])].sort((a, b) => (a.id < b.id ? -1 : 1)),
      pod,
      errors: standing,
      wanted: wantedOf(pod, own, standing),
      fates: foreseen(own, orders, node),
    });
  }
  return { snapshot, node, orders, pods, sandboxById: new Map(sandboxes.map((each) => [each.id, each])) };
}

/** By its process or binary, or else as its log of this boot says it: the process may not be visible from here. */
export function kubeletVersion(snapshot: Snapshot): string | undefined {
  return valueOr(snapshot.kubelet, undefined)?.version ?? valueOr(snapshot.kubeletLog, undefined)?.version;
}

/**
 * The sandboxes of a pod that kubelet's rule by date takes for newer than they are: dated after now, or before a higher
 * attempt.
 */
export function outOfOrder(view: PodView, node: NodeFacts | undefined): ListedSandbox[] {
  const sorted = newestFirst(view.sandboxes, 'by-date');
  return sorted.filter((each, index) => {
    if (each.ready) return false;
    if (node !== undefined && each.createdAtNs > node.wallNs + futureSlackNs) return true;
    return sorted.slice(index + 1).some((older) => older.attempt > each.attempt && older.createdAtNs > 0n);
  });
}

/**
 * containerd from 2.0 on brings a sandbox whose creation a crash cut short back without a date and without reserving
 * its name (internal/cri/server/restart.go, second pass; seen on 2.1.9). Every other listed sandbox holds its name.
 */
function holdsName(sandbox: Sandbox, snapshot: Snapshot): boolean {
  const runtime = valueOr(snapshot.runtime, undefined);
  return sandbox.createdAtNs > 0n || runtime?.name !== 'containerd' || !/^v?[2-9]\./.test(runtime.version);
}

const futureSlackNs = BigInt(limits.futureSlackMs) * 1_000_000n;

function foreseen(own: readonly ListedSandbox[], orders: readonly SandboxOrder[], node: NodeFacts | undefined) {
  if (own.length === 0 || node === undefined) return new Map<SandboxOrder, Fate<ListedSandbox>>();
  return new Map(orders.map((order) => [order, foresee(own, order, node.wallNs)] as const));
}

/**
 * The errors that still stand: recent, and not overtaken by a sandbox (or container) that kubelet made since.
 * An error outlives its cause in the log; a newer attempt that is READY proves that it is over.
 */
function standingErrors(
  errors: readonly NameHeld[],
  sandboxes: readonly ListedSandbox[],
  containers: readonly Container[],
  node: NodeFacts | undefined,
): NameHeld[] {
  if (node === undefined) return [];
  return errors
    .filter((error) => isCurrent(error.last, node, limits.errorCurrentForMs))
    .filter((error) =>
      error.kind === 'sandbox'
        ? !sandboxes.some((each) => each.ready && (each.attempt > error.asked.attempt || isLater(each, error)))
        : !containers.some(
            (each) =>
              each.state === 'running' &&
              each.name === error.asked.container &&
              (each.attempt > error.asked.attempt || isLater(each, error)),
          ),
    )
    .sort((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : a.holderId < b.holderId ? -1 : 1));
}

function isLater(made: { createdAtNs: bigint }, error: NameHeld): boolean {
  return made.createdAtNs > error.last.wallNs;
}
