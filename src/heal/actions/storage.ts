import { SandwardenError } from '../../model/errors.ts';
import type { World } from '../ports.ts';
import type { StorageWorld } from '../storage-world.ts';

/** CSI and the API of a world; throws ERR_NOT_SUPPORTED where it has none. */
export function storageOf(world: World): StorageWorld {
  if (world.storage !== undefined) return world.storage;
  throw new SandwardenError(
    'ERR_NOT_SUPPORTED',
    'neither the plugin sockets nor the Kubernetes API can be reached here',
    {
      hint: 'Run it on the node itself, with credentials for the Kubernetes API (--kubeconfig FILE).',
    },
  );
}
