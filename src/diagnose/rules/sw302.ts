import type { Evidence, Finding } from '../../model/finding.ts';
import { valueOr } from '../../model/observed.ts';
import { describePod } from '../../model/sandbox.ts';
import type { DriverView } from '../csi-facts.ts';
import { isBroken, podsWaitingFor } from '../csi-waiting.ts';
import type { Facts } from '../facts.ts';
import type { Rule } from '../rule.ts';

/** What keeps a pod from starting, and the findings that say so. */
const blocking = ['SW101', 'SW102', 'SW103', 'SW104', 'SW106', 'SW109'];

/** SW302: the node plugin itself is one of the pods that cannot start. */
export const sw302: Rule = {
  code: 'SW302',
  name: 'csi-plugin-blocked',
  title: 'The node plugin of a CSI driver cannot start',
  severity: 'error',
  says: 'the node plugin of a driver cannot start because of another finding',
  explanation: `The node plugin is a pod like others: a dead sandbox can hold its name, its network can be missing,
its sandbox can hang in the runtime. Of all the pods that this can happen to, it is the one that matters most: its
socket never appears, and with it no volume of its driver (SW301).

This finding names the one that blocks it. Heal that one; the rest follows, and what waits in back-off by then is
SW303.`,
  evidence: 'the pod, and the finding that blocks it',
  remedy: { tier: 'none', text: 'Heal what blocks it first; then the socket comes by itself.' },
  sources: ['SW101 to SW109 and SW703; kubelet pkg/kubelet/kuberuntime/kuberuntime_manager.go SyncPod'],
  needs: ['csi', 'node', 'sandboxes', 'kubelet', 'kubeletLog'],
  examine: () => [],
  conclude: (facts, findings) => [
    ...facts.drivers.filter(isBroken).flatMap((driver) => ofDriver(driver, facts, findings)),
    ...withoutApi(facts, findings),
  ],
};

function ofDriver(driver: DriverView, facts: Facts, findings: readonly Finding[]): Finding[] {
  return driver.plugins.flatMap((pod): Finding[] => {
    const name = describePod(pod);
    const network = pod.hostNetwork === true ? [] : ['SW703'];
    const cause = findings.find(
      (each) =>
        (blocking.includes(each.code) && each.pods.includes(name)) ||
        (network.includes(each.code) && !hasSandbox(facts, pod.uid)),
    );
    if (cause === undefined) return [];
    const waiting = podsWaitingFor(driver, facts).map(describePod);
    return [findingOf(name, `${driver.name}`, cause, [...new Set([name, ...waiting])].sort())];
  });
}

/**
 * The API server may be down because of the same dead sandboxes. A pod that has had a registrar in it is a node plugin
 * all the same; its driver is then not known.
 */
function withoutApi(facts: Facts, findings: readonly Finding[]): Finding[] {
  if (facts.snapshot.pods.known) return [];
  const uids = new Set(
    valueOr(facts.snapshot.containers, []).flatMap((each) =>
      /driver-registrar$/.test(each.name) ? [each.podUid] : [],
    ),
  );
  return [...uids].flatMap((uid): Finding[] => {
    const view = facts.pods.get(uid);
    const name = view === undefined ? '' : describePod(view);
    const cause = findings.find((each) => blocking.includes(each.code) && each.pods.includes(name));
    return cause === undefined ? [] : [findingOf(name, name, cause, [name])];
  });
}

function findingOf(pod: string, object: string, cause: Finding, pods: readonly string[]): Finding {
  const evidence: Evidence[] = [
    { source: 'pods', text: `${pod} is a CSI node plugin and is blocked by ${cause.code} ${cause.object.name}` },
    ...cause.evidence.slice(0, 1),
  ];
  return {
    code: 'SW302',
    severity: cause.severity,
    object: { kind: 'driver', name: object },
    why: `The node plugin ${pod} cannot start (${cause.code}), so its CSI socket stays dead and no volume comes up.`,
    evidence,
    remedy: { ...cause.remedy, text: `heal ${cause.code} first: ${cause.remedy.text}` },
    pods,
  };
}

function hasSandbox(facts: Facts, uid: string): boolean {
  return facts.pods.get(uid)?.sandboxes.some((each) => each.ready) === true;
}
