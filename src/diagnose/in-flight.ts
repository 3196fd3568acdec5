import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { RuntimeLog } from '../model/records.ts';
import { agoNs } from './time.ts';
import type { PodView, Views } from './views.ts';

/**
 * docs/safety.md, rule 6: whether a RunPodSandbox of this pod may be inside the runtime right now, and why one thinks
 * so; undefined where it is excluded. kubelet waits 4 minutes for one (cri-client remote_runtime.go: 2 × 2 min) and
 * asks for no second one before the first has come back.
 */
export function maybeInFlight(view: PodView, facts: Views): string | undefined {
  const kubelet = valueOr(facts.snapshot.kubelet, undefined);
  if (kubelet?.running === false) return undefined;
  const log = valueOr(facts.snapshot.runtimeLog, undefined);
  const open = log?.running.find((each) => each.pod.uid === view.uid);
  if (open !== undefined && facts.node !== undefined) {
    const ago = agoNs(open.at, facts.node);
    if (ago === null || ago < BigInt(limits.runPodSandboxTimeoutMs) * 1_000_000n) {
      return 'the runtime is creating a sandbox for this pod right now';
    }
  }
  if (view.errors.length > 0) return undefined;
  const newest = view.sandboxes.at(-1);
  if (newest?.ready) return undefined;
  if (log !== undefined && covers(log, facts)) return undefined;
  return "neither kubelet's nor the runtime's log shows whether a sandbox is being created for this pod right now";
}

/** Whether the runtime's log reaches back far enough to show a request that kubelet still waits for. */
function covers(log: RuntimeLog, facts: Views): boolean {
  if (log.startedAt !== undefined) return true;
  if (log.since === null || facts.node === undefined) return false;
  const ago = agoNs(log.since, facts.node);
  return ago === null || ago > BigInt(limits.runPodSandboxTimeoutMs) * 1_000_000n;
}
