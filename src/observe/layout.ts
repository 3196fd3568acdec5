/** Where a distribution keeps what belongs to the runtime behind a socket. */
export interface Layout {
  /** The units the runtime may run in. */
  readonly units: readonly string[];
  /** Its log file, where it does not write to the journal. */
  readonly logFile?: string;
  /** kubelet's log file, where it does not write to the journal. */
  readonly kubeletLogFile?: string;
}

const k3s = {
  units: ['k3s.service', 'k3s-agent.service'],
  logFile: '/var/lib/rancher/k3s/agent/containerd/containerd.log',
};
const rke2 = {
  units: ['rke2-server.service', 'rke2-agent.service'],
  logFile: '/var/lib/rancher/rke2/agent/containerd/containerd.log',
  kubeletLogFile: '/var/lib/rancher/rke2/agent/logs/kubelet.log',
};

/** k3s and RKE2 have one socket: which of the two it is, `hasFile` decides by their containerd.log. */
export async function layoutOf(
  socket: string | undefined,
  hasFile: (path: string) => Promise<boolean>,
): Promise<Layout> {
  if (socket?.startsWith('/run/k3s/')) {
    if (await hasFile(rke2.logFile)) {
      const { kubeletLogFile, ...rest } = rke2;
      return (await hasFile(kubeletLogFile)) ? rke2 : rest;
    }
    return (await hasFile(k3s.logFile)) ? k3s : { units: [...k3s.units, ...rke2.units] };
  }
  if (socket?.startsWith('/run/k0s/')) return { units: ['k0scontroller.service', 'k0sworker.service'] };
  if (socket?.startsWith('/var/snap/microk8s/')) return { units: ['snap.microk8s.daemon-containerd.service'] };
  if (socket?.startsWith('/run/crio/') || socket?.startsWith('/var/run/crio/')) return { units: ['crio.service'] };
  return { units: ['containerd.service'] };
}
