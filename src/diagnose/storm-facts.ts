import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { Creation, Span } from '../model/records.ts';
import { describePod } from '../model/sandbox.ts';
import type { Facts } from './facts.ts';
import { once } from './once.ts';
import { podUidOf, usualPerMinute } from './storm-normal.ts';
import { agoNs, isCurrent } from './time.ts';

/** A container that is made again and again. */
export interface CrashLoop {
  /** `namespace/name` of its pod. */
  readonly pod: string;
  readonly podUid: string;
  readonly container: string;
  /** Creations a minute, at the rate that was seen last. */
  readonly perMinute: number;
  /** CRI's attempt of the newest one, where it is known. */
  readonly attempt: number | undefined;
  /** What the rate was read from. */
  readonly from: 'containerEvents' | 'containers' | 'runtimeLog' | 'kubeletLog';
  /** The sandboxes that it was made in, where they are more than one: kubelet kills the pod and makes it anew. */
  readonly sandboxes?: number;
}

/** The crash loops of a node against what it creates besides. */
export interface Churn {
  readonly loops: readonly CrashLoop[];
  /** Of all loops together. */
  readonly perMinute: number;
  /** What is created besides in a usual minute of this boot: the node's own normal. */
  readonly normalPerMinute: number;
  readonly isStorm: boolean;
}

/**
 * What this node creates, by four sources, the best of them for each container: CRI's events (each creation of the
 * last minutes), the runtime's log (each creation of this boot), the attempts and dates of its records in CRI
 * (kubelet keeps the last dead one: the gap between two), and kubelet's back-offs (their length). Normal is what
 * containers that do not loop were made in a usual minute of the same boot: it needs no history, and neither a storm
 * of two days nor the start of everything becomes the normal.
 */
export const churnOf: (facts: Facts) => Churn = once((facts) => {
  const found = new Map<string, CrashLoop>();
  for (const each of [...byBackOff(facts), ...byAttempt(facts), ...byLog(facts), ...byEvents(facts)]) {
    found.set(`${each.podUid} ${each.container}`, each);
  }
  const loops = [...found.values()].sort((a, b) => b.perMinute - a.perMinute || (a.pod < b.pod ? -1 : 1));
  const perMinute = loops.reduce((sum, each) => sum + each.perMinute, 0);
  const normalPerMinute = usualPerMinute(facts, new Set(loops.map((each) => `${each.podUid} ${each.container}`)));
  const threshold = Math.max(limits.stormPerMinute, limits.stormTimesNormal * normalPerMinute);
  return { loops, perMinute, normalPerMinute, isStorm: perMinute >= threshold };
});

/** The pods of loops, without doubles, the busiest first. */
export function loopingPods(loops: readonly CrashLoop[]): string[] {
  return [...new Set(loops.map((each) => each.pod))];
}

/** The creations of one container of a pod count together, whatever sandboxes of this boot it was made in. */
function byLog(facts: Facts): CrashLoop[] {
  const { node } = facts;
  const creations = valueOr(facts.snapshot.runtimeLog, undefined)?.creations ?? [];
  if (node === undefined) return [];
  const mine = creations
    .flatMap((each) => {
      const ago = agoNs(each.last, node);
      return ago === null ? [] : [{ ...each, ago }];
    })
    .sort((a, b) => (a.ago < b.ago ? -1 : 1));
  const byContainer = Map.groupBy(mine, (each) => `${podUidOf(facts, each) ?? each.sandboxId} ${each.container}`);
  return [...byContainer.values()].flatMap((all) => {
    const [newest, ...older] = all;
    if (newest === undefined) return [];
    const count = all.reduce((sum, each) => sum + each.count, 0);
    const first = older.at(-1)?.first ?? newest.first;
    const loops = byCreations(facts, count < limits.loopCreations ? [] : [{ ...newest, count, first }], 'runtimeLog');
    if (all.length === 1) return loops;
    // A pod that is up, with nothing in its way, has been made anew for the last time: heal has just helped it.
    return loops.flatMap((each) => (isUp(facts, each.podUid) ? [] : { ...each, sandboxes: all.length }));
  });
}

/** Two creations in some minutes are a rate; that they are a loop says the attempt, which counts from the first on. */
function byEvents(facts: Facts): CrashLoop[] {
  const events = facts.snapshot.containerEvents;
  const creations = events === undefined ? [] : (valueOr(events, undefined)?.creations ?? []);
  return byCreations(
    facts,
    creations.filter((each) => each.count >= 2 && each.attempt >= limits.loopCreations),
    'containerEvents',
  );
}

function isUp({ pods, cures }: Facts, uid: string): boolean {
  const isReady = pods.get(uid)?.sandboxes.some((each) => each.ready) === true;
  return isReady && !cures.some(({ view }) => view.uid === uid);
}

function byCreations(
  facts: Facts,
  creations: readonly Creation[],
  from: 'containerEvents' | 'runtimeLog',
): CrashLoop[] {
  const { node, pods } = facts;
  return creations.flatMap((each): CrashLoop[] => {
    const view = pods.get(podUidOf(facts, each) ?? '');
    if (!view || !node || !isCurrent(each.last, node, limits.loopCurrentForMs)) return [];
    return [
      {
        pod: describePod(view),
        podUid: view.uid,
        container: each.container,
        perMinute: (each.count - 1) / Math.max(minutesOf(each), 1 / 60),
        attempt: each.attempt,
        from,
      },
    ];
  });
}

function byAttempt({ node, pods }: Facts): CrashLoop[] {
  if (node === undefined) return [];
  return [...pods.values()].flatMap((view): CrashLoop[] => {
    const byName = Map.groupBy(view.containers, (each) => each.name);
    return [...byName].flatMap(([container, records]): CrashLoop[] => {
      const [newest, before] = records.toSorted((a, b) => b.attempt - a.attempt);
      if (!newest || !before || newest.attempt < limits.loopCreations || before.state === 'running') return [];
      const [ageNs, gapNs] = [node.wallNs - newest.createdAtNs, newest.createdAtNs - before.createdAtNs];
      const attempts = newest.attempt - before.attempt;
      // A container that has run for longer than the longest back-off since its last end loops no more.
      if (attempts <= 0 || gapNs <= 0n || ageNs > BigInt(limits.loopCurrentForMs) * 1_000_000n) return [];
      if (gapNs > 2n * BigInt(limits.loopCurrentForMs) * 1_000_000n) return [];
      const perMinute = attempts / (Number(gapNs) / 6e10);
      const pod = describePod(view);
      return [{ pod, podUid: view.uid, container, perMinute, attempt: newest.attempt, from: 'containers' }];
    });
  });
}

function byBackOff({ node, snapshot }: Facts): CrashLoop[] {
  const backOffs = valueOr(snapshot.kubeletLog, undefined)?.backOffs ?? [];
  return backOffs.flatMap((each): CrashLoop[] => {
    if (node === undefined || !isCurrent(each.last, node, limits.errorCurrentForMs) || each.delayMs <= 0) return [];
    const { podUid, container, delayMs } = each;
    return [
      {
        pod: describePod(each.pod),
        podUid,
        container,
        perMinute: 60_000 / delayMs,
        attempt: undefined,
        from: 'kubeletLog',
      },
    ];
  });
}

function minutesOf({ first, last }: Span): number {
  const us = first.monotonicUs !== undefined && last.monotonicUs !== undefined && first.bootId === last.bootId;
  return (
    Number(us ? (last.monotonicUs ?? 0n) - (first.monotonicUs ?? 0n) : (last.wallNs - first.wallNs) / 1_000n) / 6e7
  );
}

/** The names of the CSI sidecars (kubernetes-csi), which charts and operators keep, with or without a prefix. */
export function isSidecar(container: string): boolean {
  return /(?:^|-)(?:attacher|provisioner|resizer|snapshotter|driver-registrar|liveness-?probe|health-monitor-controller)$/.test(
    container,
  );
}

/** Whether a task belongs to the making and ending of containers. */
export function isOfContainers(task: string): boolean {
  return /^(?:runc|crun|youki|containerd-shim|conmon|containerd)\b/.test(task);
}

/** What the logs say of containers that are made again and again. */
export function loopSpans(facts: Facts, loops: readonly Pick<CrashLoop, 'podUid' | 'container'>[]): Span[] {
  const { snapshot } = facts;
  const keys = new Set(loops.map((each) => `${each.podUid} ${each.container}`));
  return [
    ...(valueOr(snapshot.kubeletLog, undefined)?.backOffs ?? []).filter((each) =>
      keys.has(`${each.podUid} ${each.container}`),
    ),
    ...(valueOr(snapshot.runtimeLog, undefined)?.creations ?? []).filter((each) =>
      keys.has(`${podUidOf(facts, each)} ${each.container}`),
    ),
  ];
}

/** Since when containers loop, as far as logs and dates reach. */
export function churnStartNs(facts: Facts): bigint | null {
  const { node } = facts;
  if (node === undefined) return null;
  const ages = loopSpans(facts, churnOf(facts).loops).flatMap((each) => agoNs(each.first, node) ?? []);
  // kubelet counts on over reboots, so the attempts of a container do not say since when it loops in this boot.
  const oldest = ages.toSorted((a, b) => (a < b ? 1 : -1))[0];
  return oldest === undefined ? null : node.uptimeNs - oldest;
}
