import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { NameHeld } from '../model/records.ts';
import { isCurrent } from './time.ts';
import type { Views } from './views.ts';

type HeldSandbox = Extract<NameHeld, { kind: 'sandbox' }>;

/**
 * Errors whose holder no list shows, and that nothing else explains. On a kubelet that goes by date such ids come and
 * go by themselves (each new sandbox is killed and collected), so a pod that the order blocks is left to SW102.
 * A holder that was finished or removed meanwhile (the runtime's log says so) is no request that hangs.
 */
export function inFlightErrors(views: Views): HeldSandbox[] {
  const { node, snapshot } = views;
  if (!snapshot.sandboxes.known || node === undefined) return [];
  return [...views.pods.values()]
    .filter((view) => [...view.fates.values()].every((fate) => fate.kind === 'settles'))
    .flatMap((view) => view.errors)
    .filter((error): error is HeldSandbox => error.kind === 'sandbox' && !views.sandboxById.has(error.holderId))
    .filter((error) => isCurrent(error.last, node, limits.refusalRepeatsWithinMs))
    .filter((error) => isHanging(error, views));
}

function isHanging(error: HeldSandbox, views: Views): boolean {
  const log = valueOr(views.snapshot.runtimeLog, undefined);
  if (log?.settledIds?.includes(error.holderId)) return false;
  if (log?.running.some((each) => each.pod.uid === error.asked.uid)) return true;
  const holders = valueOr(views.snapshot.processes, undefined)?.holders ?? [];
  if (holders.some((each) => each.cniContainerId === error.holderId)) return true;
  return error.count >= 2 && (log === undefined || log.startedAt === undefined);
}
