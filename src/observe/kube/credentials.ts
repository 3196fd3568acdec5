import { delimiter } from 'node:path';
import { type KubeAccess, serverUrl } from '../../kube/access.ts';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { safeText } from '../../model/safe-text.ts';
import type { Run } from '../child.ts';
import { systemClock } from '../clock.ts';
import { readText } from '../read-file.ts';
import { addressesByGetent } from './addresses.ts';
import { readConfig, readKubeconfig } from './kubeconfig.ts';
import { tokenFileSource } from './token-file.ts';

/** The kubeconfigs of a node that are looked for where nothing names one, in this order; docs/kubernetes-access.md. */
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
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** A prefix of every path that is not named by the flag or the environment: where the node is mounted, or a test. */
  readonly root?: string;
  /** How programs are run; the port that tests replace. */
  readonly run?: Run;
}

/**
 * The credentials to ask the API server with: the first of `credentialOrder` that is there; undefined where none is.
 * A known file that may not be read is passed over if a later one may. Throws ERR_CONFIG, ERR_NOT_SUPPORTED and
 * ERR_FORBIDDEN as readKubeconfig does: what is there and broken is not passed over.
 */
export async function findKubeAccess(options: CredentialOptions = {}): Promise<KubeAccess | undefined> {
  const { flag, env = {}, root = '' } = options;
  const running = options.run === undefined ? {} : { run: options.run };
  if (flag !== undefined) return named(flag, running);
  for (const path of (env.KUBECONFIG ?? '').split(delimiter)) {
    const from = `KUBECONFIG (${safeText(path, 300)})`;
    const access = path === '' ? undefined : await readKubeconfig(path, { from, ...running });
    if (access) return access;
  }
  return (await inCluster(env, root, running)) ?? (await knownAccess(root, running));
}

interface Running {
  readonly run?: Run;
}

async function named(path: string, running: Running): Promise<KubeAccess> {
  const access = await readKubeconfig(path, { from: `--kubeconfig ${safeText(path, 300)}`, ...running });
  if (access) return access;
  throw new SandwardenError('ERR_CONFIG', `there is no kubeconfig '${safeText(path, 300)}'`, {
    hint: 'Name a file that is there with --kubeconfig, or leave the option out.',
  });
}

/** As client-go rest.InClusterConfig: both variables and the token must be there. */
async function inCluster(
  env: Readonly<Record<string, string | undefined>>,
  root: string,
  { run }: Running,
): Promise<KubeAccess | undefined> {
  const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port } = env;
  if (!host || !port) return undefined;
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

async function knownAccess(root: string, running: Running): Promise<KubeAccess | undefined> {
  let forbidden: SandwardenError | undefined;
  for (const { path } of knownKubeconfigs) {
    try {
      const access = await readKubeconfig(`${root}${path}`, { from: path, root, ...running });
      if (access) return access;
    } catch (error) {
      if (!(error instanceof SandwardenError) || error.code !== 'ERR_FORBIDDEN') throw error;
      forbidden ??= error;
    }
  }
  if (forbidden) throw forbidden;
  return undefined;
}
