import { qosClasses } from '../model/cgroups.ts';
import type { Pod } from '../model/node.ts';
import { podDetails } from './pod-details.ts';

/**
 * The pods in a PodList of the Kubernetes API (parsed JSON), under the uid that kubelet uses: of a mirror pod
 * the hash of its manifest (annotation `kubernetes.io/config.hash`; `config.mirror` marks it, types/pod_update.go
 * IsMirrorPod). What is no pod is left out.
 */
export function podsOfList(list: unknown): Pod[] {
  const items = member(list, 'items');
  return Array.isArray(items) ? items.flatMap(podOf) : [];
}

function podOf(item: unknown): Pod[] {
  const metadata = member(item, 'metadata');
  const annotations = member(metadata, 'annotations');
  const [name, namespace] = [member(metadata, 'name'), member(metadata, 'namespace')];
  // The hash alone makes no mirror pod: who copies a static pod's manifest into a Deployment copies it too.
  const isMirror = member(annotations, 'kubernetes.io/config.mirror') !== undefined;
  const uid = isMirror ? member(annotations, 'kubernetes.io/config.hash') : member(metadata, 'uid');
  const phase = member(member(item, 'status'), 'phase');
  const spec = member(item, 'spec');
  const qos = qosClasses.find((each) => each === String(member(member(item, 'status'), 'qosClass')).toLowerCase());
  if (typeof name !== 'string' || typeof namespace !== 'string' || typeof uid !== 'string') return [];
  return [
    {
      name,
      namespace,
      uid,
      phase: typeof phase === 'string' ? phase : 'Unknown',
      restartPolicy: restartPolicyOf(member(spec, 'restartPolicy')),
      deleting: member(metadata, 'deletionTimestamp') !== undefined,
      ...(qos === undefined ? {} : { qos }),
      // The API server leaves it out where it is false (types.go: omitempty).
      ...(spec === undefined ? {} : { hostNetwork: member(spec, 'hostNetwork') === true }),
      ...podDetails(item),
    },
  ];
}

/** Absent means Always (the API server fills it in); a word that is unknown counts as the most careful one. */
function restartPolicyOf(value: unknown): Pod['restartPolicy'] {
  if (value === undefined || value === 'Always') return 'Always';
  return value === 'OnFailure' ? 'OnFailure' : 'Never';
}

function member(of: unknown, key: string): unknown {
  return typeof of === 'object' && of !== null ? (of as Record<string, unknown>)[key] : undefined;
}
