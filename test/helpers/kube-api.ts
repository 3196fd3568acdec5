/** A Kubernetes API server for tests: TLS with certificates of its own, client certificates, pages, and faults. */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as https from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { join } from 'node:path';
import type { TLSSocket } from 'node:tls';

/** Whether openssl(1), which makes the certificates, is on this machine. */
export const hasOpenssl = (() => {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return true;
  } catch (error) {
    if (error instanceof Error) return false;
    throw error;
  }
})();

export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

/** Certificate authorities, the server's certificates and those of clients, as PEM. */
export interface Pki {
  readonly ca: string;
  readonly otherCa: string;
  readonly server: KeyPair;
  readonly expired: KeyPair;
  readonly future: KeyPair;
  /** For the name `elsewhere.example` only. */
  readonly elsewhere: KeyPair;
  /** CN=system:node:node-1, O=system:nodes. */
  readonly node: KeyPair;
  /** The same, out of its dates since 2020. */
  readonly oldNode: KeyPair;
  /** CN=admin, O=system:masters. */
  readonly admin: KeyPair;
}

/** Makes a Pki in `folder` (a temporary one), with keys of NIST P-256. */
export function makePki(folder: string): Pki {
  const authority = (name: string) => {
    const paths = [join(folder, `${name}.key`), join(folder, `${name}.crt`)] as const;
    openssl(['req', '-x509', ...newKey, '-subj', `/CN=${name}`, '-days', '30', '-keyout', paths[0], '-out', paths[1]]);
    return readFileSync(paths[1], 'utf8');
  };
  const [ca, otherCa] = [authority('ca'), authority('other-ca')];
  const here = 'subjectAltName=IP:127.0.0.1,DNS:localhost';
  return {
    ca,
    otherCa,
    server: signed(folder, '/CN=kube-apiserver', here),
    expired: signed(folder, '/CN=kube-apiserver', here, ['20200101000000Z', '20200201000000Z']),
    future: signed(folder, '/CN=kube-apiserver', here, ['20900101000000Z', '20910101000000Z']),
    elsewhere: signed(folder, '/CN=kube-apiserver', 'subjectAltName=DNS:elsewhere.example'),
    node: signed(folder, '/O=system:nodes/CN=system:node:node-1'),
    oldNode: signed(folder, '/O=system:nodes/CN=system:node:node-1', '', ['20200101000000Z', '20200201000000Z']),
    admin: signed(folder, '/O=system:masters/CN=admin'),
  };
}

const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
let serial = 0;

/** A certificate by `ca`, for a month or from one date to another (openssl ca: the one way to a date in the past). */
function signed(folder: string, subject: string, extension = '', [from, to] = dates()): KeyPair {
  const file = (name: string) => join(folder, `${serial}-${name}`);
  serial++;
  writeFileSync(file('index'), '');
  writeFileSync(file('serial'), String(1000 + serial));
  writeFileSync(
    file('cnf'),
    ['[ca]', `default_ca=a`, '[a]', `database=${file('index')}`, `serial=${file('serial')}`, `new_certs_dir=${folder}`]
      .concat(['default_md=sha256', 'policy=p', `x509_extensions=e`, 'unique_subject=no'])
      .concat([
        '[p]',
        'commonName=supplied',
        'organizationName=optional',
        '[e]',
        extension || 'keyUsage=digitalSignature',
      ])
      .join('\n'),
  );
  openssl(['req', ...newKey, '-subj', subject, '-keyout', file('key'), '-out', file('csr')]);
  const ca = ['-cert', join(folder, 'ca.crt'), '-keyfile', join(folder, 'ca.key')];
  const span = ['-startdate', from, '-enddate', to];
  openssl(['ca', '-batch', '-notext', '-config', file('cnf'), ...ca, ...span, '-in', file('csr'), '-out', file('crt')]);
  return { cert: readFileSync(file('crt'), 'utf8'), key: readFileSync(file('key'), 'utf8') };
}

/** Yesterday and a month from now, in the way of ASN.1. */
function dates(): readonly [string, string] {
  const day = 86_400_000;
  const of = (ms: number) => `${new Date(ms).toISOString().slice(0, 19).replace(/[-:T]/g, '')}Z`;
  return [of(Date.now() - day), of(Date.now() + 30 * day)];
}

function openssl(args: readonly string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}

export interface KubeApi extends AsyncDisposable {
  readonly url: string;
  /** What was asked, path and query, oldest first. */
  readonly asked: string[];
  /** The Authorization headers that came. */
  readonly authorizations: string[];
}

export interface KubeApiOptions {
  readonly pki: Pki;
  /** Which certificate it shows; `server` where absent. */
  readonly identity?: KeyPair;
  readonly pods?: readonly unknown[];
  /** A token that is let in, besides client certificates of the CA. */
  readonly token?: string;
  /** Does something else than answering; true: it has answered (or will not). `count` is 1 at the first request. */
  readonly fault?: (response: ServerResponse, request: IncomingMessage, count: number) => boolean;
  readonly tls?: https.ServerOptions;
}

/** Lists pods by `fieldSelector=spec.nodeName=…`, `limit` and `continue`, to a certificate of the CA or the token. */
export async function kubeApi(options: KubeApiOptions): Promise<KubeApi> {
  const { pki, identity = pki.server } = options;
  const [asked, authorizations]: [string[], string[]] = [[], []];
  const sockets = new Set<Socket>();
  const server = https.createServer(
    { ...identity, ca: pki.ca, requestCert: true, rejectUnauthorized: false, ...options.tls },
    (request, response) => {
      asked.push(request.url ?? '');
      if (request.headers.authorization !== undefined) authorizations.push(request.headers.authorization);
      if (options.fault?.(response, request, asked.length)) return;
      // As kube-apiserver: a client certificate is asked for, and who has none of the CA is nobody (401).
      const trusted = (request.socket as TLSSocket).authorized;
      const welcome = trusted || request.headers.authorization === `Bearer ${options.token}`;
      if (!welcome) answer(response, 401, status(401, 'Unauthorized'));
      else list(response, new URL(request.url ?? '/', 'https://api'), options.pods ?? []);
    },
  );
  server.on('tlsClientError', (_error, socket) => socket.destroy());
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  return {
    url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked,
    authorizations,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Answers with JSON (or a text as it is). */
export function answer(response: ServerResponse, code: number, body: unknown): void {
  response.writeHead(code, { 'content-type': 'application/json' });
  response.end(typeof body === 'string' ? body : JSON.stringify(body));
}

/** A Status object as the API answers with where it refuses. */
export function status(code: number, message: string) {
  return { kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code };
}

function list(response: ServerResponse, url: URL, pods: readonly unknown[]): void {
  if (url.pathname !== '/api/v1/pods') {
    answer(response, 404, status(404, 'not found'));
    return;
  }
  const node = /^spec\.nodeName=(.+)$/.exec(url.searchParams.get('fieldSelector') ?? '')?.[1];
  const own = pods.filter((pod) => (pod as { spec?: { nodeName?: string } }).spec?.nodeName === node);
  const from = Number(url.searchParams.get('continue') ?? 0);
  const to = from + Number(url.searchParams.get('limit') ?? own.length);
  const metadata = { resourceVersion: '1', ...(to < own.length ? { continue: String(to) } : {}) };
  answer(response, 200, { kind: 'PodList', apiVersion: 'v1', metadata, items: own.slice(from, to) });
}

/** A pod as the API gives it. */
export function apiPod(name: string, over: { uid?: string; node?: string; annotations?: object; phase?: string } = {}) {
  const { uid = `uid-${name}`, node = 'node-1', annotations, phase = 'Running' } = over;
  return {
    metadata: { name, namespace: 'default', uid, ...(annotations ? { annotations } : {}) },
    spec: { nodeName: node, restartPolicy: 'Always' },
    status: { phase },
  };
}

/** A kubeconfig with everything inside of it. */
export function kubeconfigOf(server: string, ca: string, user: KeyPair | { token: string }): string {
  const data = (text: string) => Buffer.from(text).toString('base64');
  const credentials =
    'token' in user
      ? [`    token: ${user.token}`]
      : [`    client-certificate-data: ${data(user.cert)}`, `    client-key-data: ${data(user.key)}`];
  return [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    '- name: local',
    '  cluster:',
    `    server: ${server}`,
    `    certificate-authority-data: ${data(ca)}`,
    'contexts:',
    '- name: default',
    '  context:',
    '    cluster: local',
    '    user: me',
    'current-context: default',
    'users:',
    '- name: me',
    '  user:',
    ...credentials,
    '',
  ].join('\n');
}
