import { whyAttachmentStays } from '../../diagnose/csi-facts.ts';
import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Action, DeleteAttachmentGuard } from '../../model/plan.ts';
import { within } from '../deadline.ts';
import type { AttachmentObject, VolumeUse } from '../storage-world.ts';
import type { ActContext, Check, Done, Performer } from './action.ts';
import { storageOf } from './storage.ts';

/** The deletion of one VolumeAttachment that a person named. All that docs/csi.md asks for is read again before. */
export const deleteAttachment: Performer = { kind: 'delete-attachment', inFlight: 1, check, perform };

interface Now {
  readonly found: AttachmentObject;
  /** What the nodes say of the volume; undefined where nobody can say which volume it is. */
  readonly use: VolumeUse | undefined;
  readonly mounted: boolean;
}

/**
 * What speaks against it by what is read now: undefined where nothing does. This node runs, for we run on it: so only
 * an attachment that never succeeded may go, of a volume that no node uses or has and that is not mounted here.
 * Pure. Source: kube-controller-manager attachdetach reconciler.go (volumesInUse, volumesAttached), csi_attacher.go.
 */
export function againstDeletion(guard: DeleteAttachmentGuard, { found, use, mounted }: Now): string | undefined {
  if (found.attachment.uid !== guard.uid) return 'another VolumeAttachment has its name by now';
  const why = whyAttachmentStays(found.attachment);
  if (why !== undefined) return why;
  if (use === undefined) return 'its PersistentVolume does not say which volume it is';
  if (!use.knowsThisNode) return 'the API does not know this node';
  if (use.inUseOn.length > 0)
    return `kubelet of ${namesOf(use.inUseOn)} has the volume in use (node.status.volumesInUse)`;
  if (use.attachedTo.length > 0) {
    return `the volume is attached to ${namesOf(use.attachedTo)} (node.status.volumesAttached)`;
  }
  return mounted ? 'the volume is mounted on this node' : undefined;
}

function namesOf([first = '', ...more]: readonly string[]): string {
  return more.length === 0 ? first : `${first} and of ${more.length} more`;
}

async function check(action: Action, context: ActContext): Promise<Check> {
  const guard = guardOf(action);
  const now = await read(guard, context);
  if (now.found === undefined) return { already: 'it is gone already' };
  const why = againstDeletion(guard, { ...now, found: now.found });
  if (why !== undefined) return { surprise: changed(action, why) };
  const error = now.found.attachment.attachError?.message ?? '';
  return { go: true, read: `attached=false, ${error}; in no node's volumesInUse, not mounted on this node` };
}

async function perform(action: Action, context: ActContext): Promise<Done> {
  const guard = guardOf(action);
  const { found, use, mounted } = await read(guard, context);
  if (found === undefined) return { result: 'already', why: 'it was gone already' };
  const why = againstDeletion(guard, { found, use, mounted });
  if (why !== undefined) throw changed(action, why);
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
    const found = await storage.readAttachment(guard.name);
    if (found === undefined) return { found, use: undefined, mounted: true };
    const { handle } = found;
    // csi_plugin.go GetVolumeName, volume/util GetUniqueVolumeName.
    const name = handle === undefined ? undefined : `kubernetes.io/csi/${guard.driver}^${handle}`;
    const use = name === undefined ? undefined : await storage.readVolumeUse(name);
    return { found, use, mounted: await storage.isMounted(found) };
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
