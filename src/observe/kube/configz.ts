import type { Observed } from '../../model/observed.ts';
import { at, member, textOf } from '../json.ts';
import { askNodeApi, type NodeApiOptions } from './node-api.ts';

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
export function observeConfigz(options: NodeApiOptions): Promise<Observed<RunningKubeletConfig>> {
  return askNodeApi(options, async (client, { name }) => {
    const answer = await client.get(`/api/v1/nodes/${encodeURIComponent(name)}/proxy/configz`, options.signal);
    return configOf(member(answer, 'kubeletconfig'));
  });
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
