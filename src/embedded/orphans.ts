import type { Klog } from './klog.ts';
import { CallFailed, type RuntimeService } from './runtime-service.ts';

/**
 * Ends what runs of a pod that nobody knows: one that the API deleted while no kubelet ran, or before this one had a
 * worker for it. Its containers have a second. What fails is tried again by the next round of housekeeping.
 * Source: kubelet_pods.go HandlePodCleanups (PodTerminationGracePeriodSecondsOverride).
 */
export async function killOrphan(runtime: RuntimeService, klog: Klog, podUID: string): Promise<void> {
  try {
    const containers = await runtime.listContainers(podUID);
    const running = containers.filter((each) => each.state === 'running');
    await Promise.all(
      running.map(({ id, name }) => {
        const values = { podUID, containerName: name, containerID: `containerd://${id}`, gracePeriod: '1' };
        klog('I', 'kuberuntime_container.go:873', 'Killing container with a grace period', values);
        return runtime.stopContainer(id, 1_000);
      }),
    );
    for (const each of await runtime.listSandboxes(podUID)) await runtime.stopSandbox(each.id);
  } catch (error) {
    // The runtime service has logged it.
    if (!(error instanceof CallFailed)) throw error;
  }
}
