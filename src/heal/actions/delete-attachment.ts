import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Action, DeleteAttachmentGuard } from '../../model/plan.ts';
import { within } from '../deadline.ts';
import type { AttachmentObject, NodeObject } from '../storage-world.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';
import { storageOf } from './storage.ts';

/** The deletion of one VolumeAttachment that a person named. All that docs/csi.md asks for is read again before. */
export const deleteAttachment: Performer = { kind: 'delete-attachment', inFlight: 1, check, perform };

/**
 * What speaks against it by what is read now: undefined where nothing does. This node runs, for we run on it: so the
 * volume must be neither in use by its kubelet nor mounted in its kernel. Pure.
 * Source: kube-controller-manager attachdetach reconciler.go (volumesInUse), csi_attacher.go.
 */
export function againstDeletion(
  guard: DeleteAttachmentGuard,
  now: { found: AttachmentObject; node: NodeObject | undefined; mounted: boolean },
): string | undefined {
  const { attachment, handle } = now.found;
  if (attachment.uid !== guard.uid) return 'another VolumeAttachment has its name by now';
  if (attachment.attached && attachment.deletingSinceNs === undefined) {
    return 'it is attached: after a reboot of the same node it is valid, and deleting it takes the disk away';
  }
  if (now.node === undefined) return 'the API does not know this node';
  if (handle === undefined) return 'its PersistentVolume does not say which volume it is';
  // csi_plugin.go GetVolumeName, volume/util GetUniqueVolumeName.
  if (now.node.volumesInUse.includes(`kubernetes.io/csi/${guard.driver}^${handle}`))
    return 'kubelet has the volume in use (node.status.volumesInUse)';
  if (now.mounted) return 'the volume is mounted on this node';
  return undefined;
}

async function check(action: Action, context: ActContext): Promise<Check> {
  const guard = guardOf(action);
  const now = await read(guard, context);
  if (now.found === undefined) return { already: 'it is gone already' };
  const why = againstDeletion(guard, { ...now, found: now.found });
  if (why !== undefined) return { surprise: changed(action, why) };
  const { attached, deletingSinceNs } = now.found.attachment;
  const going = deletingSinceNs === undefined ? '' : ', being deleted';
  return { go: true, read: `attached=${attached}${going}; not in volumesInUse, not mounted on this node` };
}

async function perform(action: Action, context: ActContext): Promise<Done> {
  const guard = guardOf(action);
  const { found, node, mounted } = await read(guard, context);
  if (found === undefined) return { result: 'already', why: 'it was gone already' };
  const why = againstDeletion(guard, { found, node, mounted });
  if (why !== undefined) throw changed(action, why);
  if (found.attachment.deletingSinceNs !== undefined) {
    return { result: 'already', why: 'it is being deleted already; its finalizer is the attacher’s, and stays' };
  }
  const { resourceVersion } = found;
  try {
    await within(deadlineOf(guard, context), () =>
      storageOf(context.world).deleteAttachment(guard.name, { uid: guard.uid, resourceVersion }),
    );
    return { result: 'done', why: '' };
  } catch (error) {
    if (isSandwardenError(error, 'ERR_KUBE_NOT_FOUND')) return { result: 'already', why: 'it was gone already' };
    throw error;
  }
}

function read(guard: DeleteAttachmentGuard, context: ActContext) {
  const storage = storageOf(context.world);
  return within(deadlineOf(guard, context), async () => {
    const [found, node] = await Promise.all([storage.readAttachment(guard.name), storage.readNodeObject()]);
    return { found, node, mounted: found === undefined || (await storage.isMounted(found)) };
  });
}

function deadlineOf({ name }: DeleteAttachmentGuard, { world, signal }: ActContext) {
  return {
    clock: world.clock,
    ms: 2 * limits.kubeWriteTimeoutMs,
    doing: `asking about VolumeAttachment ${name}`,
    signal,
  };
}

function changed(action: Action, why: string): SandwardenError {
  return new SandwardenError('ERR_PRECONDITION', `VolumeAttachment ${action.object} is not deleted: ${why}`, {
    hint: 'see docs/csi.md for what has to be true before one may be deleted',
  });
}

function guardOf(action: Action): DeleteAttachmentGuard {
  if (action.guard.kind !== 'delete-attachment') throw new Error(`delete-attachment with ${action.guard.kind}`);
  return action.guard;
}
