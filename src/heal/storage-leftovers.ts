import { limits } from '../model/limits.ts';
import type { DeleteAttachmentGuard, DeletePodGuard, UnlinkGuard } from '../model/plan.ts';
import { within } from './deadline.ts';
import type { World } from './ports.ts';
import type { Resumed } from './progress.ts';

/** What became of a deletion whose end was not written down. */
export async function storageLeftover(
  guard: UnlinkGuard | DeletePodGuard | DeleteAttachmentGuard,
  { clock, storage }: World,
  signal: AbortSignal,
): Promise<Pick<Resumed, 'found' | 'why'>> {
  if (storage === undefined) return undone('nobody can say whether it was done');
  const ms = limits.kubeWriteTimeoutMs;
  return await within({ clock, ms, doing: `looking after ${guard.kind}`, signal }, async () => {
    switch (guard.kind) {
      case 'unlink-socket': {
        const now = await storage.readRegistration(guard.path);
        const same = now?.inode === guard.inode && now.device === guard.device;
        return same ? undone('the file is still there') : done('the file is not there any more');
      }
      case 'delete-pod': {
        const now = await storage.readPodObject(guard.namespace, guard.name);
        const same = now?.pod.uid === guard.uid && !now.pod.deleting;
        return same ? undone('the pod is still there') : done('the pod is gone or going');
      }
      case 'delete-attachment': {
        const now = await storage.readAttachment(guard.name);
        const same = now?.attachment.uid === guard.uid && now.attachment.deletingSinceNs === undefined;
        return same ? undone('it is still there') : done('it is gone or going');
      }
    }
  });
}

function done(why: string): Pick<Resumed, 'found' | 'why'> {
  return { found: 'done', why: `found done: ${why}` };
}

function undone(why: string): Pick<Resumed, 'found' | 'why'> {
  return { found: 'undone', why: `cut off by a crash: ${why}` };
}
