import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isSandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import type { KubeletFacts } from '../model/node.ts';
import type { Run } from '../observe/child.ts';
import { kubeletUnits } from '../observe/journal.ts';
import { isErrno } from '../observe/read-file.ts';
import type { BootConf } from './boot-conf.ts';

type Version = Required<Pick<KubeletFacts, 'version' | 'versionFrom'>>;

/**
 * The version of the kubelet that will start, which decides how it sorts: by its binary, else by what it logged last
 * (also in an earlier boot). A binary is run only if it is root's and nobody else may write it.
 */
export async function installedKubelet(conf: BootConf, run: Run, root = ''): Promise<Version | undefined> {
  for (const path of binariesOf(conf)) {
    if (!(await isRoots(`${root}${path}`))) continue;
    const version = versionSaid(await outputOf([`${root}${path}`, '--version'], run));
    if (version !== undefined) return { version, versionFrom: `${path} --version` };
  }
  const units = kubeletUnits.map((unit) => `--unit=${unit}`);
  const logged = await outputOf(
    ['journalctl', '-q', '--no-pager', '-o', 'cat', '-r', '-n', '1', '-g', 'Kubelet version.*kubeletVersion', ...units],
    run,
  );
  const version = /kubeletVersion="?(v\d{1,4}\.\d{1,4}[\w.+-]{0,60})/.exec(logged)?.[1];
  return version === undefined ? undefined : { version, versionFrom: 'the last line of its log that names it' };
}

/** `Kubernetes v1.34.9`, `k3s version v1.31.6+k3s1 (6ab750f9)`, `rke2 version …`: anything else is another program. */
export function versionSaid(text: string): string | undefined {
  return /^(?:Kubernetes|k3s version|rke2 version) (v\d{1,4}\.\d{1,4}[\w.+-]{0,60})/m.exec(text.slice(0, 4_000))?.[1];
}

function binariesOf({ layout, dataDir }: BootConf): string[] {
  const folders = ['/usr/local/bin', '/usr/bin', '/opt/bin', '/opt/rke2/bin'];
  if (layout === 'containerd') return folders.map((folder) => join(folder, 'kubelet'));
  const own = dataDir === undefined ? [] : [join(dataDir, 'data/current/bin/k3s'), join(dataDir, 'bin/kubelet')];
  const names = dataDir?.includes('rke2') ? ['rke2', 'k3s'] : ['k3s', 'rke2'];
  return [...own, ...names.flatMap((name) => folders.map((folder) => join(folder, name)))];
}

async function isRoots(path: string): Promise<boolean> {
  try {
    const file = await stat(path);
    return file.isFile() && file.uid === 0 && (file.mode & 0o022) === 0 && (file.mode & 0o111) !== 0;
  } catch (error) {
    if (isErrno(error)) return false;
    throw error;
  }
}

async function outputOf(argv: readonly [string, ...string[]], run: Run): Promise<string> {
  try {
    return (await run(argv, { timeoutMs: limits.criReadTimeoutMs, maxBytes: limits.configBytes })).stdout;
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return '';
  }
}
