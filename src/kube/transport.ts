import type { LookupAddress } from 'node:dns';
import * as http from 'node:http';
import * as https from 'node:https';
import * as net from 'node:net';
import { limits } from '../model/limits.ts';
import { type Credential, hostOf, type KubeAccess } from './access.ts';
import { KubeFault } from './errors.ts';
import { TunnelAgent } from './tunnel.ts';

export type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

/** One request: `target` is path and query, below what the server's URL brings along. */
export interface KubeRequest {
  readonly method: Method;
  readonly target: string;
  /** The media types that are taken, `application/json` where absent. */
  readonly accept?: string;
  /** What asks for another protocol (101) on the same connection. */
  readonly upgrade?: Readonly<Record<string, string>>;
  readonly body?: { readonly type: string; readonly text: string };
}

export interface Answer {
  readonly status: number;
  readonly body: string;
  /** When the server wants to be asked again, in milliseconds from now. */
  readonly retryAfterMs?: number;
}

export interface SendOptions {
  /** Ends the request, its answer included; with a KubeFault as reason that is what is thrown. */
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
  readonly maxBytes: number;
}

/** The connections to one server. It throws what Node throws, or a KubeFault; errors.ts translates both. */
export interface Transport {
  /** The whole answer. Redirects are answers like others. */
  send(request: KubeRequest, options: SendOptions): Promise<Answer>;
  /** The answer as it begins; who takes it reads it to its end or destroys it. */
  open(request: KubeRequest, options: Pick<SendOptions, 'signal' | 'timeoutMs'>): Promise<http.IncomingMessage>;
  close(): void;
}

/** Connections that know who the server must be and who we are. They are kept for the next request. */
export function transportOf(access: KubeAccess): Transport {
  let agent: { readonly certificate: string | undefined; readonly agent: http.Agent } | undefined;

  function agentFor(credential: Credential): http.Agent {
    const certificate = credential.clientCertificate;
    if (agent !== undefined && agent.certificate === certificate) return agent.agent;
    // A certificate that was turned over: a connection of the old one would still be the old user's.
    agent?.agent.destroy();
    agent = { certificate, agent: agentOf(access, credential) };
    return agent.agent;
  }

  async function open(request: KubeRequest, options: Pick<SendOptions, 'signal' | 'timeoutMs'>) {
    const { signal } = options;
    const name = hostOf(access.server);
    const [addresses, credential] = await Promise.all([
      // Behind a proxy only the proxy has to know the name.
      net.isIP(name) || access.proxy ? undefined : access.addressesOf?.(name, options),
      credentialOf(access, signal),
    ]);
    signal.throwIfAborted();
    const target = requestOptions(access, request, credential, addresses);
    return begin({ ...target, agent: agentFor(credential), signal }, request.body?.text, access.server.protocol);
  }

  return {
    open,
    send: async (request, options) => {
      const response = await open(request, options);
      try {
        const body = await bodyOf(response, options.maxBytes);
        const dateMs = Date.parse(response.headers.date ?? '');
        if (!Number.isNaN(dateMs)) access.onDate?.(BigInt(dateMs) * 1_000_000n);
        const retryAfterMs = retryAfter(response.headers['retry-after']);
        return { status: response.statusCode ?? 0, body, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) };
      } catch (error) {
        throw options.signal.aborted ? options.signal.reason : error;
      } finally {
        if (!response.complete) response.destroy();
      }
    },
    close: () => agent?.agent.destroy(),
  };
}

async function credentialOf(access: KubeAccess, signal: AbortSignal): Promise<Credential> {
  return access.source === undefined ? access : { ...access, ...(await access.source.current(signal)) };
}

function agentOf(access: KubeAccess, { clientCertificate, clientKey }: Credential): http.Agent {
  const connection = { keepAlive: true, autoSelectFamilyAttemptTimeout: limits.kubeConnectAttemptMs };
  if (access.server.protocol === 'http:') return new http.Agent(connection);
  const { ca, serverName, proxy } = access;
  const options = {
    ...connection,
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(clientCertificate === undefined ? {} : { cert: clientCertificate }),
    ...(clientKey === undefined ? {} : { key: clientKey.reveal() }),
    ...(serverName === undefined ? {} : { servername: serverName }),
  };
  return proxy === undefined ? new https.Agent(options) : new TunnelAgent(proxy, options);
}

function requestOptions(
  access: KubeAccess,
  { method, target, accept = 'application/json', upgrade, body }: KubeRequest,
  { token }: Credential,
  addresses: readonly LookupAddress[] | undefined,
): https.RequestOptions {
  const { server } = access;
  const name = hostOf(server);
  return {
    host: name,
    port: server.port === '' ? (server.protocol === 'http:' ? 80 : 443) : Number(server.port),
    path: `${server.pathname.replace(/\/+$/, '')}${target}`,
    method,
    headers: {
      host: server.host,
      accept,
      'accept-encoding': 'identity',
      ...upgrade,
      ...(body === undefined ? {} : { 'content-type': body.type, 'content-length': Buffer.byteLength(body.text) }),
      ...(token === undefined ? {} : { authorization: `Bearer ${token.reveal()}` }),
    },
    ...(addresses === undefined ? {} : { lookup: lookupOf(addresses) }),
    servername: access.serverName ?? (net.isIP(name) ? '' : name),
  };
}

function begin(
  options: https.RequestOptions & { readonly signal: AbortSignal },
  body: string | undefined,
  protocol: string,
): Promise<http.IncomingMessage> {
  const { signal } = options;
  return new Promise((resolve, reject) => {
    const request = (protocol === 'http:' ? http : https).request(options);
    // A request that still waits for its connection (a proxy) would say that it was ended only when it has it.
    const abort = () => reject(signal.reason);
    signal.addEventListener('abort', abort, { once: true });
    request.on('error', (error) => reject(signal.aborted ? signal.reason : error));
    request.on('close', () => signal.removeEventListener('abort', abort));
    request.on('response', (response) => {
      // Whoever ends reading early (a limit, an abort) has its reason; what Node says then is no news.
      response.on('error', () => undefined);
      resolve(response);
    });
    request.on('upgrade', (response, socket) => {
      socket.on('error', () => undefined);
      resolve(response);
    });
    request.end(body);
  });
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

/** Kubernetes sends seconds; a date (RFC 9110) would hang on clocks that differ and is not taken. */
export function retryAfter(header: string | undefined): number | undefined {
  return header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1_000 : undefined;
}

function lookupOf(addresses: readonly LookupAddress[]): net.LookupFunction {
  return (_name, { all }, done) => {
    const [first] = addresses;
    // Not before the caller of a look-up has returned: sockets are not ready for that.
    process.nextTick(() => (all ? done(null, [...addresses]) : done(null, first?.address ?? '', first?.family ?? 4)));
  };
}
