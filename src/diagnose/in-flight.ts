import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { RuntimeLog } from '../model/records.ts';
import { agoNs } from './time.ts';
import type { PodView, Views } from './views.ts';

/** Why a sandbox must not be removed now, whatever the tier. */
export interface Obstacle {
  readonly why: string;
  /** It is over by itself within seconds, as a rule: worth another look. */
  readonly passes?: true;
}

/**
 * docs/safety.md, rule 6: whether a RunPodSandbox of this pod may be inside the runtime right now, and why one thinks
 * so; undefined where it is excluded. kubelet waits 4 minutes for one (cri-client remote_runtime.go: 2 × 2 min) and
 * asks for no second one before the first has come back.
 */
export function maybeInFlight(view: PodView, facts: Views): Obstacle | undefined {
  const kubelet = valueOr(facts.snapshot.kubelet, undefined);
  if (kubelet?.running === false) return undefined;
  const log = valueOr(facts.snapshot.runtimeLog, undefined);
  const open = log?.running.find((each) => each.pod.uid === view.uid);
  if (open !== undefined && facts.node !== undefined) {
    const ago = agoNs(open.at, facts.node);
    if (ago === null || ago < BigInt(limits.runPodSandboxTimeoutMs) * 1_000_000n) {
      const isYoung = ago !== null && ago < BigInt(limits.youngRequestMs) * 1_000_000n;
      const why = 'the runtime is creating a sandbox for this pod right now';
      return isYoung ? { why, passes: true } : { why };
    }
  }
  if (view.errors.length > 0) return undefined;
  const newest = view.sandboxes.at(-1);
  if (newest?.ready) return undefined;
  if (log !== undefined && covers(log, facts)) return undefined;
  const why = "neither kubelet's nor the runtime's log shows whether a sandbox is being created for this pod right now";
  return { why };
}

/** Whether the runtime's log reaches back far enough to show a request that kubelet still waits for. */
function covers(log: RuntimeLog, facts: Views): boolean {
  if (log.startedAt !== undefined) return true;
  if (log.since === null || facts.node === undefined) return false;
  const ago = agoNs(log.since, facts.node);
  return ago === null || ago > BigInt(limits.runPodSandboxTimeoutMs) * 1_000_000n;
}
