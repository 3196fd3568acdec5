import type { Pod } from '../model/node.ts';
import type { NameHeld } from '../model/records.ts';
import type { Sandbox } from '../model/sandbox.ts';
import { times } from './words.ts';

/** Whether kubelet wants to run a pod, and how that is known. What is not known is never taken for a yes. */
export interface Wanted {
  readonly wants: 'yes' | 'no' | 'unknown';
  readonly because: string;
}

/**
 * The API's word counts first (kubelet.go SyncPod: a Succeeded or Failed pod is never run again); without it,
 * only what kubelet itself does: it asks for a sandbox, or keeps one READY.
 */
export function wantedOf(pod: Pod | undefined, sandboxes: readonly Sandbox[], errors: readonly NameHeld[]): Wanted {
  if (pod?.deleting) return { wants: 'no', because: 'the pod is being deleted' };
  if (pod?.phase === 'Succeeded' || pod?.phase === 'Failed') {
    return { wants: 'no', because: `finished pod (${pod.phase}), its logs live here` };
  }
  if (pod !== undefined) return { wants: 'yes', because: `the API says ${pod.phase || 'not finished'}` };
  const asks = errors.find((each) => each.kind === 'sandbox' || each.kind === 'container');
  if (asks !== undefined) return { wants: 'yes', because: `kubelet asks for it, ${times(asks.count)} by its log` };
  if (sandboxes.some((each) => each.state === 'ready')) return { wants: 'yes', because: 'kubelet runs it' };
  return { wants: 'unknown', because: 'nothing tells whether it has finished; if it has, its logs live here' };
}
