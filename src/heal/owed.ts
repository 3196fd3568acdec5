import type { Entry, IntentEntry } from './entries.ts';

/** A restart that belongs to what was done and was not come to: a crash or Ctrl-C was before it. */
export interface OwedRestart {
  readonly unit: string;
  /** The finding that the run was about. */
  readonly code: string;
  /** A kubelet that was started before this has not been restarted since, nanoseconds since boot. */
  readonly sinceUptimeNs: bigint;
}

/**
 * The restart of kubelet that is owed after the runtime was restarted with files of ours, in this boot. The restart of
 * the runtime itself is never owed: what is in force says whether it is needed. Pure.
 */
export function owedRestart(entries: readonly Entry[], bootId: string | undefined): OwedRestart | undefined {
  const done = new Set(entries.flatMap((each) => (each.kind === 'outcome' && each.result === 'done' ? [each.of] : [])));
  const acts = entries
    .filter((each) => each.kind === 'intent')
    .filter((each) => done.has(each.seq) && each.at.bootId.replaceAll('-', '') === bootId?.replaceAll('-', ''));
  const written = acts.findLast(({ action: { guard } }) => 'files' in guard && guard.restarts.length > 1);
  if (written === undefined || !('files' in written.action.guard)) return undefined;
  const [runtime, kubelet] = written.action.guard.restarts;
  const later = (kind: string, unit: string | undefined, than: IntentEntry) =>
    acts.find((each) => each.seq > than.seq && each.action.kind === kind && each.action.target === unit);
  const restarted = later('restart-runtime', runtime, written);
  if (restarted === undefined || kubelet === undefined) return undefined;
  if (later('restart-kubelet', kubelet, restarted) !== undefined) return undefined;
  return { unit: kubelet, code: written.action.code, sinceUptimeNs: restarted.at.uptimeNs };
}
