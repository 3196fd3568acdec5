import { lastPart } from '../diagnose/cgroup-facts.ts';
import { pathsOf } from '../diagnose/config/drop-in.ts';
import { buildFacts } from '../diagnose/facts.ts';
import { emptyPods } from '../diagnose/rules/sw508.ts';
import { isSandwardenError } from '../model/errors.ts';
import { valueOr } from '../model/observed.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { Entry } from './entries.ts';
import type { FileNow, NodeChanges } from './node-changes.ts';
import { type OwedRestart, owedRestart } from './owed.ts';

/**
 * What a plan that writes needs beside the snapshot. It stays in memory: the files may hold passwords of registries,
 * and a snapshot must not.
 */
export interface Material {
  readonly files: ReadonlyMap<string, FileNow>;
  /** The unit kubelet runs in; the runtime's own for k3s and its like. Absent where that is not known. */
  readonly kubeletUnit?: string;
  /** All CPUs, as systemd writes them: `0-3`, `0-1 4`. */
  readonly cpus?: string;
  /** AllowedCPUs of the pods' slices that hold nothing. */
  readonly allowedCpus: ReadonlyMap<string, string>;
  /** Whether anchors can be made here: systemd answers, and it manages cpuset. */
  readonly canAnchor?: boolean;
  /** The restart of kubelet that a run was cut off before. */
  readonly owed?: OwedRestart;
}

/** Where the drop-in for the order of a runtime's unit stands. */
export function orderPath(unit: string): string {
  return `/etc/systemd/system/${unit}.d/50-sandwarden-order.conf`;
}

/** Reads what a plan may need, after a look. What cannot be read is missing in it, and refused by the plan. */
export async function gatherMaterial(
  snapshot: Snapshot,
  changes: NodeChanges,
  entries: readonly Entry[] = [],
): Promise<Material> {
  const slices = emptyPods(buildFacts(snapshot)).flatMap(({ cgroup }) => (cgroup ? [lastPart(cgroup.path)] : []));
  const config = snapshot.runtimeConfig?.known ? snapshot.runtimeConfig.value : undefined;
  const paths = config === undefined ? [] : pathsOf(config);
  for (const unit of new Set((config?.writers ?? []).map((each) => each.runtimeUnit))) paths.push(orderPath(unit));
  const files = new Map<string, FileNow>();
  for (const path of paths) {
    const now = await orUndefined(() => changes.fileNow(path));
    if (now !== undefined) files.set(path, now);
  }
  const pid = valueOr(snapshot.kubelet, undefined)?.pid;
  const kubeletUnit = pid === undefined ? undefined : await orUndefined(() => changes.unitOf(pid));
  const cpus = slices.length === 0 ? undefined : await orUndefined(() => changes.cpus());
  const canAnchor = slices.length === 0 ? undefined : await orUndefined(() => changes.canAnchor());
  const allowedCpus = new Map<string, string>();
  for (const slice of slices) {
    const value = await orUndefined(() => changes.readProperty(slice, 'AllowedCPUs'));
    if (value !== undefined) allowedCpus.set(slice, value);
  }
  const owed = owedRestart(entries, valueOr(snapshot.node, undefined)?.bootId);
  return {
    files,
    allowedCpus,
    ...(owed === undefined ? {} : { owed }),
    ...(canAnchor === true ? { canAnchor } : {}),
    ...(kubeletUnit === undefined ? {} : { kubeletUnit }),
    ...(cpus === undefined ? {} : { cpus: cpus.replaceAll(',', ' ') }),
  };
}

async function orUndefined<T>(read: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return undefined;
  }
}
