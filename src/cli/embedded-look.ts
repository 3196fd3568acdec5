import type { CriReader } from '../cri/types.ts';
import { diagnose } from '../diagnose/diagnose.ts';
import type { EmbeddedNode } from '../embedded/node.ts';
import { makePlan, type PlanOptions } from '../heal/plan.ts';
import type { Look } from '../heal/ports.ts';
import { known } from '../model/observed.ts';
import { version } from '../model/version.ts';
import { type ObserveOptions, observe } from '../observe/node.ts';

/** The embedded node, seen by the same readers and judged by the same rules as a real one. */
export async function lookAtEmbedded(node: EmbeddedNode, cri: CriReader, options: PlanOptions): Promise<Look> {
  const snapshot = await observe({ ...eyesOf(node, cri), pods: known(node.pods()) });
  const listedUptimeNs = node.clock.uptimeNs();
  return { snapshot, diagnosis: diagnose(snapshot), plan: makePlan(snapshot, options), listedUptimeNs };
}

/**
 * How it is looked at. What has no embedded counterpart (systemd, /proc) it tells by itself; all else is read from its
 * socket and its logs.
 */
export function eyesOf(node: EmbeddedNode, cri: CriReader) {
  return {
    clock: node.clock,
    version,
    cri,
    criEndpointInfo: { endpoint: node.endpoint, from: 'the embedded node', others: [] },
    kubeletLogFile: node.kubeletLogFile,
    runtimeLogFile: node.runtimeLogFile,
    sources: {
      node: async () => known(node.nodeFacts()),
      clock: async () => known({ synchronized: false, hasRtc: false }),
      boots: async () => known([...node.boots]),
      runtimeUnit: async () => known({ name: 'containerd.service', activeState: 'active', subState: 'running' }),
      kubelet: async () => known(node.kubeletFacts()),
      processes: async () => known(node.processFacts()),
      units: async () => known({ installed: ['containerd.service', 'kubelet.service'], calls: [], orders: [] }),
    },
  } satisfies ObserveOptions;
}
