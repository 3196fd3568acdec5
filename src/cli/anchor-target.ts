import type { CgroupFacts, PodCgroup } from '../model/cgroups.ts';
import { SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import type { AnchorTarget } from '../systemd/anchors.ts';
import { isUnitName } from '../systemd/bus.ts';
import { findPod, type NamedPod } from './pod-name.ts';

/** The slice that `--slice` names. Throws ERR_USAGE. */
export function sliceTarget(typed: string): AnchorTarget {
  const slice = typed.slice(typed.lastIndexOf('/') + 1);
  if (isUnitName(slice) && slice.endsWith('.slice') && slice !== '-.slice') return { slice };
  throw new SandwardenError('ERR_USAGE', `'${safeText(typed, 200)}' is no slice`, {
    hint: "Write its unit: '--slice kubepods-burstable.slice'; 'systemd-cgls' shows them.",
  });
}

/** The slices of the three QoS classes, there or not. Throws ERR_NOT_SUPPORTED, ERR_PRECONDITION before kubelet. */
export function nodeSlices(tree: CgroupFacts): string[] {
  requireV2(tree);
  const all = tree.slices.filter((each) => each.level === 'kubepods');
  const path = all.find((each) => each.path.endsWith('.slice'))?.path;
  if (path === undefined && all.length > 0) throw cgroupfs(`this node's pods are below ${all[0]?.path}`);
  if (path === undefined) {
    throw new SandwardenError('ERR_PRECONDITION', 'kubelet has made no slices here yet', {
      hint: "Start kubelet first: its configuration decides how they are called. 'sandwarden cgroups' shows them.",
    });
  }
  const stem = path.slice(path.lastIndexOf('/') + 1, -'.slice'.length);
  return [`${stem}.slice`, `${stem}-burstable.slice`, `${stem}-besteffort.slice`];
}

/**
 * The slice of a pod that is named by namespace and name, or by its uid. Throws ERR_USAGE where there is none,
 * ERR_PRECONDITION where it has no cgroup now, ERR_NOT_SUPPORTED.
 */
export async function podTarget(
  typed: string,
  tree: CgroupFacts,
  listPods: () => Promise<readonly NamedPod[]>,
): Promise<AnchorTarget> {
  requireV2(tree);
  const known = tree.pods.some((each) => each.uid === typed);
  const pod = known ? undefined : findPod(typed, await listPods());
  const name = pod === undefined ? undefined : `${pod.namespace}/${pod.name}`;
  const cgroup = slicesFirst(tree.pods.filter((each) => each.uid === (pod?.uid ?? typed)))[0];
  if (cgroup === undefined) {
    throw new SandwardenError('ERR_PRECONDITION', `the pod ${safeText(typed, 200)} has no cgroup now`, {
      hint: 'It ended, or kubelet has not made it yet. Run it again when it runs.',
    });
  }
  if (cgroup.driver !== 'systemd') throw cgroupfs(`the cgroup of ${safeText(typed, 200)} is ${cgroup.path}`);
  const slice = cgroup.path.slice(cgroup.path.lastIndexOf('/') + 1);
  return { slice, ...(name === undefined ? {} : { pod: name }) };
}

/** A driver that was changed leaves the other one's directories behind. */
function slicesFirst(pods: readonly PodCgroup[]): PodCgroup[] {
  return pods.toSorted((a, b) => Number(b.driver === 'systemd') - Number(a.driver === 'systemd'));
}

function requireV2({ mode }: CgroupFacts): void {
  if (mode === 'v2') return;
  throw new SandwardenError('ERR_NOT_SUPPORTED', 'this host has cgroup v1, where no controller is taken away', {
    hint: "kubelet only looks for the directories there; 'sandwarden check' says what else may be wrong.",
  });
}

function cgroupfs(what: string): SandwardenError {
  return new SandwardenError(
    'ERR_NOT_SUPPORTED',
    `${what}: kubelet uses the cgroupfs driver, so no slice is systemd's`,
    {
      hint:
        'Let kubelet and the runtime both use the systemd driver (SW503). Else it is the unit that kubelet runs in ' +
        "that must keep its controllers: 'Delegate=yes' in a drop-in of it.",
    },
  );
}
