import { connectKube, type KubeClient, type KubeClientOptions } from '../../kube/client.ts';
import type { Clock } from '../../model/clock.ts';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Pod } from '../../model/node.ts';
import { known, type Observed, type Unknown, unknown } from '../../model/observed.ts';
import { podsOfList } from '../pods.ts';
import { unknownFrom } from '../unknown.ts';
import { type CredentialOptions, findKubeAccess } from './credentials.ts';
import { type NodeName, nodeNameOf } from './node-name.ts';

export interface ObservePodsOptions extends CredentialOptions, KubeClientOptions {
  /** The name of the machine, for nodes whose credentials do not say what they are called. */
  readonly hostname: string;
  /** The value of `--node-name`. */
  readonly nodeName?: string;
  readonly signal?: AbortSignal;
}

/**
 * The pods of this node by the Kubernetes API. It needs no more than a node's own credentials and costs one request and
 * at most `limits.kubeRequestTimeoutMs`; whatever goes wrong is Unknown with its reason, never an error.
 * ERR_NOT_ASKED: there are no credentials on this machine.
 */
export async function observePods(options: ObservePodsOptions): Promise<Observed<Pod[]>> {
  let client: KubeClient | undefined;
  try {
    const access = await findKubeAccess(options);
    if (!access) {
      const hint = 'Name a kubeconfig with --kubeconfig FILE; docs/kubernetes-access.md says what is looked for.';
      return unknown('ERR_NOT_ASKED', 'no Kubernetes credentials were found on this node', hint);
    }
    const node = nodeNameOf(access, options.hostname, options.nodeName);
    client = connectKube(access, options);
    return credible(await listPodsOfNode(client, node.name, options.signal), node);
  } catch (error) {
    return unknownFrom(error);
  } finally {
    client?.close();
  }
}

/**
 * `observePods` for one that looks again and again: an API that could not be reached is left alone for
 * `limits.kubeAskAgainAfterMs`, and what was said about it is said again.
 */
export function podsAsker(
  options: Omit<ObservePodsOptions, 'hostname'>,
  clock: Clock,
): (hostname: string) => Promise<Observed<Pod[]>> {
  let down: { readonly why: Unknown; readonly untilNs: bigint } | undefined;
  return async (hostname) => {
    if (down !== undefined && clock.uptimeNs() < down.untilNs) return down.why;
    const seen = await observePods({ ...options, hostname });
    const untilNs = clock.uptimeNs() + BigInt(limits.kubeAskAgainAfterMs) * 1_000_000n;
    down = !seen.known && seen.code === 'ERR_KUBE_UNREACHABLE' ? { why: seen, untilNs } : undefined;
    return seen;
  };
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
function credible(pods: Pod[], node: NodeName): Observed<Pod[]> {
  if (pods.length > 0 || node.from !== 'hostname') return known(pods);
  return unknownFrom(
    new SandwardenError('ERR_KUBE_FAILED', `the Kubernetes API knows no pods of a node '${node.name}'`, {
      hint: 'Say what this node is called in the cluster with --node-name, as `kubectl get nodes` lists it.',
    }),
  );
}
