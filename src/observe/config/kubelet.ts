import { stat } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import type { CgroupDriver } from '../../model/cgroups.ts';
import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import type { KubeletFacts } from '../../model/node.ts';
import { type Observed, valueOr } from '../../model/observed.ts';
import type { KubeletLog } from '../../model/records.ts';
import type { DriverSetting, KubeletConfigFacts } from '../../model/runtime-config.ts';
import { safeText } from '../../model/safe-text.ts';
import { type Fields, openYaml } from '../kube/yaml-fields.ts';
import { isErrno } from '../read-file.ts';
import { observed } from '../unknown.ts';
import type { FileSource } from './file-source.ts';
import { flagValue, flagValues, processFiles } from './process-files.ts';

/**
 * kubelet's cgroup driver, wherever it is named, and the trees of pods that are there. Flags win over drop-ins, these
 * over the file, and that over the default (cmd/kubelet/app/server.go NewKubeletCommand; --config-dir since 1.29).
 * A kubelet inside another program (k3s, kubelite) is given its flags by that: what it was given is in the log, since
 * k3s hides its own command line, where secrets may be (gspt.SetProcTitle).
 */
export function observeKubeletConfig(
  kubelet: Observed<KubeletFacts>,
  root = '',
  log?: () => Promise<Observed<KubeletLog>>,
): Promise<Observed<KubeletConfigFacts>> {
  return observed(async () => {
    const { pid, comm } = kubelet.known ? kubelet.value : {};
    const process = pid === undefined ? undefined : await processFiles(pid, root);
    if (!process) {
      return { files: [], drivers: [], onDisk: await treesOnDisk(root, '/') };
    }
    const argv = comm === 'kubelet' ? process.argv : await flagsWithin(process.argv, log);
    const read = await readFiles(argv, process.cwd, process.files);
    const flag = flagValue(argv, 'cgroup-driver');
    const gate = gateOf(flagValue(argv, 'feature-gates')) ?? read.asksRuntime;
    const cgroupRoot = flagValue(argv, 'cgroup-root') ?? read.cgroupRoot;
    return {
      files: read.files,
      drivers: [
        ...(comm === 'kubelet' ? [{ driver: 'cgroupfs', from: 'default' } as const] : []),
        ...read.drivers,
        ...(flag === undefined ? [] : [{ driver: flag, from: 'flag' } as const]),
      ],
      ...(gate === undefined ? {} : { asksRuntime: gate }),
      ...(cgroupRoot === undefined ? {} : { cgroupRoot }),
      onDisk: await treesOnDisk(root, cgroupRoot ?? '/'),
    };
  });
}

async function flagsWithin(
  argv: readonly string[],
  log: (() => Promise<Observed<KubeletLog>>) | undefined,
): Promise<string[]> {
  const logged = log === undefined ? undefined : valueOr(await log(), undefined)?.flags;
  return logged === undefined ? kubeletArgs(argv) : ['kubelet', ...logged];
}

/** `--kubelet-arg=cgroup-driver=systemd` of k3s and RKE2, as kubelet's own flags. */
function kubeletArgs(argv: readonly string[]): string[] {
  return ['kubelet', ...flagValues(argv, 'kubelet-arg').map((each) => `--${each.replace(/^--/, '')}`)];
}

interface Read {
  readonly files: KubeletConfigFacts['files'];
  readonly drivers: readonly DriverSetting[];
  readonly asksRuntime?: boolean;
  readonly cgroupRoot?: string;
}

async function readFiles(argv: readonly string[], cwd: string, source: FileSource): Promise<Read> {
  const absolute = (path: string) => (isAbsolute(path) ? path : join(cwd, path));
  const main = flagValue(argv, 'config');
  const folder = flagValue(argv, 'config-dir');
  const paths: { path: string; from: 'file' | 'drop-in' }[] = [];
  if (main !== undefined) paths.push({ path: absolute(main), from: 'file' });
  if (folder !== undefined) {
    const names = await source.names(absolute(folder));
    // pkg/kubelet/kubeletconfig/configfiles: only what ends in .conf, in the order of the names.
    for (const name of names.filter((each) => each.endsWith('.conf'))) {
      paths.push({ path: join(absolute(folder), name), from: 'drop-in' });
    }
  }
  let read: Read = { files: [], drivers: [] };
  for (const { path, from } of paths) {
    const file = await source.read(path);
    if (file === undefined && from === 'drop-in') continue;
    if (file === undefined) {
      throw new SandwardenError('ERR_FILE', `kubelet's configuration ${safeText(path, 300)} is not there any more`, {
        hint: 'kubelet does not start again without it.',
      });
    }
    const fields = await open(file.text, path);
    const driver = fields.text('cgroupDriver');
    const line = fields.lineOf('cgroupDriver');
    const gate = fields.map('featureGates')?.text('KubeletCgroupDriverFromCRI');
    const cgroupRoot = fields.text('cgroupRoot');
    const modified = file.modifiedNs === undefined ? {} : { modifiedNs: file.modifiedNs };
    read = {
      ...read,
      files: [...read.files, { path, ...modified }],
      drivers: driver === undefined ? read.drivers : [...read.drivers, { driver, from, at: { file: path, line } }],
      ...(gate === undefined ? {} : { asksRuntime: gate === 'true' }),
      ...(cgroupRoot === undefined ? {} : { cgroupRoot }),
    };
  }
  return read;
}

async function open(text: string, path: string): Promise<Fields> {
  try {
    return await openYaml(text, path);
  } catch (error) {
    if (!isSandwardenError(error, 'ERR_CONFIG')) throw error;
    throw new SandwardenError('ERR_CONFIG', error.message, {
      hint: 'kubelet does not start with such a file: put it right.',
      cause: error,
    });
  }
}

function gateOf(gates: string | undefined): boolean | undefined {
  const value = /(?:^|,)KubeletCgroupDriverFromCRI=(true|false)(?:,|$)/.exec(gates ?? '')?.[1];
  return value === undefined ? undefined : value === 'true';
}

/** pkg/kubelet/cm: `kubepods.slice` (under `foo.slice/foo-` for a cgroup root /foo), or `kubepods`. */
async function treesOnDisk(root: string, cgroupRoot: string): Promise<CgroupDriver[]> {
  const parts = cgroupRoot.split('/').filter((each) => each !== '' && each !== '..');
  const slices = parts.map(
    (_, index) =>
      `${parts
        .slice(0, index + 1)
        .map(escaped)
        .join('-')}.slice`,
  );
  const prefix = parts.map((each) => `${escaped(each)}-`).join('');
  const found: CgroupDriver[] = [];
  // v1 has the tree in every controller's own mount.
  for (const mount of ['/sys/fs/cgroup', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup/memory']) {
    const base = `${root}${mount}`;
    if (await isFolder(join(base, ...slices, `${prefix}kubepods.slice`))) found.push('systemd');
    if (await isFolder(join(base, ...parts, 'kubepods'))) found.push('cgroupfs');
    if (found.length > 0) return found;
  }
  return found;
}

function escaped(part: string): string {
  return part.replaceAll('-', '_');
}

async function isFolder(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory();
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}
