import { connectKube, type KubeClient, type KubeClientOptions } from '../../kube/client.ts';
import type { Clock } from '../../model/clock.ts';
import { limits } from '../../model/limits.ts';
import { known, type Observed, type Unknown, unknown } from '../../model/observed.ts';
import { unknownFrom } from '../unknown.ts';
import { type CredentialOptions, findKubeAccess } from './credentials.ts';
import { type NodeName, nodeNameOf } from './node-name.ts';

/** How this node's part of the Kubernetes API is asked. */
export interface NodeApiOptions extends CredentialOptions, KubeClientOptions {
  /** The name of the machine, for nodes whose credentials do not say what they are called. */
  readonly hostname: string;
  /** The value of `--node-name`. */
  readonly nodeName?: string;
  readonly signal?: AbortSignal;
}

/**
 * What `ask` gets of the Kubernetes API with the credentials of this node, over a connection that is closed after it;
 * `onDate` gets the date of the server's answers (HTTP). Whatever goes wrong, in `ask` too, is Unknown with its reason.
 * ERR_NOT_ASKED: there are no credentials on this machine.
 */
export async function askNodeApi<T>(
  options: NodeApiOptions,
  ask: (client: KubeClient, node: NodeName) => Promise<T>,
  onDate?: (dateNs: bigint) => void,
): Promise<Observed<T>> {
  let client: KubeClient | undefined;
  try {
    const access = await findKubeAccess(options);
    if (!access) {
      const hint = 'Name a kubeconfig with --kubeconfig FILE; docs/kubernetes-access.md says what is looked for.';
      return unknown('ERR_NOT_ASKED', 'no Kubernetes credentials were found on this node', hint);
    }
    const node = nodeNameOf(access, options.hostname, options.nodeName);
    client = connectKube({ ...access, ...(onDate === undefined ? {} : { onDate }) }, options);
    return known(await ask(client, node));
  } catch (error) {
    return unknownFrom(error);
  } finally {
    client?.close();
  }
}

/**
 * `ask` for one that looks again and again: an API that could not be reached is left alone for
 * `limits.kubeAskAgainAfterMs`, and what was said about it is said again. `answer` is the part of what `ask` gives that
 * tells of it; `same` gives the whole again.
 */
export function askerAgain<T>(
  ask: (hostname: string) => Promise<T>,
  clock: Clock,
  answer: (seen: T) => Observed<unknown>,
  same: (why: Unknown) => T,
): (hostname: string) => Promise<T> {
  let down: { readonly why: Unknown; readonly untilNs: bigint } | undefined;
  return async (hostname) => {
    if (down !== undefined && clock.uptimeNs() < down.untilNs) return same(down.why);
    const seen = await ask(hostname);
    const untilNs = clock.uptimeNs() + BigInt(limits.kubeAskAgainAfterMs) * 1_000_000n;
    const why = answer(seen);
    down = !why.known && why.code === 'ERR_KUBE_UNREACHABLE' ? { why, untilNs } : undefined;
    return seen;
  };
}

/** `observe` of one answer for one that looks again and again; see askerAgain. */
export function asksAgain<T>(
  observe: (options: NodeApiOptions) => Promise<Observed<T>>,
  options: Omit<NodeApiOptions, 'hostname'>,
  clock: Clock,
): (hostname: string) => Promise<Observed<T>> {
  const ask = (hostname: string) => observe({ ...options, hostname });
  return askerAgain<Observed<T>>(
    ask,
    clock,
    (seen) => seen,
    (why) => why,
  );
}
