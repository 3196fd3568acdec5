import type { KubeReader } from '../../kube/client.ts';
import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import { at, listOf, member, textOf } from '../../observe/json.ts';

/** What is to be known of a node before a pod is made for it. */
export interface Target {
  readonly architecture: string;
  /** Images that are on it already, those that will do best first. */
  readonly images: readonly string[];
  /** Whether kubelet says that it is there. */
  readonly isReady: boolean;
  /** Where its runtime listens, where the API tells. */
  readonly endpoint?: string;
}

/** A node, by the API. Throws ERR_KUBE_NOT_FOUND where there is none of that name. */
export async function targetOf(client: KubeReader, node: string, signal: AbortSignal): Promise<Target> {
  try {
    const object = await client.get(`/api/v1/nodes/${node}`, signal);
    const ready = listOf(at(object, 'status', 'conditions')).find((each) => member(each, 'type') === 'Ready');
    const endpoint = endpointOf(object);
    return {
      ...(endpoint === undefined ? {} : { endpoint }),
      architecture: textOf(at(object, 'status', 'nodeInfo', 'architecture')) ?? 'amd64',
      images: imagesOf(object),
      isReady: member(ready, 'status') === 'True',
    };
  } catch (error) {
    if (!isSandwardenError(error, 'ERR_KUBE_NOT_FOUND')) throw error;
    throw new SandwardenError('ERR_KUBE_NOT_FOUND', `the cluster has no node '${node}'`, {
      hint: '`kubectl get nodes` lists them.',
      cause: error,
    });
  }
}

/**
 * The runtime's socket: kubeadm notes it on the node; k3s and RKE2, which a kubelet's version tells, and CRI-O have one
 * place. Sources: kubeadm constants.AnnotationKubeadmCRISocket; k3s pkg/agent/config; cri-o pkg/config.
 */
function endpointOf(node: unknown): string | undefined {
  const noted = textOf(at(node, 'metadata', 'annotations', 'kubeadm.alpha.kubernetes.io/cri-socket'), 300) ?? '';
  const [, path] = /^(?:unix:\/\/)?(\/[\w./-]+)$/.exec(noted) ?? [];
  if (path !== undefined) return `unix://${path}`;
  const info = (name: string) => textOf(at(node, 'status', 'nodeInfo', name), 200) ?? '';
  if (/\+(?:k3s|rke2r)\d/.test(info('kubeletVersion'))) return 'unix:///run/k3s/containerd/containerd.sock';
  return info('containerRuntimeVersion').startsWith('cri-o://') ? 'unix:///var/run/crio/crio.sock' : undefined;
}

/**
 * The pause image, which each node has, then the smallest ones: nothing of them is run. A node tells of its fifty
 * largest images at most (nodeStatusMaxImages), so the pause image is often not told of.
 */
function imagesOf(node: unknown): string[] {
  const all = listOf(at(node, 'status', 'images')).flatMap((image) => {
    const names = listOf(member(image, 'names')).flatMap((each) => textOf(each, 500) ?? []);
    // A tag can be looked up on the node, and so can a digest; `<none>` is neither.
    const name = names.find((each) => !each.includes('@')) ?? names[0];
    const size = member(image, 'sizeBytes');
    return name === undefined || name.includes('<none>') ? [] : [{ name, size: typeof size === 'number' ? size : 0 }];
  });
  const isPause = ({ name }: { name: string }) => /(?:^|[/-])pause(?:-\w+)?(?:[:@]|$)/.test(name);
  return all.sort((a, b) => Number(isPause(b)) - Number(isPause(a)) || a.size - b.size).map(({ name }) => name);
}

/**
 * Throws ERR_PRECONDITION where Pod Security keeps such pods out of a namespace. Who may not read namespaces learns it
 * when the pod is refused.
 */
export async function checkNamespace(client: KubeReader, namespace: string, signal: AbortSignal): Promise<void> {
  try {
    const object = await client.get(`/api/v1/namespaces/${encodeURIComponent(namespace)}`, signal);
    const level = textOf(at(object, 'metadata', 'labels', 'pod-security.kubernetes.io/enforce'));
    if (level === 'restricted' || level === 'baseline') throw keptOut(namespace, level);
  } catch (error) {
    if (!isSandwardenError(error, 'ERR_FORBIDDEN')) throw error;
  }
}

/** What is said where Pod Security refuses the pod. */
export function keptOut(namespace: string, level: string, cause?: unknown): SandwardenError {
  const where = `the namespace '${safeText(namespace, 253)}'`;
  const message = `Pod Security (${safeText(level, 60)}) keeps debug pods out of ${where}`;
  const hint =
    'Name a namespace that takes privileged pods: --namespace NAME, with the label ' +
    'pod-security.kubernetes.io/enforce=privileged.';
  return new SandwardenError('ERR_PRECONDITION', message, { hint, ...(cause === undefined ? {} : { cause }) });
}
