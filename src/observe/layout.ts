import { type K3sData, k3sUnits } from './k3s-data.ts';

/** Where a distribution keeps what belongs to the runtime behind a socket. */
export interface Layout {
  /** The units the runtime may run in. */
  readonly units: readonly string[];
  /** Its log file, where it does not write to the journal. */
  readonly logFile?: string;
  /** kubelet's log file, where it does not write to the journal. */
  readonly kubeletLogFile?: string;
}

/**
 * k3s and RKE2 have one socket: which of the two it is, `hasFile` decides by their containerd.log in the directories
 * of `k3sData`, the first that has one.
 */
export async function layoutOf(
  socket: string | undefined,
  hasFile: (path: string) => Promise<boolean>,
  k3sData: () => Promise<readonly K3sData[]>,
): Promise<Layout> {
  if (socket?.startsWith('/run/k3s/')) {
    for (const { family, dataDir } of await k3sData()) {
      const logFile = `${dataDir}/agent/containerd/containerd.log`;
      if (!(await hasFile(logFile))) continue;
      const kubeletLogFile = `${dataDir}/agent/logs/kubelet.log`;
      if (family === 'k3s') return { units: k3sUnits.k3s, logFile };
      // k3s' kubelet writes to the journal of k3s.
      if (await hasFile(kubeletLogFile)) return { units: k3sUnits.rke2, logFile, kubeletLogFile };
      return { units: k3sUnits[family ?? 'k3s'], logFile };
    }
    return { units: [...k3sUnits.k3s, ...k3sUnits.rke2] };
  }
  if (socket?.startsWith('/run/k0s/')) return { units: ['k0scontroller.service', 'k0sworker.service'] };
  if (socket?.startsWith('/var/snap/microk8s/')) return { units: ['snap.microk8s.daemon-containerd.service'] };
  if (socket?.startsWith('/run/crio/') || socket?.startsWith('/var/run/crio/')) return { units: ['crio.service'] };
  return { units: ['containerd.service'] };
}
