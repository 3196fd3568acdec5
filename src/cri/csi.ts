import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import type { SocketState } from '../model/csi.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { Identity } from './gen/csi/v1/csi_pb.js';
import { authority, ConnectionFault, UnixSession } from './session.ts';

/** What a CSI driver says of itself; `name` only where GetPluginInfo was answered. */
export interface CsiAnswer {
  readonly state: SocketState;
  readonly says: string;
  readonly name?: string;
  readonly version?: string;
}

/**
 * Asks the CSI driver behind the socket at `path` for its name (GetPluginInfo) and its health (Probe), both of CSI's
 * Identity service, which any client may call at any time. Never throws for what the other side does; it takes at
 * most `timeoutMs`.
 * Source: CSI spec, Identity Service RPC: Probe fails with FAILED_PRECONDITION, or says `ready: false`.
 */
export async function askCsiDriver(path: string, timeoutMs: number = limits.csiProbeTimeoutMs): Promise<CsiAnswer> {
  const session = new UnixSession(path, timeoutMs);
  const transport = createGrpcTransport({
    baseUrl: authority,
    sessionManager: session,
    acceptCompression: [],
    readMaxBytes: limits.csiMessageBytes,
  });
  const client = createClient(Identity, transport);
  const deadline = AbortSignal.timeout(timeoutMs);
  const options = { timeoutMs, signal: deadline };
  let named: Pick<CsiAnswer, 'name' | 'version'> = {};
  try {
    const { name, vendorVersion } = await client.getPluginInfo({}, options);
    // CSI spec, GetPluginInfoResponse: a domain name of at most 63 characters.
    named = { name: safeText(name, 100), version: safeText(vendorVersion, 100) };
    const { ready } = await client.probe({}, options);
    return ready === false ? { state: 'not-ready', says: 'Probe: ready is false', ...named } : good(named);
  } catch (error) {
    return { ...(deadline.aborted ? late(timeoutMs) : stateOfError(error, timeoutMs)), ...named };
  } finally {
    session.close();
  }
}

/** What an error of a connection to a socket means. Throws what is no error of a connection or of gRPC. */
export function stateOfError(error: unknown, timeoutMs: number): { state: SocketState; says: string } {
  const chain = causes(error);
  const fault = chain.find((each) => each instanceof ConnectionFault);
  if (fault instanceof ConnectionFault) {
    return fault.kind === 'silent' ? late(timeoutMs) : { state: 'fails', says: faultWords[fault.kind] };
  }
  for (const each of chain) {
    const code = 'code' in each && typeof each.code === 'string' ? each.code : '';
    const state = errnos[code];
    if (state !== undefined) return { state, says: code };
  }
  const status = chain.find((each) => each instanceof ConnectError);
  if (!(status instanceof ConnectError)) throw error;
  if (status.code === Code.DeadlineExceeded) return late(timeoutMs);
  const says = `${Code[status.code]}: ${safeText(status.rawMessage, 300)}`;
  return { state: status.code === Code.FailedPrecondition ? 'not-ready' : 'fails', says };
}

const errnos: Readonly<Record<string, SocketState>> = {
  ENOENT: 'missing',
  ENOTDIR: 'missing',
  ECONNREFUSED: 'refuses',
  EAGAIN: 'hangs',
  EACCES: 'forbidden',
  EPERM: 'forbidden',
  ENOTSOCK: 'not-socket',
  EPROTOTYPE: 'not-socket',
};

const faultWords = {
  silent: 'it accepts and says nothing',
  'hung-up': 'it closed the connection before it said anything',
  'not-http2': 'what listens there does not speak gRPC',
  lost: 'the connection was lost in the middle of the call',
  closed: 'the connection had been closed on our side',
} as const;

function good(named: Pick<CsiAnswer, 'name' | 'version'>): CsiAnswer {
  return { state: 'ready', says: '', ...named };
}

function late(timeoutMs: number): { state: SocketState; says: string } {
  return { state: 'hangs', says: `no answer within ${timeoutMs / 1_000} s` };
}

function causes(error: unknown): Error[] {
  const chain: Error[] = [];
  for (let at = error; at instanceof Error && chain.length < 10; at = at.cause) chain.push(at);
  return chain;
}
