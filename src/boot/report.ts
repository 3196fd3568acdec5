import { diagnose } from '../diagnose/diagnose.ts';
import { describeDate, describeDuration } from '../diagnose/time.ts';
import type { Entry } from '../heal/entries.ts';
import { limits } from '../model/limits.ts';
import type { Boot } from '../model/node.ts';
import { valueOr } from '../model/observed.ts';
import { describePod, describeSandbox } from '../model/sandbox.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { describeClock } from './clock-floor.ts';
import type { BootRecord } from './record.ts';

/** What the report is made of. */
export interface ReportParts {
  readonly snapshot: Snapshot;
  readonly record: BootRecord;
  /** early.sh's flags of this boot; `booted`: it ran at all. */
  readonly flags: { readonly booted: boolean; readonly unclean: boolean; readonly clockBehind: boolean };
  /** Our journal. */
  readonly entries: readonly Entry[];
}

/** How a boot went. Durations are nanoseconds since the kernel's start; absent: not known, or not yet. */
export interface BootReport {
  readonly format: 'sandwarden.boot-report/1';
  /** The first thing a person reads. */
  readonly verdict: string;
  readonly bootId: string;
  readonly lastBoot: Pick<Boot, 'bootId' | 'lastNs' | 'end'> | null;
  readonly wrong: readonly string[];
  readonly done: readonly string[];
  readonly left: readonly { readonly object: string; readonly why: string }[];
  readonly took: {
    /** When the runtime first answered boot healing. */
    readonly runtimeReadyNs?: bigint;
    /** The start of its process, where nobody waited for its first answer. */
    readonly runtimeStartedNs?: bigint;
    readonly kubeletStartedNs?: bigint;
    /**
     * When the runtime had made the newest of the sandboxes that are READY and its containers that run: no probe is
     * asked, so the pod may have become ready later.
     */
    readonly lastPodNs?: bigint;
    /** The pod whose sandbox that is. */
    readonly lastPod?: string;
    /** Pods whose sandbox is READY, of those that the runtime lists. */
    readonly ready: number;
    readonly pods: number;
  };
}

/** The report of this boot. Pure. */
export function bootReport({ snapshot, record, flags, entries }: ReportParts): BootReport {
  const node = valueOr(snapshot.node, undefined);
  const bootId = node?.bootId ?? '';
  const last = valueOr(snapshot.boots, []).findLast((each) => each.end !== 'running') ?? null;
  const removed = removedIn(entries, bootId);
  const clocks = [record.clock, ...record.heal.map((each) => each.clock)].filter((each) => each !== undefined);
  const wrong = [
    ...(flags.unclean || last?.end === 'unclean' ? ['the last boot ended without a shutdown'] : []),
    ...(clocks[0]?.toNs === undefined
      ? []
      : [`the clock was at least ${describeDuration(clocks[0].toNs - clocks[0].wallNs)} behind`]),
    ...(removed.length === 0 ? [] : [`dead sandboxes blocked their pods: ${removed.join(', ')}`]),
    // Without a runtime nothing else could be looked at.
    ...diagnose(snapshot).findings.flatMap(({ code, why }) => (code === 'SW105' ? [`${code}: ${why}`] : [])),
  ];
  return {
    format: 'sandwarden.boot-report/1',
    verdict: verdictOf(flags, last, removed, record),
    bootId,
    lastBoot: last === null ? null : { bootId: last.bootId, lastNs: last.lastNs, end: last.end },
    wrong,
    done: [
      ...clocks.map(describeClock),
      ...removed.map((each) => `removed sandbox ${each}`),
      ...record.heal.map(({ step, startedUptimeNs, endedUptimeNs, why }) => {
        const when = step === 'before-kubelet' ? 'before kubelet' : "after kubelet's start";
        return `healing ${when} took ${describeDuration(endedUptimeNs - startedUptimeNs)}: ${why}`;
      }),
    ],
    left: record.heal.at(-1)?.left ?? [],
    took: timesOf(snapshot, record),
  };
}

/** The end of the last boot in plain words. */
export function describeLastBoot(last: BootReport['lastBoot']): string {
  if (last === null) return 'the journal tells of no boot before this one';
  const words = {
    clean: 'was shut down',
    unclean: 'ended without a shutdown: power cut, reset or freeze',
    running: 'runs',
    unknown: 'ended in a way that the journal does not tell',
  } as const;
  return `the last boot ${words[last.end]} (last entry ${describeDate(last.lastNs)})`;
}

function verdictOf(
  flags: ReportParts['flags'],
  last: Boot | null,
  removed: readonly string[],
  record: BootRecord,
): string {
  const ran = record.clock !== undefined || record.heal.length > 0;
  if (!flags.booted) return 'the boot hook did not run at this boot; `sandwarden status` says whether it is installed';
  if (!ran) {
    if (flags.unclean || flags.clockBehind) return 'something was wrong, and the boot hook has not run yet';
    return last?.end === 'unclean'
      ? 'nothing ran: the boot hook was installed after the last boot'
      : 'nothing ran: the last boot ended cleanly';
  }
  const moved = [record.clock, ...record.heal.map((each) => each.clock)].some((each) => each?.result === 'moved');
  const did = [
    ...(moved ? ['the clock was moved forward'] : []),
    ...(removed.length === 0
      ? []
      : [`${removed.length} dead ${removed.length === 1 ? 'sandbox' : 'sandboxes'} removed`]),
  ];
  const step = record.heal.at(-1);
  if (step?.reportOnly) return `only reported: ${step.why}`;
  if (step !== undefined && !step.settled) {
    return `${did.length === 0 ? 'nothing was changed' : did.join(', ')}; not all is settled: ${step.why}`;
  }
  return did.length === 0 ? 'the boot was looked at, and nothing had to be changed' : did.join(', ');
}

/** What was removed in this boot, by our journal: an outcome counts, an intent alone does not. */
function removedIn(entries: readonly Entry[], bootId: string): string[] {
  const ofBoot = entries.filter((each) => plain(each.at.bootId) === bootId);
  const done = new Set(ofBoot.flatMap((each) => (each.kind === 'outcome' && each.result === 'done' ? [each.of] : [])));
  return ofBoot.flatMap((each) =>
    each.kind === 'intent' && each.action.kind === 'remove-sandbox' && done.has(each.seq) ? [each.action.object] : [],
  );
}

/** The journal of systemd writes boot ids without dashes, the kernel with them. */
function plain(bootId: string): string {
  return bootId.replaceAll('-', '');
}

function timesOf(snapshot: Snapshot, record: BootRecord): BootReport['took'] {
  const node = valueOr(snapshot.node, undefined);
  const kubelet = valueOr(snapshot.kubelet, undefined);
  const sandboxes = valueOr(snapshot.sandboxes, []);
  const ready = sandboxes.filter((each) => each.state === 'ready');
  const bootedNs = node === undefined ? undefined : node.wallNs - node.uptimeNs;
  const windowNs = BigInt(limits.bootWindowMs) * 1_000_000n;
  // What was made long after the boot is no part of it.
  const came = ready
    .filter(({ createdAtNs }) => bootedNs !== undefined && createdAtNs > bootedNs && createdAtNs < bootedNs + windowNs)
    .toSorted((a, b) => Number(a.createdAtNs - b.createdAtNs));
  const last = came.at(-1);
  const containers = valueOr(snapshot.containers, []).filter(
    (each) => each.sandboxId === last?.id && each.state === 'running',
  );
  const made = [...containers, ...(last === undefined ? [] : [last])].map((each) => each.createdAtNs);
  const lastNs = made.toSorted((a, b) => Number(a - b)).at(-1) ?? 0n;
  // Where kubelet has not run yet the temporary runtime of k3s is not the one that pods wait for.
  const healed = record.heal.find((each) => each.runtimeReadyUptimeNs !== undefined)?.runtimeReadyUptimeNs;
  const started = valueOr(snapshot.processes, undefined)?.runtimeStartedUptimeNs;
  return {
    ...(healed !== undefined ? { runtimeReadyNs: healed } : started === undefined ? {} : { runtimeStartedNs: started }),
    ...(kubelet?.startedUptimeNs === undefined ? {} : { kubeletStartedNs: kubelet.startedUptimeNs }),
    ...(last === undefined || bootedNs === undefined
      ? {}
      : { lastPodNs: lastNs - bootedNs, lastPod: `${describePod(last)} (${describeSandbox(last)})` }),
    ready: new Set(ready.map((each) => each.uid)).size,
    pods: new Set(sandboxes.map((each) => each.uid)).size,
  };
}
