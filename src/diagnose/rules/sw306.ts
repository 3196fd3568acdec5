import { driverOfRegistration } from '../../model/csi.ts';
import type { Finding } from '../../model/finding.ts';
import { valueOr } from '../../model/observed.ts';
import { describePod } from '../../model/sandbox.ts';
import { backedOff, stuckAttachments } from '../csi-facts.ts';
import { namedDrivers, podsWaiting } from '../csi-waiting.ts';
import type { Facts } from '../facts.ts';
import { ofDrivers } from '../needs.ts';
import type { Rule } from '../rule.ts';

/** SW306: who pays for it. */
export const sw306: Rule = {
  code: 'SW306',
  name: 'waiting-for-volumes',
  title: 'Pods wait for volumes that cannot come',
  severity: 'error',
  says: 'the pods of this node that cannot start because of SW301 to SW305',
  explanation: `kubelet waits until all volumes of a pod are attached and mounted before it makes the pod's sandbox,
so such a pod has no sandbox and no container: it stands in ContainerCreating (or Init) and nothing of it is in the
runtime.

The finding counts them where something is wrong with a CSI driver of this node, and says which finding each hangs on.
A claim does not tell its driver without a question more per claim: with several drivers on the node, and only some of
them broken, it says so where kubelet's log does not tell of all these pods either.`,
  evidence: 'the pods with their claims, and the finding they hang on',
  remedy: { tier: 'none', text: 'Heal the finding that it names; the pods follow by themselves.' },
  sources: ['kubelet pkg/kubelet/kubelet.go SyncPod; pkg/kubelet/volumemanager WaitForAttachAndMount'],
  needs: (facts) => ['csi', ...ofDrivers(facts, ['pods'])],
  examine: () => [],
  conclude: (facts, findings) => {
    const causes = ['SW301', 'SW303', 'SW305', 'SW304'].flatMap((code) => {
      return findings.filter((each) => each.code === code && (code !== 'SW305' || each.severity === 'error'));
    });
    const [cause] = causes;
    const concerned = new Set(causes.flatMap((each) => driversOf(each, facts)));
    // A pod that waits for another driver alone hangs on none of these.
    const waiting = podsWaiting(facts).filter((pod) => {
      const named = namedDrivers(pod, facts);
      return named.length === 0 || named.some((each) => concerned.has(each));
    });
    if (waiting.length === 0 || cause === undefined) return [];
    const broken = new Set(causes.flatMap((each) => (each.object.kind === 'driver' ? [each.object.name] : [])));
    const isTold = waiting.every((pod) => namedDrivers(pod, facts).length > 0);
    const several = facts.drivers.length > 1 && broken.size < facts.drivers.length && !isTold;
    const doubt = several ? ' Which driver their claims belong to was not asked.' : '';
    const names = waiting.map(describePod).sort();
    const failed = valueOr(facts.snapshot.kubeletLog, undefined)?.volumeFailed ?? [];
    const who = `${names.length} ${names.length === 1 ? 'pod waits' : 'pods wait'}`;
    return [
      {
        code: 'SW306',
        severity: 'error',
        object: { kind: 'node', name: 'volumes' },
        why: `${who} for volumes; it hangs on ${cause.code} (${cause.object.name}).${doubt}`,
        evidence: waiting.slice(0, 20).map((pod): Finding['evidence'][number] => {
          const what = [...(pod.claims ?? []).map((each) => `claim ${each}`), ...(pod.inlineDrivers ?? [])].join(', ');
          const error = failed.find((each) => each.podUid === pod.uid)?.error;
          const says = error === undefined ? '' : `; kubelet: ${error}`;
          return { source: 'pods', text: `${describePod(pod)}: no sandbox, waits for ${what}${says}` };
        }),
        remedy: {
          ...cause.remedy,
          tier: 'none',
          text: `heal ${cause.code} (${cause.object.name}); they follow by themselves`,
        },
        pods: names,
      },
    ];
  },
};

/** The drivers that a finding of volumes is about. */
function driversOf({ code, object: { name } }: Finding, facts: Facts): string[] {
  if (code === 'SW304') return [driverOfRegistration(name)];
  if (code === 'SW305') {
    const mine = stuckAttachments(facts.snapshot).filter(({ attachment }) => attachment.name === name);
    return mine.map(({ attachment }) => attachment.driver);
  }
  if (code !== 'SW303') return [name];
  const mine = backedOff(facts.drivers, facts.node).filter(({ pod }) => describePod(pod) === name);
  return mine.map(({ driver }) => driver.name);
}
