import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../model/clock.ts';
import { SandwardenError } from '../../model/errors.ts';
import type { Pod } from '../../model/node.ts';
import type { Observed } from '../../model/observed.ts';
import { podsOfList } from '../pods.ts';
import { askNodeApi, asksAgain, type NodeApiOptions } from './node-api.ts';
import type { NodeName } from './node-name.ts';

/**
 * The pods of this node by the Kubernetes API. It needs no more than a node's own credentials and costs one request and
 * at most `limits.kubeRequestTimeoutMs`; whatever goes wrong is Unknown with its reason, never an error.
 * ERR_NOT_ASKED: there are no credentials on this machine.
 */
export function observePods(options: NodeApiOptions): Promise<Observed<Pod[]>> {
  return askNodeApi(options, async (client, node) =>
    credible(await listPodsOfNode(client, node.name, options.signal), node),
  );
}

/** `observePods` for one that looks again and again; see askerAgain. */
export function podsAsker(
  options: Omit<NodeApiOptions, 'hostname'>,
  clock: Clock,
): (hostname: string) => Promise<Observed<Pod[]>> {
  return asksAgain(observePods, options, clock);
}

/**
 * All pods that are bound to a node. Without a resourceVersion, so that the state is the newest: an old one would call
 * a finished pod running.
 */
export async function listPodsOfNode(client: KubeClient, nodeName: string, signal?: AbortSignal): Promise<Pod[]> {
  const pods = await client.list('/api/v1/pods', {
    kind: 'PodList',
    itemsOf: podsOfList,
    query: { fieldSelector: `spec.nodeName=${nodeName}` },
    ...(signal ? { signal } : {}),
  });
  return withoutTwins(pods);
}

/**
 * kubelet never has two pods of one uid. Where the list has (anybody who may create pods can write a mirror pod's
 * annotations), none of them is believed.
 */
function withoutTwins(pods: readonly Pod[]): Pod[] {
  return [...Map.groupBy(pods, (each) => each.uid).values()].flatMap((same) => (same.length === 1 ? same : []));
}

/** A node without any pod is as good as unheard of; where its name was only guessed, the guess is wrong. */
function credible(pods: Pod[], node: NodeName): Pod[] {
  if (pods.length > 0 || node.from !== 'hostname') return pods;
  throw new SandwardenError('ERR_KUBE_FAILED', `the Kubernetes API knows no pods of a node '${node.name}'`, {
    hint: 'Say what this node is called in the cluster with --node-name, as `kubectl get nodes` lists it.',
  });
}
