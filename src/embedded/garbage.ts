import type { Container, Sandbox } from '../model/sandbox.ts';
import type { Klog } from './klog.ts';
import { CallFailed, type RuntimeService } from './runtime-service.ts';

/** Sources: kuberuntime_gc.go evictContainers and evictSandboxes; pod_container_deletor.go. */
export interface Garbage {
  readonly runtime: RuntimeService;
  readonly klog: Klog;
  /** Whether the API knows the pod. */
  readonly isKnown: (podUid: string) => boolean;
}

/** One cycle: dead containers but the newest of each name, then idle sandboxes but the newest of each pod. */
export async function collectGarbage(garbage: Garbage): Promise<void> {
  try {
    await evictContainers(garbage);
    await evictSandboxes(garbage);
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    garbage.klog('E', 'kubelet.go:1440', 'Container garbage collection failed', { err: error.message });
  }
}

/** A container has died: older dead ones of its name go, one is kept. */
export async function deleteDeadContainers({ runtime, klog }: Garbage, podUid: string, died: string): Promise<void> {
  try {
    const containers = await runtime.listContainers(podUid);
    const name = containers.find((each) => each.id === died)?.name;
    if (name === undefined) {
      klog('I', 'pod_container_deletor.go:80', "Container not found in pod's containers", { containerID: died });
      return;
    }
    const dead = containers.filter((each) => each.name === name && each.state === 'exited').sort(newestFirst);
    for (const each of dead.slice(1)) await removeContainer({ runtime, klog }, each);
  } catch (error) {
    // What could not be listed or removed now is garbage for the next cycle.
    if (!(error instanceof CallFailed)) throw error;
  }
}

async function evictContainers(garbage: Garbage): Promise<void> {
  const byUnit = new Map<string, Container[]>();
  for (const each of await garbage.runtime.listContainers()) {
    if (each.state === 'running') continue;
    const unit = `${each.podUid}/${each.name}`;
    byUnit.set(unit, [...(byUnit.get(unit) ?? []), each]);
  }
  for (const unit of byUnit.values()) {
    const keep = unit.some((each) => garbage.isKnown(each.podUid)) ? 1 : 0;
    for (const each of unit.sort(newestFirst).slice(keep)) await removeContainer(garbage, each);
  }
}

async function evictSandboxes(garbage: Garbage): Promise<void> {
  const { runtime, isKnown } = garbage;
  const containers = await runtime.listContainers();
  const used = new Set(containers.map((each) => each.sandboxId));
  const byPod = new Map<string, Sandbox[]>();
  for (const each of await runtime.listSandboxes()) byPod.set(each.uid, [...(byPod.get(each.uid) ?? []), each]);
  for (const [uid, sandboxes] of byPod) {
    const keep = isKnown(uid) ? 1 : 0;
    const evictable = sandboxes.sort(newestFirst).slice(keep).reverse();
    for (const each of evictable) {
      if (each.state !== 'ready' && !used.has(each.id)) await removeSandbox(garbage, each);
    }
  }
}

async function removeSandbox({ runtime, klog }: Garbage, { id }: Sandbox): Promise<void> {
  try {
    await runtime.stopSandbox(id);
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    klog('E', 'kuberuntime_gc.go:177', 'Failed to stop sandbox before removing', { err: error.message, sandboxID: id });
    return;
  }
  try {
    await runtime.removeSandbox(id);
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    klog('E', 'kuberuntime_gc.go:181', 'Failed to remove sandbox', { err: error.message, sandboxID: id });
  }
}

async function removeContainer({ runtime, klog }: Pick<Garbage, 'runtime' | 'klog'>, { id }: Container): Promise<void> {
  klog('I', 'scope.go:117', 'RemoveContainer', { containerID: id });
  try {
    await runtime.removeContainer(id);
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    klog('E', 'kuberuntime_gc.go:150', 'Failed to remove container', { err: error.message, containerID: id });
  }
}

/** By date in every version, newest first. */
function newestFirst(a: { createdAtNs: bigint }, b: { createdAtNs: bigint }): number {
  return a.createdAtNs > b.createdAtNs ? -1 : a.createdAtNs < b.createdAtNs ? 1 : 0;
}
