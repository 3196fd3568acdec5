import type { Evidence, Finding } from '../../model/finding.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import { type BackedOff, backedOff, isDriverContainer } from '../csi-facts.ts';
import { podsWaitingFor } from '../csi-waiting.ts';
import type { Facts } from '../facts.ts';
import { ofDrivers } from '../needs.ts';
import type { Rule } from '../rule.ts';
import { describeDate, describeDuration } from '../time.ts';

/** SW303: the cause is gone, and kubelet waits up to five minutes before it tries again. */
export const sw303: Rule = {
  code: 'SW303',
  name: 'csi-backoff',
  title: 'CSI sidecars wait in back-off although their cause is gone',
  severity: 'error',
  says: 'sidecars of a CSI driver sit in CrashLoopBackOff although the socket they ended for answers again',
  explanation: `A sidecar that does not find its driver's socket ends at once. kubelet starts it again after 10 s, 20
s, 40 s … and at last only every 5 minutes; a container that has crashed for hours waits five minutes after the socket
is back, and each pod with a volume waits with it. Deleting the pod makes a new one, whose back-off begins at nothing.

It is told only where the cause is gone: the driver answers its Probe now, and the container ended *before* the socket
was made and has not been started since. A container that ended again while the socket answered has a reason of its
own and is left alone; so is the driver itself, a container that ran out of memory or ended with success, and one
whose dates cannot be compared because the clock was turned.`,
  evidence: 'the pod, its restarts, when it ended, since when the socket is there, the back-off that remains',
  remedy: { tier: 'safe', text: 'Delete exactly these pods; their controllers make new ones at once.' },
  sources: [
    'kubelet pkg/kubelet/kuberuntime/kuberuntime_manager.go doBackOff; kubelet.go MaxContainerBackOff',
    'kubernetes-csi sidecars: connection.Connect, exit on connection loss',
  ],
  needs: (facts) => ['csi', ...ofDrivers(facts, ['node', 'pods'])],
  examine: (facts) =>
    deletable(facts).map(({ pod, all }): Finding => {
      const [first] = all;
      const waiting = podsWaitingFor(first.driver, facts).map(describePod);
      return {
        code: 'SW303',
        severity: waiting.length > 0 ? 'error' : 'warning',
        object: { kind: 'pod', name: describePod(pod), id: pod.uid },
        why:
          `${first.driver.name} answers again, but ${all.map((each) => each.container.name).join(' and ')} ` +
          `of this pod ${all.length === 1 ? 'waits' : 'wait'} in back-off${remaining(first)}.`,
        evidence: [...all.map(endOf), socketOf(first)],
        remedy: {
          tier: 'safe',
          text: `delete the pod; its ${pod.owner?.kind ?? 'owner'} makes a new one`,
          command: shellLine('sandwarden', 'heal', '--only', `SW303/${describePod(pod)}`),
        },
        pods: [...new Set([describePod(pod), ...waiting])].sort(),
      };
    }),
};

/**
 * The pods whose waiting containers all wait for a socket that is back, that are made again by a controller, and that
 * do not serve the socket themselves: deleting a working driver would cut the volumes that hang on it.
 */
export function deletable(facts: Facts): { pod: BackedOff['pod']; all: [BackedOff, ...BackedOff[]] }[] {
  const waiting = backedOff(facts.drivers, facts.node);
  return [...Map.groupBy(waiting, (each) => each.pod.uid).values()].flatMap((all) => {
    const [first, ...rest] = all;
    if (first === undefined || !all.every((each) => each.cause === 'gone')) return [];
    return whyKept(first, all) === undefined ? [{ pod: first.pod, all: [first, ...rest] }] : [];
  });
}

/**
 * Why a pod that waits in back-off for the driver of `first` may not be deleted, whatever the cause; undefined where it
 * may. `judged`: its containers whose crash was held against that driver's socket.
 */
export function whyKept({ pod, driver }: Pick<BackedOff, 'pod' | 'driver'>, judged: readonly BackedOff[]) {
  const containers = pod.containers ?? [];
  if (pod.deleting) return 'it is being deleted already';
  if (pod.owner === undefined || !remaking.includes(pod.owner.kind)) return 'nobody would make it anew';
  if (containers.some((each) => isDriverContainer(each, pod))) return 'it serves the socket itself';
  const known = new Set(judged.flatMap((each) => (each.driver.folder === driver.folder ? [each.container.name] : [])));
  // What crashes without having been held against the socket has a cause of its own, whatever of kubelet's it mounts.
  const other = containers.find((each) => !known.has(each.name) && crashes(each, driver.folder));
  return other && `${other.name} of it crashes too, and nothing says that it waits for ${driver.name}`;
}

/** A container that mounts the driver's folder and has just ended is judged as soon as kubelet waits with it. */
function crashes({ state, reason, lastExit, kubeletPaths = [] }: BackedOff['container'], folder: string): boolean {
  if (reason === 'CrashLoopBackOff') return true;
  return state === 'terminated' && lastExit?.exitCode !== 0 && !kubeletPaths.includes(folder);
}

/** The controllers that make a deleted pod anew. */
const remaking = ['DaemonSet', 'ReplicaSet', 'StatefulSet', 'ReplicationController'];

function endOf({ container, why }: BackedOff): Evidence {
  const exit = container.lastExit;
  const ended = exit?.finishedAtNs === undefined ? '' : `, the last time ${describeDate(exit.finishedAtNs)}`;
  const how = `${container.restarts} restarts, exit code ${exit?.exitCode ?? '?'}${ended}`;
  return { source: 'pods', text: `${container.name}: CrashLoopBackOff, ${how}; ${why}` };
}

function socketOf({ driver }: BackedOff): Evidence {
  const made = driver.driver === undefined ? '' : `, made ${describeDate(driver.driver.madeAtNs)}`;
  return { source: 'csi', text: `${driver.socket} answers its Probe${made}` };
}

function remaining({ remainingMs }: BackedOff): string {
  return remainingMs === undefined
    ? ''
    : ` for another ${describeDuration(BigInt(Math.round(remainingMs)) * 1_000_000n)}`;
}
