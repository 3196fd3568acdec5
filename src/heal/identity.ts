import { limits } from '../model/limits.ts';
import { within } from './deadline.ts';
import type { Identity, World } from './ports.ts';

/** The runtime and the kubelet that answer now. Throws ERR_SOCKET_HUNG after its deadline. */
export function readIdentity(run: { readonly world: World; readonly signal: AbortSignal }): Promise<Identity> {
  const ms = limits.criReadTimeoutMs + limits.connectTimeoutMs;
  const doing = 'looking which runtime and which kubelet run';
  return within({ clock: run.world.clock, ms, doing, signal: run.signal }, () => run.world.readIdentity());
}
