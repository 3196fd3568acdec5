import { connectKube, type KubeClient } from '../../kube/client.ts';
import { known, type Observed, unknown } from '../../model/observed.ts';
import { at, member, textOf } from '../json.ts';
import { unknownFrom } from '../unknown.ts';
import { findKubeAccess } from './credentials.ts';
import { nodeNameOf } from './node-name.ts';
import type { ObservePodsOptions } from './pods.ts';

/** What a running kubelet says of its own configuration, as far as it decides who makes the pods' cgroups. */
export interface RunningKubeletConfig {
  readonly driver?: string;
  /** `featureGates.KubeletCgroupDriverFromCRI`, where it is set. */
  readonly asksRuntime?: boolean;
  readonly cgroupRoot?: string;
}

/**
 * `/configz` of this node's kubelet, by the API server's proxy: one request, at most `limits.kubeRequestTimeoutMs`.
 * It needs `get nodes/proxy`, which a node's own credentials do not have; then, as for all that goes wrong, it is
 * Unknown with its reason. Nothing else of the answer is kept: it holds the headers of `staticPodURL`.
 * Source: kubelet cmd/kubelet/app/server.go initConfigz (what it was told, before it asks the runtime), and
 * k8s.io/component-base/configz.
 */
export async function observeConfigz(options: ObservePodsOptions): Promise<Observed<RunningKubeletConfig>> {
  let client: KubeClient | undefined;
  try {
    const access = await findKubeAccess(options);
    if (!access) return unknown('ERR_NOT_ASKED', 'no Kubernetes credentials were found on this node');
    const { name } = nodeNameOf(access, options.hostname, options.nodeName);
    client = connectKube(access, options);
    const answer = await client.get(`/api/v1/nodes/${encodeURIComponent(name)}/proxy/configz`, options.signal);
    return known(configOf(member(answer, 'kubeletconfig')));
  } catch (error) {
    return unknownFrom(error);
  } finally {
    client?.close();
  }
}

function configOf(config: unknown): RunningKubeletConfig {
  const driver = textOf(member(config, 'cgroupDriver'), 40);
  const gate = at(config, 'featureGates', 'KubeletCgroupDriverFromCRI');
  const cgroupRoot = textOf(member(config, 'cgroupRoot'), 300);
  return {
    ...(driver === undefined ? {} : { driver }),
    ...(typeof gate === 'boolean' ? { asksRuntime: gate } : {}),
    ...(cgroupRoot === undefined ? {} : { cgroupRoot }),
  };
}
