import type { EmbeddedNode } from '../../../src/embedded/node.ts';
import type { PodSpec } from '../../../src/embedded/pod-spec.ts';

/** The status of a pod as its kubelet reports it: from what the embedded node's runtime has of it now. */
export function kubeletState(node: EmbeddedNode, spec: PodSpec): Record<string, unknown> {
  const { disk, tasks } = node.machine;
  const containerStatuses = spec.containers.map(({ name }) => {
    const newest = [...disk.containers.values()]
      .filter((each) => each.podUid === spec.uid && each.config.name === name)
      .sort((a, b) => b.config.attempt - a.config.attempt)[0];
    const alive = newest !== undefined && tasks.has(newest.id) && tasks.get(newest.id)?.exit === undefined;
    const sandboxLives = newest !== undefined && node.pauseAlive(newest.sandboxId);
    const ended = newest?.finishedAtNs ? date(newest.finishedAtNs) : undefined;
    const exit = { exitCode: newest?.exitCode ?? 0, reason: newest?.reason || 'Error', finishedAt: ended };
    const state = alive
      ? { running: {} }
      : newest === undefined || !sandboxLives
        ? { waiting: { reason: 'ContainerCreating' } }
        : spec.restartPolicy === 'Always'
          ? { waiting: { reason: 'CrashLoopBackOff', message: `back-off 5m0s restarting failed container=${name}` } }
          : { terminated: exit };
    return {
      name,
      state,
      lastState: ended !== undefined && !alive ? { terminated: exit } : {},
      ready: alive,
      restartCount: newest?.config.attempt ?? 0,
    };
  });
  const phase = node.pods().find((each) => each.uid === spec.uid)?.phase ?? 'Pending';
  return { phase, containerStatuses };
}

function date(ns: bigint): string {
  return `${new Date(Number(ns / 1_000_000n)).toISOString().slice(0, 19)}Z`;
}
