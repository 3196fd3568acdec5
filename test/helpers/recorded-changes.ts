import type { ControllerChanges, SliceWriter } from '../../src/model/controller-changes.ts';
import type { Moment } from '../../src/model/records.ts';

/**
 * Who wrote, as fanotify-subtree-control.txt has it: `1795291380.771 pid=1 comm=systemd /sys/fs/cgroup/…/
 * cgroup.subtree_control`. What was written is not in it. `node`: the boot, and when it began by the same wall clock.
 */
export function recordedChanges(text: string, node: { bootId: string; bootedAtNs: bigint }): ControllerChanges {
  const writers = new Map<string, SliceWriter>();
  const moments: Moment[] = [];
  for (const line of text.split('\n')) {
    const [, seconds = '', ms = '', pid, comm = '', slice] =
      /^(\d+)\.(\d{3}) pid=(\d+) comm=(\S+) \/sys\/fs\/cgroup(\/.*)?\/cgroup\.subtree_control$/.exec(line) ?? [];
    if (pid === undefined) continue;
    const path = slice ?? '/';
    const wallNs = BigInt(seconds) * 1_000_000_000n + BigInt(ms) * 1_000_000n;
    const at = { wallNs, bootId: node.bootId, monotonicUs: (wallNs - node.bootedAtNs) / 1_000n };
    moments.push(at);
    const key = `${path} ${pid} ${comm}`;
    const known = writers.get(key);
    writers.set(
      key,
      known === undefined
        ? { path, writer: { pid: Number(pid), comm }, count: 1, first: at, last: at }
        : { ...known, count: known.count + 1, last: at },
    );
  }
  const [since, until] = [moments[0], moments.at(-1)];
  if (since === undefined || until === undefined) throw new Error('nobody wrote');
  return { since, until, by: 'fanotify', writers: [...writers.values()], overflows: 0, truncated: false };
}
