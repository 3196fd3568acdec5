import type { Rig } from '../src/embedded/rig.ts';

/** How many RunPodSandbox calls are in flight at once: more only queue behind containerd's serial commits. */
const inFlight = 8;

/**
 * Makes `count` ghosts on a rig that is running: sandboxes of as many pods, then a power cut and a start.
 * Gives the ghosts' ids. Throws where the rig does not come back.
 */
export async function manyGhosts(rig: Rig, count: number, options: { podNetwork?: boolean } = {}): Promise<string[]> {
  const ids = await manySandboxes(rig, count, options);
  await rig.powerCut();
  const started = await rig.start();
  if (!started.ok) throw new Error(`${rig.name} did not come back after the power cut: ${started.fatal}`);
  return ids;
}

/**
 * Sandboxes of `count` pods, for benchmarks: 300 take 12 to 23 s on two busy cores (a shim and a runc each).
 * With the network of the host no CNI plugin and no network namespace is needed, which is faster; with `podNetwork`
 * each removal costs a CNI DEL, as on a node.
 */
export async function manySandboxes(
  rig: Rig,
  count: number,
  options: { podNetwork?: boolean } = {},
): Promise<string[]> {
  const ids: string[] = [];
  let next = 0;
  const worker = async () => {
    for (let index = next++; index < count; index = next++) {
      const uid = `00000000-0000-4000-8000-${String(index).padStart(12, '0')}`;
      const pod = { name: `ghost-${index}`, namespace: 'default', uid, attempt: 0 };
      ids.push(await rig.cri.runSandbox({ ...pod, hostNetwork: options.podNetwork !== true }));
    }
  };
  await Promise.all(Array.from({ length: Math.min(inFlight, count) }, worker));
  return ids;
}
