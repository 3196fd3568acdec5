import { openYaml } from '../kube/yaml-fields.ts';
import type { Rooted } from './rooted.ts';
import { flagIn, type UnitFacts } from './unit-files.ts';

/** What k3s or RKE2 is told, as far as it moves what boot healing needs. */
export interface K3sOptions {
  readonly dataDir: string;
  /** Where another runtime than its own child is named. */
  readonly runtimeEndpoint?: string;
  readonly docker: boolean;
  readonly from: readonly string[];
}

/**
 * The options of a k3s or RKE2 unit: its command line, then config.yaml and config.yaml.d, then its environment.
 * Source: k3s pkg/configfilearg (files are put before the flags, later ones win), pkg/cli/cmds.
 * Throws ERR_CONFIG for a configuration that is no YAML.
 */
export async function k3sOptions(files: Rooted, unit: UnitFacts, family: 'k3s' | 'rke2'): Promise<K3sOptions> {
  const words = unit.execStart.at(-1) ?? [];
  const upper = family.toUpperCase();
  const main =
    flagIn(words, '--config', '-c') ??
    unit.environment.get(`${upper}_CONFIG_FILE`) ??
    `/etc/rancher/${family}/config.yaml`;
  const dropIns = (await files.names(`${main}.d`)).filter((name) => /\.ya?ml$/.test(name));
  const from = [unit.path, ...unit.dropIns];
  const values = new Map<string, string>();
  for (const path of [main, ...dropIns.map((name) => `${main}.d/${name}`)]) {
    const text = await files.read(path);
    if (text === undefined) continue;
    from.push(path);
    if (!/^\s*[^\s#]/m.test(text)) continue;
    const fields = await openYaml(text, path);
    for (const key of ['data-dir', 'container-runtime-endpoint', 'docker']) {
      const value = fields.text(key);
      if (value !== undefined) values.set(key, value);
    }
  }
  const endpoint =
    flagIn(words, '--container-runtime-endpoint') ??
    values.get('container-runtime-endpoint') ??
    unit.environment.get(`${upper}_CONTAINER_RUNTIME_ENDPOINT`);
  return {
    dataDir:
      flagIn(words, '--data-dir', '-d') ??
      values.get('data-dir') ??
      unit.environment.get(`${upper}_DATA_DIR`) ??
      `/var/lib/rancher/${family}`,
    ...(endpoint === undefined ? {} : { runtimeEndpoint: endpoint }),
    docker: words.includes('--docker') || values.get('docker') === 'true',
    from,
  };
}
