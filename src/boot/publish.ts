import type { KubeClient } from '../kube/client.ts';
import type { Clock } from '../model/clock.ts';
import type { ErrorCode } from '../model/errors.ts';
import { uncleanBootAnnotation } from '../model/fleet.ts';
import { limits } from '../model/limits.ts';
import { at, textOf } from '../observe/json.ts';
import { askNodeApi, type NodeApiOptions } from '../observe/kube/node-api.ts';
import { plainBootId } from '../observe/log-line.ts';

export interface PublishRequest {
  /** How the API is asked. Whatever it says, only kubelet's own credentials, or those of the flag, are taken. */
  readonly api: NodeApiOptions;
  readonly clock: Clock;
  /** Of this boot, 32 hexadecimal digits. */
  readonly bootId: string;
  readonly removed: number;
  readonly left: number;
}

/**
 * Tells the cluster of this boot, which followed an unclean end: one annotation on this node's own Node, which a
 * kubelet may write (kubernetes rbac bootstrappolicy NodeRules; admission NodeRestriction: its own object, no other).
 * Until the API knows this very boot of this node, and no longer than `limits.publishMs`, it is asked again: so the
 * name of another node is never taken for ours.
 *
 * Gives what came of it, in plain words; undefined where the machine has no kubelet's credentials. Throws for a bug
 * only.
 */
export async function publishUncleanBoot(request: PublishRequest): Promise<string | undefined> {
  const { clock } = request;
  const untilNs = clock.uptimeNs() + BigInt(limits.publishMs) * 1_000_000n;
  for (let waitMs: number = limits.publishPollMs; ; waitMs = Math.min(2 * waitMs, limits.publishMaxPollMs)) {
    const tried = await tryOnce(request);
    if (!('waitFor' in tried)) return tried.told;
    if (clock.uptimeNs() + BigInt(waitMs) * 1_000_000n > untilNs) return `the cluster was not told: ${tried.waitFor}`;
    await clock.sleep(waitMs);
  }
}

type Tried = { readonly told: string | undefined } | { readonly waitFor: string };

async function tryOnce({ api, clock, bootId, removed, left }: PublishRequest): Promise<Tried> {
  let serverNs: bigint | undefined;
  const onDate = (dateNs: bigint) => {
    serverNs = dateNs;
  };
  const work = async (client: KubeClient, node: { readonly name: string }): Promise<Tried> => {
    const path = `/api/v1/nodes/${encodeURIComponent(node.name)}`;
    const object = await client.get(path);
    const uptimeNs = clock.uptimeNs();
    if (plainBootId(at(object, 'status', 'nodeInfo', 'bootID')) !== bootId) {
      return { waitFor: `the API does not know this boot of ${node.name} yet` };
    }
    // The API's clock where it tells it: this node's may be what was wrong.
    const atMs = Number(((serverNs ?? clock.wallNs()) - uptimeNs) / 1_000_000_000n) * 1_000;
    const value = JSON.stringify({ at: new Date(atMs).toISOString(), bootId, removed, left });
    const uid = textOf(at(object, 'metadata', 'uid'), 100);
    const metadata = { annotations: { [uncleanBootAnnotation]: value }, ...(uid === undefined ? {} : { uid }) };
    await client.patch(path, { metadata });
    return { told: `the cluster was told: ${uncleanBootAnnotation} on node ${node.name}` };
  };
  const answer = await askNodeApi({ ...api, of: 'kubelet' }, work, onDate);
  if (answer.known) return answer.value;
  if (answer.code === 'ERR_NOT_ASKED') return { told: undefined };
  // A file that is broken stays so. A refusal may not: an API server that has just started knows no roles yet, and a
  // clock that is behind makes a certificate one of the future.
  return final.has(answer.code) ? { told: `the cluster was not told: ${answer.message}` } : { waitFor: answer.message };
}

const final: ReadonlySet<ErrorCode> = new Set(['ERR_CONFIG', 'ERR_USAGE', 'ERR_NOT_SUPPORTED']);
