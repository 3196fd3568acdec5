import { SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import { didYouMean } from './frame/suggest.ts';

/** What a person may call a pod by. */
export interface NamedPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/**
 * The pod that `typed` names: `NAMESPACE/NAME` or a uid. Of several with one name (deleted and made anew) it is
 * the first: the caller puts the one that lives first. Throws ERR_USAGE with the nearest name.
 */
export function findPod<T extends NamedPod>(typed: string, pods: readonly T[]): T {
  const found = pods.find((each) => each.uid === typed || `${each.namespace}/${each.name}` === typed);
  if (found) return found;
  const names = [...new Set(pods.map((each) => `${each.namespace}/${each.name}`))];
  throw new SandwardenError('ERR_USAGE', `there is no pod '${safeText(typed, 200)}' on this node`, {
    hint: `${didYouMean(typed, names)}Name it NAMESPACE/NAME, or by its uid; 'crictl pods' lists those of this node.`,
  });
}
