import { valueOr } from '../model/observed.ts';
import type { NameHeld } from '../model/records.ts';
import type { Views } from './views.ts';

type HeldSandbox = Extract<NameHeld, { kind: 'sandbox' }>;

/**
 * Errors whose holder no list shows, and that nothing else explains. On a kubelet that goes by date such ids come and
 * go by themselves (each new sandbox is killed and collected), so a pod that the order blocks is left to SW102.
 */
export function inFlightErrors(views: Views): HeldSandbox[] {
  if (!views.snapshot.sandboxes.known) return [];
  const running = valueOr(views.snapshot.runtimeLog, undefined)?.running;
  return [...views.pods.values()]
    .filter((view) => [...view.fates.values()].every((fate) => fate.kind === 'settles'))
    .flatMap((view) => view.errors)
    .filter((error): error is HeldSandbox => error.kind === 'sandbox' && !views.sandboxById.has(error.holderId))
    .filter((error) => error.count >= 2 || running?.some((each) => each.pod.uid === error.asked.uid) === true);
}
