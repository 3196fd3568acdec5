import type { LookupAddress } from 'node:dns';
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import { SandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import { type Run, run } from '../child.ts';
import { readText } from '../read-file.ts';
import { hostOf, isToken, type KubeAccess } from './access.ts';
import { KubeFault } from './errors.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

export interface SendOptions {
  /** Ends the request, its answer included; with a KubeFault as reason that is what is thrown. */
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly maxBytes: number;
  readonly run?: Run;
}

/** An agent that knows who the server must be and who we are. It keeps connections for the next page. */
export function agentOf(access: KubeAccess): http.Agent {
  const connection = { keepAlive: true, autoSelectFamilyAttemptTimeout: limits.kubeConnectAttemptMs };
  if (access.server.protocol === 'http:') return new http.Agent(connection);
  const { ca, clientCertificate, clientKey, serverName } = access;
  return new https.Agent({
    ...connection,
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(clientCertificate === undefined ? {} : { cert: clientCertificate }),
    ...(clientKey === undefined ? {} : { key: clientKey.reveal() }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  });
}

/** One GET. Redirects are answers like others. Throws what Node throws, or a KubeFault; errors.ts translates both. */
export async function send(
  access: KubeAccess,
  agent: http.Agent,
  target: string,
  options: SendOptions,
): Promise<Answer> {
  const { signal, maxBytes } = options;
  const [addresses, authorization] = await Promise.all([addressesOf(access.server, options), authorizationOf(access)]);
  signal.throwIfAborted();
  const { server } = access;
  const name = hostOf(server);
  const request = (server.protocol === 'http:' ? http : https).request({
    agent,
    host: name,
    port: server.port === '' ? (server.protocol === 'http:' ? 80 : 443) : Number(server.port),
    path: `${server.pathname.replace(/\/+$/, '')}${target}`,
    method: 'GET',
    headers: { host: server.host, accept: 'application/json', 'accept-encoding': 'identity', ...authorization },
    ...(addresses === undefined ? {} : { lookup: lookupOf(addresses) }),
    servername: access.serverName ?? (net.isIP(name) ? '' : name),
    signal,
  });
  const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
    request.on('error', (error) => reject(signal.aborted ? signal.reason : error));
    request.on('response', resolve);
    request.end();
  });
  try {
    return { status: response.statusCode ?? 0, body: await bodyOf(response, maxBytes) };
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  } finally {
    if (!response.complete) request.destroy();
  }
}

async function bodyOf(response: http.IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new KubeFault('too-large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/**
 * The addresses behind a server's name, by getent(1); undefined where Node may find them itself. Node's own look-up
 * (getaddrinfo) cannot be ended: with the name servers down it would hold the whole program for half a minute.
 */
async function addressesOf(server: URL, options: SendOptions): Promise<LookupAddress[] | undefined> {
  const name = hostOf(server);
  if (net.isIP(name)) return undefined;
  const runner = options.run ?? run;
  try {
    const { stdout } = await abortable(
      runner(['getent', 'ahosts', name], { timeoutMs: options.timeoutMs, maxBytes: limits.configBytes }),
      options.signal,
    );
    const first = stdout.split('\n').map((line) => line.split(/\s/)[0] ?? '');
    const addresses = [...new Set(first)].filter((each) => net.isIP(each));
    if (addresses.length === 0) throw new KubeFault('unknown-host');
    return addresses.map((address) => ({ address, family: net.isIP(address) }));
  } catch (error) {
    if (!(error instanceof SandwardenError)) throw error;
    if (error.code === 'ERR_COMMAND_MISSING') return undefined;
    throw new KubeFault('unknown-host', { cause: error });
  }
}

function lookupOf(addresses: readonly LookupAddress[]): net.LookupFunction {
  return (_name, { all }, done) => {
    const [first] = addresses;
    // Not before the caller of a look-up has returned: sockets are not ready for that.
    process.nextTick(() => (all ? done(null, [...addresses]) : done(null, first?.address ?? '', first?.family ?? 4)));
  };
}

function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

async function authorizationOf(access: KubeAccess): Promise<{ authorization?: string }> {
  const { tokenFile, token } = access;
  const read = tokenFile === undefined ? undefined : (await readText(tokenFile, limits.configBytes))?.trim();
  if (tokenFile !== undefined && (read === undefined || !isToken(read))) {
    throw new SandwardenError('ERR_CONFIG', `the token file of ${access.from} is missing or holds no token`, {
      hint: 'See tokenFile in the kubeconfig, or name another one with --kubeconfig.',
    });
  }
  const text = read ?? token?.reveal();
  return text === undefined ? {} : { authorization: `Bearer ${text}` };
}
