import type { NodeFacts } from '../../model/node.ts';
import { type Observed, valueOr } from '../../model/observed.ts';
import type { Snapshot } from '../../model/snapshot.ts';
import { observeVolumes } from '../kube/volumes.ts';
import type { ObserveOptions } from '../node.ts';
import { findKubelet, type ProcessStat } from '../proc.ts';
import { observeCsi } from './csi.ts';

/**
 * The plugin sockets of this machine and what the API says of its volumes, both at once. Whose node facts are not this
 * machine's has none here, unless it brings its own.
 */
export async function observeStorage(
  options: ObserveOptions,
  node: Promise<Observed<NodeFacts>>,
  processes: () => Promise<Observed<readonly ProcessStat[]>>,
): Promise<Pick<Snapshot, 'csi' | 'volumes' | 'csiNode'>> {
  const [csi, volumes] = await Promise.all([csiHere(options, processes), volumesHere(options, node)]);
  return { ...(csi === undefined ? {} : { csi }), ...volumes };
}

async function csiHere(
  { sources, root = '' }: ObserveOptions,
  processes: () => Promise<Observed<readonly ProcessStat[]>>,
): Promise<Snapshot['csi']> {
  if (sources?.csi) return sources.csi();
  if (sources?.node) return undefined;
  const listed = await processes();
  return observeCsi({ root, processes: listed, kubelet: await findKubelet(listed, root) });
}

async function volumesHere(
  options: ObserveOptions,
  node: Promise<Observed<NodeFacts>>,
): Promise<Pick<Snapshot, 'volumes' | 'csiNode'>> {
  const { askVolumes, sources, env, root, run: runner } = options;
  const hostname = async () => valueOr(await node, undefined)?.hostname ?? '';
  if (askVolumes) return askVolumes(await hostname());
  // Who brings the pods along does not want the API to be asked.
  if (sources?.node || options.pods) return {};
  return observeVolumes({
    hostname: await hostname(),
    ...(env ? { env } : {}),
    ...(root ? { root } : {}),
    ...(runner ? { run: runner } : {}),
  });
}
