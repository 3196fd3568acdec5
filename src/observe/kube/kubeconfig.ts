import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import {
  type CredentialSource,
  isToken,
  type KubeAccess,
  type KubeProxy,
  Secret,
  serverUrl,
} from '../../kube/access.ts';
import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import type { Run } from '../child.ts';
import { systemClock } from '../clock.ts';
import { addressesByGetent } from './addresses.ts';
import { type ExecPlugin, execSource, execVersions } from './exec-plugin.ts';
import { checkMaterial, type Files, pathOf, pem, readConfig } from './material.ts';
import { proxyOf, proxyOfEnvironment } from './proxy.ts';
import { tokenFileSource } from './token-file.ts';
import { type Fields, openYaml } from './yaml-fields.ts';

export interface ReadOptions {
  /** How the file was chosen. */
  readonly from: string;
  /** The context to take in place of the current one. */
  readonly context?: string;
  /** A prefix of the absolute paths in the file: where the node's own file system is mounted. */
  readonly root?: string;
  /** For the programs that a kubeconfig names, and for the proxy. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Whether a person named the file: then its programs are run whoever may write it. */
  readonly isNamed?: boolean;
  /** How programs are run; the port that tests replace. */
  readonly run?: Run;
}

/**
 * The access that the current context of a kubeconfig gives; undefined where the file is not there. Relative paths in
 * it are resolved against its folder. Several files are merged: what the first one says holds.
 * Throws ERR_CONFIG with file and line for what is broken, ERR_NOT_SUPPORTED for what another client could use, and
 * ERR_FORBIDDEN for a file that may not be read. No error quotes the file.
 * Source of the format: client-go tools/clientcmd/api/v1/types.go; of merging: tools/clientcmd/loader.go.
 */
export async function readKubeconfig(
  file: string | readonly string[],
  options: ReadOptions,
): Promise<KubeAccess | undefined> {
  const files = typeof file === 'string' ? [file] : file;
  const read = await Promise.all(files.map(async (path) => ({ path, text: await readConfig(path) })));
  const there = read.flatMap(({ path, text }) => (text === undefined ? [] : [{ path, text }]));
  if (there.length === 0) return undefined;
  return accessOf(await Promise.all(there.map(({ path, text }) => openYaml(text, path))), options);
}

/** The access in the text of a kubeconfig; see readKubeconfig. */
export async function parseKubeconfig(text: string, file: string, options: ReadOptions): Promise<KubeAccess> {
  return accessOf([await openYaml(text, file)], options);
}

async function accessOf(configs: readonly Fields[], options: ReadOptions): Promise<KubeAccess> {
  const [first] = configs;
  const chooser = configs.find((each) => each.has('current-context')) ?? first;
  if (chooser === undefined) throw new Error('no kubeconfig was given');
  const current = options.context ?? chooser.text('current-context');
  if (current === undefined) throw chooser.error('current-context', 'has no current-context');
  if (options.context !== undefined) checkContext(configs, options.context);
  const context = named(configs, 'contexts', 'context', current, chooser);
  const clusterName = context.text('cluster');
  if (clusterName === undefined) throw context.error('cluster', 'the current context names no cluster');
  const cluster = named(configs, 'clusters', 'cluster', clusterName);
  const userName = context.text('user');
  const user = userName === undefined ? undefined : named(configs, 'users', 'user', userName);

  const around = { addressesOf: addressesByGetent(options.run), wallNs: systemClock().wallNs };
  const target = await clusterOf(cluster, options);
  const access = { from: options.from, ...around, ...target, ...(user ? await userOf(user, cluster, options) : {}) };
  checkMaterial(access, user ?? cluster);
  return access;
}

/** A name that a person typed may be told back. */
function checkContext(configs: readonly Fields[], name: string): void {
  if (configs.some((each) => each.list('contexts').some((entry) => entry.text('name') === name))) return;
  const files = configs.map((each) => safeText(each.file, 300)).join(', ');
  throw new SandwardenError('ERR_CONFIG', `there is no context '${safeText(name, 100)}' in ${files}`, {
    hint: '`kubectl config get-contexts` lists them.',
  });
}

/** The entry of a name, of the first file that has one. */
function named(configs: readonly Fields[], list: string, kind: string, name: string, chooser?: Fields): Fields {
  const all = configs.map((each) => each.list(list).filter((entry) => entry.text('name') === name));
  const [entry, twin] = all.find((found) => found.length > 0) ?? [];
  if (entry === undefined) {
    const at = chooser ?? configs[0];
    if (at === undefined) throw new Error('no kubeconfig was given');
    throw at.error(chooser ? 'current-context' : list, `the ${kind} that is asked for is not under '${list}'`);
  }
  if (twin) throw twin.error('name', `this ${kind} is there twice`);
  const fields = entry.map(kind);
  if (fields === undefined) throw entry.error('name', `this entry has no '${kind}'`);
  return fields;
}

function filesOf(fields: Fields, { root = '' }: ReadOptions): Files {
  return { folder: dirname(fields.file), root };
}

async function clusterOf(
  cluster: Fields,
  options: ReadOptions,
): Promise<Pick<KubeAccess, 'server' | 'serverName' | 'ca' | 'proxy'>> {
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
  const serverName = cluster.text('tls-server-name');
  if (serverName !== undefined && !/^[\w.-]{1,253}$/.test(serverName)) {
    throw cluster.error('tls-server-name', "'tls-server-name' is no host name");
  }
  const ca = await pem(cluster, 'certificate-authority', 'CERTIFICATE', filesOf(cluster, options));
  const proxy = proxyFor(cluster, server, options);
  return {
    server,
    ...(serverName === undefined ? {} : { serverName }),
    ...(ca === undefined ? {} : { ca }),
    ...(proxy === undefined ? {} : { proxy }),
  };
}

/** `proxy-url` goes before the environment; both are for https only, which is all that goes to another machine. */
function proxyFor(cluster: Fields, server: URL, { env = {} }: ReadOptions): KubeProxy | undefined {
  const written = cluster.text('proxy-url');
  const proxy = written === undefined ? proxyOfEnvironment(server, env) : proxyOf(written);
  if (proxy === undefined || 'url' in proxy) return proxy;
  if (written !== undefined) throw cluster.error('proxy-url', `'proxy-url' ${proxy.problem}`);
  throw new SandwardenError('ERR_CONFIG', `the variable HTTPS_PROXY ${proxy.problem}`, {
    hint: 'Correct it, unset it, or name the server in NO_PROXY.',
  });
}

async function userOf(user: Fields, cluster: Fields, options: ReadOptions): Promise<Partial<KubeAccess>> {
  for (const key of ['auth-provider', 'username', 'password', 'as', 'as-uid', 'as-groups', 'as-user-extra']) {
    if (user.has(key)) throw notSupported(user, key);
  }
  const files = filesOf(user, options);
  const clientCertificate = await pem(user, 'client-certificate', 'CERTIFICATE', files);
  const clientKey = await pem(user, 'client-key', 'PRIVATE KEY', files);
  if ((clientCertificate === undefined) !== (clientKey === undefined)) {
    throw user.error('client-certificate', 'the user has a client certificate without its key, or a key without it');
  }
  const token = user.text('token');
  if (token !== undefined && !isToken(token)) throw user.error('token', "'token' is no token");
  const tokenFile = pathOf(user, 'tokenFile', files);
  const exec = user.map('exec');
  const source = exec
    ? await execOf(exec, cluster, options)
    : tokenFile === undefined
      ? undefined
      : tokenFileSource(tokenFile, options.from);
  return {
    ...(clientCertificate === undefined ? {} : { clientCertificate }),
    ...(clientKey === undefined ? {} : { clientKey: new Secret(clientKey) }),
    ...(token === undefined ? {} : { token: new Secret(token) }),
    ...(source === undefined ? {} : { source }),
  };
}

async function execOf(exec: Fields, cluster: Fields, options: ReadOptions): Promise<CredentialSource> {
  const [apiVersion, command] = [exec.text('apiVersion') ?? '', exec.text('command')];
  if (command === undefined || command.includes('\0')) throw exec.error('command', "the 'exec' plugin has no command");
  if (!execVersions.some((each) => each === apiVersion)) {
    throw exec.error('apiVersion', `the 'exec' plugin speaks none of ${execVersions.join(', ')}`, 'ERR_NOT_SUPPORTED');
  }
  if (exec.text('interactiveMode') === 'Always') {
    throw exec.error(
      'interactiveMode',
      "the 'exec' plugin wants a terminal, which it is not given",
      'ERR_NOT_SUPPORTED',
    );
  }
  await checkProgram(exec, options);
  const env = exec.list('env').map((each) => [each.text('name') ?? '', each.text('value') ?? ''] as const);
  const installHint = exec.text('installHint');
  const plugin: ExecPlugin = {
    apiVersion,
    command,
    args: exec.texts('args'),
    env: Object.fromEntries(env),
    ...(installHint === undefined ? {} : { installHint }),
    ...(exec.flag('provideClusterInfo') ? { cluster: await clusterInfo(cluster, options) } : {}),
  };
  const { from, env: environment = {}, run } = options;
  const around = { from, file: exec.file, env: environment, wallNs: systemClock().wallNs };
  return execSource(plugin, { ...around, ...(run === undefined ? {} : { run }) });
}

/**
 * Root runs no program that somebody else could have written into a file, unless a person named the file; and none of
 * another machine's file system.
 */
async function checkProgram(exec: Fields, { root = '', isNamed = false }: ReadOptions): Promise<void> {
  const refuse = (why: string, hint: string) =>
    exec.error('command', `its 'exec' plugin is not run: ${why}`, 'ERR_NOT_SUPPORTED', hint);
  if (root !== '')
    throw refuse('it is a program of the node that is looked at', 'Name a kubeconfig with a token or a certificate.');
  if (isNamed || process.getuid?.() !== 0) return;
  const { uid, mode } = await stat(exec.file);
  if (uid === 0 && (mode & 0o022) === 0) return;
  throw refuse(
    'others than root may write the file',
    `Name it, if you trust it: --kubeconfig ${safeText(exec.file, 300)}`,
  );
}

async function clusterInfo(cluster: Fields, options: ReadOptions): Promise<object> {
  const ca = await pem(cluster, 'certificate-authority', 'CERTIFICATE', filesOf(cluster, options));
  return {
    server: cluster.text('server'),
    'tls-server-name': cluster.text('tls-server-name'),
    'proxy-url': cluster.text('proxy-url'),
    ...(ca === undefined ? {} : { 'certificate-authority-data': Buffer.from(ca, 'latin1').toString('base64') }),
  };
}

function notSupported(fields: Fields, key: string): SandwardenError {
  const hint = 'Name a kubeconfig with a client certificate or a token: --kubeconfig FILE, or the variable KUBECONFIG.';
  return fields.error(key, `uses '${key}', which is not supported yet`, 'ERR_NOT_SUPPORTED', hint);
}
