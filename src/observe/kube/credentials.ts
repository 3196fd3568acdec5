import { delimiter, join } from 'node:path';
import { type KubeAccess, serverUrl } from '../../kube/access.ts';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { safeText } from '../../model/safe-text.ts';
import type { Run } from '../child.ts';
import { systemClock } from '../clock.ts';
import { readText } from '../read-file.ts';
import { addressesByGetent } from './addresses.ts';
import { type ReadOptions, readKubeconfig } from './kubeconfig.ts';
import { readConfig } from './material.ts';
import { tokenFileSource } from './token-file.ts';

/** The kubeconfigs of a node that are looked for where nothing names one, in this order. */
export const knownKubeconfigs = [
  { path: '/etc/kubernetes/kubelet.conf', of: 'kubelet (kubeadm)', may: 'node' },
  { path: '/var/lib/kubelet/kubeconfig', of: 'kubelet', may: 'node' },
  { path: '/var/lib/rancher/k3s/agent/kubelet.kubeconfig', of: 'k3s', may: 'node' },
  { path: '/var/lib/rancher/rke2/agent/kubelet.kubeconfig', of: 'RKE2', may: 'node' },
  { path: '/var/lib/k0s/kubelet.conf', of: 'k0s', may: 'node' },
  { path: '/var/snap/microk8s/current/credentials/kubelet.config', of: 'MicroK8s', may: 'node' },
  { path: '/etc/rancher/k3s/k3s.yaml', of: 'k3s', may: 'admin' },
  { path: '/etc/rancher/rke2/rke2.yaml', of: 'RKE2', may: 'admin' },
  { path: '/etc/kubernetes/admin.conf', of: 'kubeadm', may: 'admin' },
  { path: '/var/lib/k0s/pki/admin.conf', of: 'k0s', may: 'admin' },
] as const;

/** Where a pod finds the token of its service account. */
export const serviceAccountFolder = '/var/run/secrets/kubernetes.io/serviceaccount';

/** All that is tried, in order, in the words of the documentation. */
export const credentialOrder: readonly string[] = [
  '--kubeconfig',
  'KUBECONFIG',
  serviceAccountFolder,
  ...knownKubeconfigs.map(({ path }) => path),
];

export interface CredentialOptions {
  /** The value of `--kubeconfig`. */
  readonly flag?: string;
  /** The context to take in place of a file's current one; then only a kubeconfig will do. */
  readonly context?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A prefix of every path that is not named by the flag or the environment: where the node is mounted, or a test. */
  readonly root?: string;
  /**
   * Who asks: a `node` about itself (where absent), or a `person` about a cluster. A person's own kubeconfig may be of
   * any cluster and says nothing about this node; a node's credentials show no cluster. `kubelet`: none but its own.
   */
  readonly of?: 'node' | 'person' | 'kubelet';
  /** How programs are run; the port that tests replace. */
  readonly run?: Run;
}

/**
 * The credentials to ask the API server with: the first of `credentialOrder` that is there; undefined where none is.
 * A known file that may not be read is passed over if a later one may. Throws ERR_CONFIG, ERR_NOT_SUPPORTED and
 * ERR_FORBIDDEN as readKubeconfig does: what is there and broken is not passed over.
 */
export async function findKubeAccess(options: CredentialOptions = {}): Promise<KubeAccess | undefined> {
  const { flag, env = {}, of: asker = 'node' } = options;
  if (flag !== undefined) return named(flag, options);
  if (asker === 'kubelet') return knownAccess(options);
  const files = (env.KUBECONFIG ?? '').split(delimiter).filter((path) => path !== '');
  if (files.length > 0) {
    const from = `KUBECONFIG (${safeText(env.KUBECONFIG ?? '', 300)})`;
    const access = await readKubeconfig(files, { from, ...readOptions(options) });
    if (access) return access;
  }
  if (asker === 'node') return (await inCluster(options)) ?? (await knownAccess(options));
  const own = await ownAccess(options);
  return own ?? (await inCluster(options)) ?? (await knownAccess(options));
}

function readOptions({ env, context, run }: CredentialOptions): Partial<ReadOptions> {
  return {
    ...(env === undefined ? {} : { env }),
    ...(context === undefined ? {} : { context }),
    ...(run === undefined ? {} : { run }),
  };
}

async function named(path: string, options: CredentialOptions): Promise<KubeAccess> {
  const from = `--kubeconfig ${safeText(path, 300)}`;
  const access = await readKubeconfig(path, { from, ...readOptions(options), isNamed: true });
  if (access) return access;
  throw new SandwardenError('ERR_CONFIG', `there is no kubeconfig '${safeText(path, 300)}'`, {
    hint: 'Name a file that is there with --kubeconfig, or leave the option out.',
  });
}

/** The file that kubectl takes where nothing names one. */
async function ownAccess(options: CredentialOptions): Promise<KubeAccess | undefined> {
  const home = options.env?.HOME;
  if (!home) return undefined;
  const path = join(home, '.kube', 'config');
  return readKubeconfig(path, { from: safeText(path, 300), ...readOptions(options) });
}

/** As client-go rest.InClusterConfig: both variables and the token must be there. */
async function inCluster({ env = {}, root = '', context, run }: CredentialOptions): Promise<KubeAccess | undefined> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (!host || !port || context !== undefined) return undefined;
  const folder = `${root}${serviceAccountFolder}`;
  const tokenFile = `${folder}/token`;
  if ((await readText(tokenFile, limits.configBytes)) === undefined) return undefined;
  const server = serverUrl(`https://${host.includes(':') ? `[${host}]` : host}:${port}`);
  if (!(server instanceof URL)) {
    throw new SandwardenError('ERR_CONFIG', `KUBERNETES_SERVICE_HOST and _PORT: the server ${server.problem}`, {
      hint: 'Kubernetes sets them in each pod; unset them elsewhere.',
    });
  }
  const ca = await readConfig(`${folder}/ca.crt`);
  const from = 'the service account of this pod';
  const source = tokenFileSource(tokenFile, from);
  const around = { addressesOf: addressesByGetent(run), wallNs: systemClock().wallNs };
  return { from, server, source, ...around, ...(ca === undefined ? {} : { ca }) };
}

async function knownAccess(options: CredentialOptions): Promise<KubeAccess | undefined> {
  const { root = '', of: asker = 'node' } = options;
  let forbidden: SandwardenError | undefined;
  for (const { path, may } of knownKubeconfigs) {
    if (asker !== 'node' && may !== (asker === 'person' ? 'admin' : 'node')) continue;
    try {
      const access = await readKubeconfig(`${root}${path}`, { from: path, root, ...readOptions(options) });
      if (access) return access;
    } catch (error) {
      if (!(error instanceof SandwardenError) || error.code !== 'ERR_FORBIDDEN') throw error;
      forbidden ??= error;
    }
  }
  if (forbidden) throw forbidden;
  return undefined;
}
