import { SandwardenError } from '../model/errors.ts';
import { orderOfVersion, type SandboxOrder } from '../model/kubelet-choice.ts';

/** What a version of kubelet does differently here. */
export interface KubeletVersion {
  /** `v1.34.9` */
  readonly text: string;
  /** How it sorts a pod's sandboxes; containers are sorted by date in every version (kubernetes#134153). */
  readonly order: SandboxOrder;
}

/** Throws ERR_USAGE where `text` is no version (`v1.34.9`). */
export function kubeletVersion(text: string): KubeletVersion {
  const order = orderOfVersion(text);
  if (order) return { text: text.startsWith('v') ? text : `v${text}`, order };
  throw new SandwardenError('ERR_USAGE', `'${text}' is not a version of kubelet`, { hint: 'Write it as v1.34.9.' });
}
