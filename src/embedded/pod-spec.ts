import type { QosClass } from '../model/cgroups.ts';

/** A pod as the API gives it to kubelet. */
export interface PodSpec {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly restartPolicy: 'Always' | 'OnFailure' | 'Never';
  readonly containers: readonly PodContainer[];
  readonly hostNetwork?: boolean;
  /** Default `besteffort`: the containers ask for nothing. */
  readonly qos?: QosClass;
}

export interface PodContainer {
  readonly name: string;
  readonly runs:
    | 'forever'
    | { readonly exitsAfterMs: number; readonly code: number }
    /** A CSI driver: it listens on this socket as long as it runs. */
    | { readonly serves: string }
    /** A CSI sidecar: it ends at once, with 1, where nobody listens on this socket when it starts. */
    | { readonly needs: string };
}

/** kubelet's format.Pod: `name_namespace(uid)`. */
export function formatPod(pod: PodSpec): string {
  return `${pod.name}_${pod.namespace}(${pod.uid})`;
}

/** What the API server keeps of the pods; it outlives the node. */
export type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/** Whether a pod is over for good. */
export function isTerminal(phase: Phase | undefined): boolean {
  return phase === 'Succeeded' || phase === 'Failed';
}
