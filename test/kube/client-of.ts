import type { KubeAccess } from '../../src/kube/access.ts';
import { connectKube, type KubeClient, type KubeClientOptions } from '../../src/kube/client.ts';

/** Access to a server of this machine, as anybody. */
export function accessTo(url: string, over: Partial<KubeAccess> = {}): KubeAccess {
  return { from: 'the test', server: new URL(url), wallNs: () => BigInt(Date.now()) * 1_000_000n, ...over };
}

/** A client of a server of this machine. */
export function clientOf({ url }: { readonly url: string }, options: KubeClientOptions = {}): KubeClient {
  return connectKube(accessTo(url), options);
}
