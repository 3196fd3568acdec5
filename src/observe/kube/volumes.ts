import type { KubeClient } from '../../kube/client.ts';
import type { Clock } from '../../model/clock.ts';
import type { VolumeAttachment, VolumeError, VolumeFacts } from '../../model/csi.ts';
import { isSandwardenError } from '../../model/errors.ts';
import { known, type Observed } from '../../model/observed.ts';
import { at, dateOf, listOf, member, textOf } from '../json.ts';
import { observed } from '../unknown.ts';
import { askerAgain, askNodeApi, type NodeApiOptions } from './node-api.ts';
import type { NodeName } from './node-name.ts';

/** What the cluster says about the volumes of one node. */
export interface VolumeAnswers {
  readonly volumes: Observed<VolumeFacts>;
  /** The drivers that kubelet has registered. */
  readonly csiNode: Observed<readonly string[]>;
}

/**
 * This node's VolumeAttachments and CSINode by the Kubernetes API: two requests (a VolumeAttachment cannot be selected
 * by its node), at once, at most `limits.kubeRequestTimeoutMs`. Whatever goes wrong is Unknown with its reason. A
 * node's own credentials may read its CSINode and may not list VolumeAttachments (node authorizer).
 */
export async function observeVolumes(options: NodeApiOptions): Promise<VolumeAnswers> {
  let asOfNs: bigint | undefined;
  const onDate = (dateNs: bigint) => {
    asOfNs = dateNs;
  };
  const ask = async (client: KubeClient, { name }: NodeName): Promise<VolumeAnswers> => {
    const [attachments, csiNode] = await Promise.all([
      observed(() => listAttachments(client, name, options.signal)),
      observed(() => registeredDrivers(client, name, options.signal)),
    ]);
    const facts = { nodeName: name, ...(asOfNs === undefined ? {} : { asOfNs }) };
    return {
      volumes: attachments.known ? known({ ...facts, attachments: attachments.value }) : attachments,
      csiNode,
    };
  };
  const answers = await askNodeApi(options, ask, onDate);
  return answers.known ? answers.value : { volumes: answers, csiNode: answers };
}

/** `observeVolumes` for one that looks again and again; see askerAgain. */
export function volumesAsker(
  options: Omit<NodeApiOptions, 'hostname'>,
  clock: Clock,
): (hostname: string) => Promise<VolumeAnswers> {
  const ask = (hostname: string) => observeVolumes({ ...options, hostname });
  return askerAgain(
    ask,
    clock,
    (seen) => seen.volumes,
    (why) => ({ volumes: why, csiNode: why }),
  );
}

/** The VolumeAttachments of a node, by name. */
export async function listAttachments(
  client: Pick<KubeClient, 'list'>,
  nodeName: string,
  signal?: AbortSignal,
): Promise<VolumeAttachment[]> {
  const found = await client.list('/apis/storage.k8s.io/v1/volumeattachments', {
    kind: 'VolumeAttachmentList',
    itemsOf: (page) => listOf(member(page, 'items')).flatMap((item) => attachmentOf(item, nodeName)),
    ...(signal ? { signal } : {}),
  });
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A VolumeAttachment of the API, where it is one of this node. */
export function attachmentOf(item: unknown, nodeName: string): VolumeAttachment[] {
  const spec = member(item, 'spec');
  if (member(spec, 'nodeName') !== nodeName) return [];
  const [name, uid] = [textOf(at(item, 'metadata', 'name'), 253), textOf(at(item, 'metadata', 'uid'), 128)];
  const driver = textOf(member(spec, 'attacher'), 253);
  const createdAtNs = dateOf(at(item, 'metadata', 'creationTimestamp'));
  if (name === undefined || uid === undefined || driver === undefined || createdAtNs === undefined) return [];
  const volume = textOf(at(spec, 'source', 'persistentVolumeName'), 253);
  const deletingSinceNs = dateOf(at(item, 'metadata', 'deletionTimestamp'));
  const attachError = errorOf(at(item, 'status', 'attachError'));
  const detachError = errorOf(at(item, 'status', 'detachError'));
  return [
    {
      name,
      uid,
      driver,
      ...(volume === undefined ? {} : { volume }),
      attached: at(item, 'status', 'attached') === true,
      createdAtNs,
      ...(deletingSinceNs === undefined ? {} : { deletingSinceNs }),
      ...(attachError === undefined ? {} : { attachError }),
      ...(detachError === undefined ? {} : { detachError }),
    },
  ];
}

/** The names of the drivers in a node's CSINode; none where there is no CSINode yet. */
async function registeredDrivers(
  client: Pick<KubeClient, 'get'>,
  nodeName: string,
  signal?: AbortSignal,
): Promise<readonly string[]> {
  try {
    const node = await client.get(`/apis/storage.k8s.io/v1/csinodes/${encodeURIComponent(nodeName)}`, signal);
    return listOf(at(node, 'spec', 'drivers')).flatMap((each) => textOf(member(each, 'name'), 253) ?? []);
  } catch (error) {
    if (isSandwardenError(error, 'ERR_KUBE_NOT_FOUND')) return [];
    throw error;
  }
}

function errorOf(value: unknown): VolumeError | undefined {
  const message = textOf(member(value, 'message'), 500);
  const atNs = dateOf(member(value, 'time'));
  return message === undefined ? undefined : { message, ...(atNs === undefined ? {} : { atNs }) };
}
