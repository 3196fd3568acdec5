import { X509Certificate } from 'node:crypto';
import { type ErrorCode, SandwardenError } from '../model/errors.ts';
import { safeText } from '../model/safe-text.ts';
import type { KubeAccess } from './access.ts';
import { permissionOf } from './permission.ts';
import type { KubeRequest } from './transport.ts';

/** What broke on our side of a request, or in an answer that no error of Node's stands for. */
export class KubeFault extends Error {
  override readonly name = 'KubeFault';
  readonly kind:
    | 'too-late'
    | 'too-large'
    | 'not-json'
    | 'not-a-list'
    | 'too-many-pages'
    | 'unknown-host'
    | 'not-an-event'
    | 'proxy-refused'
    | 'no-websocket';

  constructor(kind: KubeFault['kind'], options?: ErrorOptions) {
    super(kind, options);
    this.kind = kind;
  }
}

/** An answer with a status other than 2xx. `body` is the server's and may be anything. */
export class KubeStatus extends Error {
  override readonly name = 'KubeStatus';
  readonly status: number;
  readonly body: string;
  /** When the server wants to be asked again, where it says so. */
  readonly retryAfterMs: number | undefined;

  constructor(status: number, body: string, retryAfterMs?: number) {
    super(`status ${status}`);
    this.status = status;
    this.body = body;
    this.retryAfterMs = retryAfterMs;
  }
}

export interface KubeContext {
  readonly access: KubeAccess;
  readonly timeoutMs: number;
  /** What was asked, for the permission that may be missing. */
  readonly request: Pick<KubeRequest, 'method' | 'target'>;
}

/**
 * The one place that turns what a request to the API can throw into a SandwardenError; the original is its `cause`.
 * ERR_KUBE_UNREACHABLE: nobody answered whom we may trust. ERR_FORBIDDEN: 401, 403. ERR_KUBE_NOT_FOUND: the object is
 * not there (said by the API, not by something in between). ERR_KUBE_CONFLICT: 409, it is not the object, or not the
 * state of it, that was meant. ERR_KUBE_BUSY: 429. ERR_KUBE_FAILED: any other answer.
 * Sources: errno of connect(2); X509_V_ERR_… as Node names them (crypto_common.cc); apimachinery api/errors.
 */
export function translateKubeError(error: unknown, context: KubeContext): SandwardenError {
  if (error instanceof SandwardenError) return error;
  if (error instanceof KubeStatus) return statusError(error, context);
  if (error instanceof KubeFault) return faultError(error, context);
  // Several addresses of one name were tried; the first one's error speaks for all.
  const first = error instanceof AggregateError && error.errors[0] instanceof Error ? error.errors[0] : error;
  if (!(first instanceof Error)) return failed('failed in an unknown way', error, context);
  if (first.name === 'AbortError') {
    return new SandwardenError('ERR_INTERRUPTED', 'the question to the Kubernetes API was interrupted', {
      hint: 'Run it again.',
      cause: error,
    });
  }
  const code = 'code' in first && typeof first.code === 'string' ? first.code : '';
  const reason = unreachable[code];
  if (reason !== undefined) return unreached(`${reason} (${code})`, error, context);
  const certificate = certificateError(code, error, context);
  if (certificate) return certificate;
  if (/^(?:ERR_SSL_|ERR_TLS_|EPROTO)/.test(code)) return unreached(`refuses TLS (${code})`, error, context);
  if (code.startsWith('HPE_')) return failed(`does not speak HTTP (${code})`, error, context);
  return failed(`could not be asked: ${safeText(first.message, 300)}`, error, context);
}

const unreachable: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'is down: nobody listens there',
  ECONNRESET: 'cut the connection',
  EPIPE: 'cut the connection',
  ERR_STREAM_PREMATURE_CLOSE: 'cut the connection',
  ETIMEDOUT: 'cannot be reached',
  EHOSTUNREACH: 'cannot be reached',
  ENETUNREACH: 'cannot be reached',
  EHOSTDOWN: 'cannot be reached',
  ENETDOWN: 'cannot be reached',
  EADDRNOTAVAIL: 'cannot be reached',
  ENOTFOUND: 'has a name that is not known here',
  EAI_AGAIN: 'has a name that is not known here',
};

const downHint =
  'See whether it runs, and whether this machine reaches it. Where it is a pod of the node that is checked, what is ' +
  'found there may be why it is down.';

function certificateError(code: string, cause: unknown, context: KubeContext): SandwardenError | undefined {
  const clock = `This machine's clock says ${dateOf(context.access.wallNs())}; see whether it is right.`;
  if (code === 'CERT_HAS_EXPIRED') return unreached('has a certificate that has expired', cause, context, clock);
  if (code === 'CERT_NOT_YET_VALID') {
    return unreached('has a certificate that is not valid yet', cause, context, clock);
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return unreached('has a certificate for another name', cause, context, 'Write tls-server-name, or that name.');
  }
  if (!/^(?:UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|CERT_|INVALID_CA|INVALID_PURPOSE|PATH_LENGTH_)/.test(code)) {
    return undefined;
  }
  return unreached(
    `has a certificate that is not of the expected authority (${code})`,
    cause,
    context,
    `See certificate-authority in ${safeText(context.access.from, 300)}; or another server answers in its place.`,
  );
}

function faultError(fault: KubeFault, context: KubeContext): SandwardenError {
  switch (fault.kind) {
    case 'too-late':
      return unreached(`did not answer within ${context.timeoutMs / 1_000} s`, fault, context);
    case 'unknown-host':
      return unreached('has a name that is not known here', fault, context);
    case 'too-large':
      return failed('gave an answer that is too large', fault, context);
    case 'not-json':
      return failed('gave an answer that is no JSON', fault, context);
    case 'not-a-list':
      return failed('gave an answer that is not the list that was asked for', fault, context);
    case 'too-many-pages':
      return failed('gave a list without an end', fault, context);
    case 'not-an-event':
      return failed('gave something in a watch that is no event', fault, context);
    case 'no-websocket':
      return failed('does not speak WebSocket', fault, context);
    case 'proxy-refused':
      return proxyRefused(fault, context);
  }
}

function statusError(answer: KubeStatus, context: KubeContext): SandwardenError {
  const { status } = answer;
  const words = wordsOf(answer.body);
  if (status === 401) {
    const hint = certificateDates(context) ?? 'The credentials are not of this cluster, or not valid any more.';
    return answered(
      'ERR_FORBIDDEN',
      `does not accept the credentials of ${safeText(context.access.from, 300)}`,
      hint,
      answer,
      context,
    );
  }
  if (status === 403) {
    const what = permissionOf(context.request);
    const hint = `Name a kubeconfig that may ${what}: --kubeconfig FILE; docs/kubernetes-access.md says what for.`;
    return answered('ERR_FORBIDDEN', `forbids it${words}`, hint, answer, context);
  }
  if (status >= 300 && status < 400)
    return failed(`points elsewhere (${status}), which is not followed`, answer, context);
  if (status === 404 && reasonOf(answer.body) === 'NotFound') {
    const hint = 'It has been removed, or never was there.';
    return answered('ERR_KUBE_NOT_FOUND', `does not have it${words}`, hint, answer, context);
  }
  if (status === 409) {
    const hint = 'Somebody else has changed it meanwhile; look again.';
    return answered('ERR_KUBE_CONFLICT', `refuses it as out of date${words}`, hint, answer, context);
  }
  if (status === 429) {
    const after = (answer.retryAfterMs ?? 0) > 0 ? `, in ${Number(answer.retryAfterMs) / 1_000} s` : '';
    const hint = `Try again later${after}.`;
    return answered('ERR_KUBE_BUSY', 'is overloaded (429 Too Many Requests)', hint, answer, context);
  }
  return failed(`answered with status ${status}${words}`, answer, context);
}

/** `reason` of a Status object (meta/v1). */
function reasonOf(body: string): string | undefined {
  const status = statusOf(body);
  return status !== undefined && 'reason' in status && typeof status.reason === 'string' ? status.reason : undefined;
}

/** `message` of a Status object (meta/v1), shortened and made safe; empty where there is none. */
function wordsOf(body: string): string {
  const status = statusOf(body);
  const message = status !== undefined && 'message' in status ? status.message : undefined;
  return typeof message === 'string' && message !== '' ? `: ${safeText(message, 300)}` : '';
}

function statusOf(body: string): object | undefined {
  try {
    const status: unknown = JSON.parse(body);
    return typeof status === 'object' && status !== null ? status : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** Whether the client certificate is out of its dates, in words: the most usual reason of a 401 after a long outage. */
function certificateDates({ access }: KubeContext): string | undefined {
  if (access.clientCertificate === undefined) return undefined;
  const wallNs = access.wallNs();
  const { validFromDate, validToDate } = new X509Certificate(access.clientCertificate);
  const nowMs = Number(wallNs / 1_000_000n);
  const clock = `this machine's clock says ${dateOf(wallNs)}`;
  if (validToDate.getTime() < nowMs) {
    return `The client certificate expired at ${validToDate.toISOString()}; ${clock}.`;
  }
  if (validFromDate.getTime() <= nowMs) return undefined;
  return `The client certificate is valid from ${validFromDate.toISOString()} on; ${clock}.`;
}

function dateOf(wallNs: bigint): string {
  return new Date(Number(wallNs / 1_000_000n)).toISOString();
}

function unreached(what: string, cause: unknown, context: KubeContext, hint = downHint): SandwardenError {
  return new SandwardenError('ERR_KUBE_UNREACHABLE', `${serverOf(context)} ${what}`, { hint, cause });
}

function failed(
  what: string,
  cause: unknown,
  context: KubeContext,
  hint = `See whether that is the API server: it stands in ${safeText(context.access.from, 300)}.`,
): SandwardenError {
  return answered('ERR_KUBE_FAILED', what, hint, cause, context);
}

function answered(code: ErrorCode, what: string, hint: string, cause: unknown, context: KubeContext): SandwardenError {
  return new SandwardenError(code, `${serverOf(context)} ${what}`, { hint, cause });
}

function proxyRefused(cause: KubeFault, context: KubeContext): SandwardenError {
  const why = cause.cause instanceof Error ? `: ${safeText(cause.cause.message, 300)}` : '';
  const hint = 'See proxy-url in the kubeconfig, and the variables HTTPS_PROXY and NO_PROXY.';
  return unreached(`cannot be reached through the proxy${why}`, cause, context, hint);
}

function serverOf({ access }: KubeContext): string {
  return `the Kubernetes API server ${safeText(access.server.host, 300)}`;
}
