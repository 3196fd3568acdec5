import { X509Certificate } from 'node:crypto';
import { dirname, isAbsolute, join } from 'node:path';
import { createSecureContext } from 'node:tls';
import { isToken, type KubeAccess, Secret, serverUrl } from '../../kube/access.ts';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Run } from '../child.ts';
import { systemClock } from '../clock.ts';
import { readText } from '../read-file.ts';
import { addressesByGetent } from './addresses.ts';
import { tokenFileSource } from './token-file.ts';
import { type Fields, openYaml } from './yaml-fields.ts';

export interface ReadOptions {
  /** How the file was chosen. */
  readonly from: string;
  /** A prefix of the absolute paths in the file: where the node's own file system is mounted. */
  readonly root?: string;
  /** How programs are run; the port that tests replace. */
  readonly run?: Run;
}

/**
 * The access that the current context of a kubeconfig gives; undefined where the file is not there. Relative paths in
 * it are resolved against its folder; no program that it names is run.
 * Throws ERR_CONFIG with file and line for what is broken, ERR_NOT_SUPPORTED for what another client could use, and
 * ERR_FORBIDDEN for a file that may not be read. No error quotes the file.
 * Source of the format: client-go tools/clientcmd/api/v1/types.go.
 */
export async function readKubeconfig(file: string, options: ReadOptions): Promise<KubeAccess | undefined> {
  const text = await readConfig(file);
  return text === undefined ? undefined : parseKubeconfig(text, file, options);
}

/** The access in the text of a kubeconfig; see readKubeconfig. */
export async function parseKubeconfig(text: string, file: string, options: ReadOptions): Promise<KubeAccess> {
  const root = await openYaml(text, file);
  const current = root.text('current-context');
  if (current === undefined) throw root.error('current-context', 'has no current-context');
  const context = named(root, 'contexts', 'context', current, 'current-context');
  const clusterName = context.text('cluster');
  if (clusterName === undefined) throw context.error('cluster', 'the current context names no cluster');
  const cluster = named(root, 'clusters', 'cluster', clusterName, 'clusters');
  const userName = context.text('user');
  const user = userName === undefined ? undefined : named(root, 'users', 'user', userName, 'users');

  const files: Files = { folder: dirname(file), root: options.root ?? '' };
  const access = {
    from: options.from,
    addressesOf: addressesByGetent(options.run),
    wallNs: systemClock().wallNs,
    ...(await clusterOf(cluster, files)),
    ...(user ? await userOf(user, files, options) : {}),
  };
  checkMaterial(access, user ?? cluster);
  return access;
}

/** A configuration file, undefined where it is not there. Throws ERR_FORBIDDEN, or ERR_CONFIG where it is no file. */
export async function readConfig(path: string): Promise<string | undefined> {
  try {
    return await readText(path, limits.configBytes);
  } catch (error) {
    if (!(error instanceof SandwardenError) || error.code !== 'ERR_FILE') throw error;
    throw new SandwardenError('ERR_CONFIG', error.message, { hint: error.hint, cause: error });
  }
}

interface Files {
  readonly folder: string;
  readonly root: string;
}

function named(root: Fields, list: string, kind: string, name: string, at: string): Fields {
  const found = root.list(list).filter((each) => each.text('name') === name);
  const [entry, twin] = found;
  if (entry === undefined) throw root.error(at, `the ${kind} that is asked for is not under '${list}'`);
  if (twin) throw twin.error('name', `this ${kind} is there twice`);
  const fields = entry.map(kind);
  if (fields === undefined) throw entry.error('name', `this entry has no '${kind}'`);
  return fields;
}

async function clusterOf(cluster: Fields, files: Files): Promise<Pick<KubeAccess, 'server' | 'serverName' | 'ca'>> {
  const written = cluster.text('server');
  if (written === undefined) throw cluster.error('server', 'the cluster has no server');
  const server = serverUrl(written);
  if (!(server instanceof URL)) throw cluster.error('server', `the server ${server.problem}`);
  if (cluster.flag('insecure-skip-tls-verify')) {
    throw cluster.error(
      'insecure-skip-tls-verify',
      'asks not to check who the server is, which Sandwarden always does',
      'ERR_CONFIG',
      'Put the certificate authority of the cluster there: certificate-authority, or certificate-authority-data.',
    );
  }
  if (cluster.has('proxy-url')) throw notSupported(cluster, 'proxy-url');
  const serverName = cluster.text('tls-server-name');
  if (serverName !== undefined && !/^[\w.-]{1,253}$/.test(serverName)) {
    throw cluster.error('tls-server-name', "'tls-server-name' is no host name");
  }
  const ca = await pem(cluster, 'certificate-authority', 'CERTIFICATE', files);
  return { server, ...(serverName === undefined ? {} : { serverName }), ...(ca === undefined ? {} : { ca }) };
}

async function userOf(user: Fields, files: Files, { from }: ReadOptions): Promise<Partial<KubeAccess>> {
  for (const key of ['exec', 'auth-provider', 'username', 'password', 'as', 'as-uid', 'as-groups', 'as-user-extra']) {
    if (user.has(key)) throw notSupported(user, key);
  }
  const clientCertificate = await pem(user, 'client-certificate', 'CERTIFICATE', files);
  const clientKey = await pem(user, 'client-key', 'PRIVATE KEY', files);
  if ((clientCertificate === undefined) !== (clientKey === undefined)) {
    throw user.error('client-certificate', 'the user has a client certificate without its key, or a key without it');
  }
  const token = user.text('token');
  if (token !== undefined && !isToken(token)) throw user.error('token', "'token' is no token");
  const tokenFile = pathOf(user, 'tokenFile', files);
  return {
    ...(clientCertificate === undefined ? {} : { clientCertificate }),
    ...(clientKey === undefined ? {} : { clientKey: new Secret(clientKey) }),
    ...(token === undefined ? {} : { token: new Secret(token) }),
    ...(tokenFile === undefined ? {} : { source: tokenFileSource(tokenFile, from) }),
  };
}

/** A certificate or key from KEY-data (base64), which goes first as in client-go, or from the file that KEY names. */
async function pem(fields: Fields, key: string, label: string, files: Files): Promise<string | undefined> {
  const data = fields.text(`${key}-data`);
  const at = data === undefined ? key : `${key}-data`;
  const text = data === undefined ? await fileOf(fields, key, files) : decoded(fields, at, data);
  if (text === undefined) return undefined;
  // "EC PRIVATE KEY" and "RSA PRIVATE KEY" are keys too; an encrypted one cannot be used without asking.
  if (new RegExp(`-----BEGIN (?:EC |RSA )?${label}-----`).test(text)) return text;
  throw fields.error(at, `'${at}' holds no ${label === 'CERTIFICATE' ? 'certificate' : 'unencrypted key'} (PEM)`);
}

function decoded(fields: Fields, key: string, data: string): string {
  const packed = data.replace(/\s/g, '');
  if (packed.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(packed)) {
    throw fields.error(key, `'${key}' is no base64`);
  }
  return Buffer.from(packed, 'base64').toString('latin1');
}

async function fileOf(fields: Fields, key: string, files: Files): Promise<string | undefined> {
  const path = pathOf(fields, key, files);
  if (path === undefined) return undefined;
  const text = await readConfig(path);
  if (text === undefined) throw fields.error(key, `'${key}' names a file that is not there`);
  return text;
}

function pathOf(fields: Fields, key: string, files: Files): string | undefined {
  const path = fields.text(key);
  if (path === undefined) return undefined;
  if (path.includes('\0')) throw fields.error(key, `'${key}' is no path`);
  return isAbsolute(path) ? `${files.root}${path}` : join(files.folder, path);
}

/** OpenSSL looks at certificates and key now, so that nothing but the network can fail later. */
function checkMaterial(access: KubeAccess, at: Fields): void {
  const { ca, clientCertificate, clientKey } = access;
  try {
    for (const each of [ca, clientCertificate]) if (each !== undefined) new X509Certificate(each);
    createSecureContext({
      ...(ca === undefined ? {} : { ca }),
      ...(clientCertificate === undefined ? {} : { cert: clientCertificate }),
      ...(clientKey === undefined ? {} : { key: clientKey.reveal() }),
    });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    const mismatch = error.code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH';
    const what = mismatch ? 'its client key is not that of its client certificate' : 'a certificate or key is broken';
    throw at.error('', `${what} (${String(error.code)})`);
  }
}

function notSupported(fields: Fields, key: string): SandwardenError {
  const hint = 'Name a kubeconfig with a client certificate or a token: --kubeconfig FILE, or the variable KUBECONFIG.';
  return fields.error(key, `uses '${key}', which is not supported yet`, 'ERR_NOT_SUPPORTED', hint);
}
