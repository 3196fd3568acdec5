import type { Pod } from '../model/node.ts';
import { valueOr } from '../model/observed.ts';
import { type DriverView, waitingForVolumes } from './csi-facts.ts';
import type { Views } from './views.ts';

interface WithDrivers extends Views {
  readonly drivers: readonly DriverView[];
}

/** A driver of which something is wrong: its socket does not answer, or kubelet has not registered it. */
export function isBroken(driver: DriverView): boolean {
  return driver.unregistered !== undefined || (driver.state !== 'ready' && driver.state !== 'forbidden');
}

/** The pods that wait for volumes and that no dead sandbox or refused request holds up. */
export function podsWaiting(facts: WithDrivers): Pod[] {
  return waitingForVolumes(facts.snapshot, (pod) => {
    const view = facts.pods.get(pod.uid);
    if (view === undefined) return false;
    // One that ran before the reboot and is held up by its own dead sandbox has not come to its volumes yet.
    const ran = (pod.containers ?? []).some((each) => each.state === 'terminated');
    const isHeldUp = ran && [...view.fates.values()].some((fate) => fate.kind !== 'settles');
    return isHeldUp || view.errors.length > 0 || view.sandboxes.some((each) => each.ready);
  });
}

/** The drivers that a pod names itself, and those that kubelet's log names for it. */
export function namedDrivers(pod: Pod, { snapshot }: WithDrivers): string[] {
  const failed = valueOr(snapshot.kubeletLog, undefined)?.volumeFailed ?? [];
  const logged = failed.flatMap(({ podUid, driver }) => (podUid === pod.uid ? [driver] : []));
  return [...(pod.inlineDrivers ?? []), ...logged];
}

/**
 * The pods that wait for volumes of this driver. A claim does not say whose it is: kubelet's log does, once it has
 * failed; and it counts for a driver that is the only one of this node.
 */
export function podsWaitingFor(driver: DriverView, facts: WithDrivers): Pod[] {
  const only = facts.drivers.length === 1;
  return podsWaiting(facts).filter((pod) => {
    return namedDrivers(pod, facts).includes(driver.name) || (only && (pod.claims ?? []).length > 0);
  });
}
