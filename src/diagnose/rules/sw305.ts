import type { Evidence, Finding } from '../../model/finding.ts';
import { describePod } from '../../model/sandbox.ts';
import { shellLine } from '../../model/shell-word.ts';
import { type StuckAttachment, stuckAttachments } from '../csi-facts.ts';
import { podsWaitingFor } from '../csi-waiting.ts';
import type { Facts } from '../facts.ts';
import { ofDrivers } from '../needs.ts';
import type { Rule } from '../rule.ts';
import { describeDate, describeDuration } from '../time.ts';

/** SW305: a volume that is neither attached nor let go. */
export const sw305: Rule = {
  code: 'SW305',
  name: 'volumeattachment-stuck',
  title: 'A VolumeAttachment of this node is stuck',
  severity: 'error',
  says: 'a VolumeAttachment is not attached, or is being deleted, for more than 5 minutes',
  explanation: `The attach/detach controller writes a VolumeAttachment for each volume and node; the driver's attacher
does what it says and sets \`attached\`. Where the attacher waits in back-off or the driver's controller does not
answer, the attachment stands still, and so does the pod. Its age is told by the API server's own clock, never by this
node's.

Mostly there is nothing to do but to heal the driver (SW301 to SW303): the attacher goes on by itself. **After a
reboot of the same node a VolumeAttachment is valid**; deleting it makes the backend take the disk away under a
mounted file system, or lets a second node write to it. So it is reported, and deleted only by hand, for one name,
with \`heal --allow=destructive --only SW305/NAME\`. Even then only one whose attach failed and never succeeded: it is
not attached and not being deleted, its attacher has left an error, it is older than 5 minutes, the volume is in no
node's volumesInUse or volumesAttached, and it is not mounted on this node. Where one of these cannot be read, nothing
is deleted. What the backend holds cannot be seen from here: that is for you to check before. One of a node that is
gone or off is not judged here; it is for whoever knows that the node is off. docs/csi.md has the checks.`,
  evidence: 'its age by the API, the errors of attach and detach, its driver and volume',
  remedy: {
    tier: 'destructive',
    text: 'Heal the driver; delete by hand only what never was attached, after the checks.',
  },
  sources: [
    'kube-controller-manager pkg/controller/volume/attachdetach reconciler.go; pkg/volume/csi/csi_attacher.go',
    'kubernetes-csi/external-attacher',
  ],
  needs: (facts) => ['csi', ...ofDrivers(facts, ['volumes'])],
  examine: (facts) => stuckAttachments(facts.snapshot).map((each) => findingOf(each, facts)),
};

function findingOf({ attachment, how, forNs }: StuckAttachment, facts: Facts): Finding {
  const driver = facts.drivers.find((each) => each.name === attachment.driver);
  const isDown = driver !== undefined && driver.state !== 'ready';
  const waits = how === 'attaching' ? 'is not attached' : 'is being deleted and does not go';
  const pods = driver === undefined || how === 'deleting' ? [] : podsWaitingFor(driver, facts).map(describePod);
  return {
    code: 'SW305',
    severity: how === 'attaching' && pods.length > 0 ? 'error' : 'warning',
    object: { kind: 'volume', name: attachment.name },
    why:
      `The volume ${attachment.volume ?? attachment.name} of ${attachment.driver} ${waits} for ` +
      `${describeDuration(forNs)}${isDown ? '; its driver does not answer on this node' : ''}.`,
    evidence: evidenceOf({ attachment, how, forNs }, facts),
    remedy: {
      tier: 'none',
      text: isDown
        ? 'heal its driver first; the attacher goes on by itself'
        : "see why its driver's attacher does not go on; never delete it while the volume is in use",
      command: shellLine('kubectl', 'describe', 'volumeattachment', attachment.name),
    },
    pods,
  };
}

function evidenceOf({ attachment, how, forNs }: StuckAttachment, facts: Facts): Evidence[] {
  const { createdAtNs, deletingSinceNs, attachError, detachError } = attachment;
  const since =
    how === 'attaching' ? `made ${describeDate(createdAtNs)}` : `deleted ${describeDate(deletingSinceNs ?? 0n)}`;
  const volumes = facts.snapshot.volumes;
  const now = volumes?.known ? volumes.value.asOfNs : undefined;
  const clock = now === undefined ? '' : `, and the API server's clock says ${describeDate(now)}`;
  const evidence: Evidence[] = [
    { source: 'volumes', text: `attached=${attachment.attached}, ${since}${clock}: ${describeDuration(forNs)}` },
  ];
  if (attachError !== undefined) evidence.push({ source: 'volumes', text: `attach error: ${attachError.message}` });
  if (detachError !== undefined) evidence.push({ source: 'volumes', text: `detach error: ${detachError.message}` });
  return evidence;
}
