import { isSandwardenError } from '../model/errors.ts';
import { flagValue, processFiles } from './config/process-files.ts';
import { k3sOptions } from './installed/k3s-options.ts';
import { Rooted } from './installed/rooted.ts';
import { readUnit } from './installed/unit-files.ts';

/** The data directory of a k3s or an RKE2 that is, or may be, here. */
export interface K3sData {
  /** Absent where it is containerd's own command line that tells: that is the same for both. */
  readonly family?: 'k3s' | 'rke2';
  readonly dataDir: string;
}

/** The units in which they run. */
export const k3sUnits = {
  rke2: ['rke2-server.service', 'rke2-agent.service'],
  k3s: ['k3s.service', 'k3s-agent.service'],
} as const;

/**
 * Where k3s and RKE2 keep what is theirs, the surest first: by the command line of the containerd that runs (k3s
 * pkg/agent/containerd/containerd.go starts it with `-c DATA/agent/etc/containerd/config.toml`; `--root
 * DATA/agent/containerd` in earlier versions), by their units and config.yaml, and where nobody moved it.
 */
export async function k3sData(runtimePid: number | undefined, root = ''): Promise<K3sData[]> {
  const process = runtimePid === undefined ? undefined : await processFiles(runtimePid, root);
  const argv = process?.argv ?? [];
  const config = /^(\/.*)\/agent\/etc\/containerd\/[^/]+$/.exec(flagValue(argv, 'config', 'c') ?? '')?.[1];
  const own = config ?? /^(\/.*)\/agent\/containerd\/?$/.exec(flagValue(argv, 'root') ?? '')?.[1];
  const found: K3sData[] = own === undefined ? [] : [{ dataDir: own }];
  const files = new Rooted(root);
  for (const family of ['rke2', 'k3s'] as const) {
    for (const name of k3sUnits[family]) {
      const dataDir = await dataDirOf(files, name, family);
      if (dataDir !== undefined) found.push({ family, dataDir });
    }
  }
  return [...found, ...(['rke2', 'k3s'] as const).map((family) => ({ family, dataDir: `/var/lib/rancher/${family}` }))];
}

async function dataDirOf(files: Rooted, name: string, family: 'k3s' | 'rke2'): Promise<string | undefined> {
  try {
    const unit = await readUnit(files, name);
    return unit && (await k3sOptions(files, unit, family)).dataDir.replace(/\/+$/, '');
  } catch (error) {
    // A unit or a config.yaml that may not be read, or is no YAML, names no directory; the usual one is tried then.
    if (!isSandwardenError(error)) throw error;
    return undefined;
  }
}
