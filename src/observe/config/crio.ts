import { SandwardenError } from '../../model/errors.ts';
import type { ConfigFile, FileLine, HandlerSettings, RuntimeConfigFacts } from '../../model/runtime-config.ts';
import { type FileSource, glob } from './file-source.ts';
import { flagValue } from './process-files.ts';
import { parseToml, valueAt } from './toml.ts';

/**
 * CRI-O's cgroup_manager: its file, then the files of its drop-in folder by name, then its flag; default systemd.
 * Source: cri-o pkg/config/config.go UpdateFromFile, UpdateFromPath, and its default `cgroupManager`.
 * All handlers share it: they stand as one, `crio`.
 */
export async function readCrio(argv: readonly string[], source: FileSource): Promise<RuntimeConfigFacts> {
  const first = flagValue(argv, 'config', 'c') ?? '/etc/crio/crio.conf';
  const folder = flagValue(argv, 'config-dir', 'd') ?? '/etc/crio/crio.conf.d';
  const dropIns = await glob(`${folder}/*`, source);
  const files: ConfigFile[] = [];
  let given: { value: string; at?: FileLine } | undefined;
  let refusal: RuntimeConfigFacts['refusal'];
  for (const path of [first, ...dropIns]) {
    const file = await source.read(path);
    if (file === undefined) continue;
    files.push({ path, ...(file.modifiedNs === undefined ? {} : { modifiedNs: file.modifiedNs }) });
    const parsed = await parseToml(file.text, path, true);
    if (!parsed.ok) {
      refusal = { text: `it is no valid TOML: ${parsed.message}`, at: { file: path, line: parsed.line } };
      break;
    }
    given = valueAt(parsed.table, 'string', 'crio', 'runtime', 'cgroup_manager') ?? given;
  }
  const flag = flagValue(argv, 'cgroup-manager');
  if (flag !== undefined) given = { value: flag };
  return {
    rule: 'cri-o',
    file: first,
    fileFrom: flagValue(argv, 'config', 'c') === undefined ? "CRI-O's default" : 'its command line',
    files,
    lost: [],
    ...(refusal ? { refusal } : { settings: settingsOf(given) }),
  };
}

function settingsOf(given: { value: string; at?: FileLine } | undefined): HandlerSettings {
  const manager = given?.value ?? 'systemd';
  if (manager !== 'systemd' && manager !== 'cgroupfs') {
    throw new SandwardenError('ERR_CONFIG', 'cgroup_manager is neither systemd nor cgroupfs', {
      hint: 'CRI-O does not start with it: put it right.',
    });
  }
  const systemdCgroup = manager === 'systemd';
  return {
    handlers: [{ name: 'crio', systemdCgroup, ...(given?.at ? { at: given.at } : {}) }],
    defaultHandler: 'crio',
  };
}
