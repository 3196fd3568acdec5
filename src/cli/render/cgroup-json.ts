import { type CgroupFacts, isAnchor } from '../../model/cgroups.ts';
import type { NamedPod } from '../pod-name.ts';

/** The tree for a script: as it was read, with names of pods, what each slice lacks, and what holds it. */
export function cgroupData(tree: CgroupFacts, names: readonly NamedPod[]): object {
  const nameOf = (uid: string | undefined) => {
    const pod = names.find((each) => each.uid === uid);
    return pod === undefined ? {} : { namespace: pod.namespace, name: pod.name };
  };
  const scopes = [...tree.slices, ...tree.pods].flatMap((each) => each.scopes ?? []);
  return {
    format: 'sandwarden.cgroups/1',
    ...tree,
    slices: tree.slices.map((slice) => ({
      ...slice,
      missing: tree.required.filter(
        (each) => slice.subtreeControl !== undefined && !slice.subtreeControl.includes(each),
      ),
      heldBy: scopes
        .filter((each) => each.delegated === true && each.path.startsWith(slice.path === '/' ? '/' : `${slice.path}/`))
        .map((each) => each.path),
    })),
    pods: tree.pods.map((pod) => ({ ...nameOf(pod.uid), ...pod })),
    odd: tree.odd.map((each) => ({ ...nameOf(each.uid), ...each })),
    anchors: scopes.map((each) => each.path).filter(isAnchor),
  };
}
