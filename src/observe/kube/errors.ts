import { X509Certificate } from 'node:crypto';
import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import type { KubeAccess } from './access.ts';

/** What broke on our side of a request, or in an answer that no error of Node's stands for. */
export class KubeFault extends Error {
  override readonly name = 'KubeFault';
  readonly kind: 'too-late' | 'too-large' | 'not-json' | 'not-a-list' | 'too-many-pages' | 'unknown-host';

  constructor(kind: KubeFault['kind'], options?: ErrorOptions) {
    super(kind, options);
    this.kind = kind;
  }
}

/** An answer with a status other than 200. `body` is the server's and may be anything. */
export class KubeStatus extends Error {
  override readonly name = 'KubeStatus';
  readonly status: number;
  readonly body: string;

  constructor(status: number, body: string) {
    super(`status ${status}`);
    this.status = status;
    this.body = body;
  }
}

export interface KubeContext {
  readonly access: KubeAccess;
  readonly timeoutMs: number;
  /** This machine's wall clock, nanoseconds: certificates are valid or not by it. */
  readonly wallNs: bigint;
}

/**
 * The one place that turns what a request to the API can throw into a SandwardenError; the original is its `cause`.
 * ERR_KUBE_UNREACHABLE: nobody answered whom we may trust. ERR_FORBIDDEN: 401, 403. ERR_KUBE_FAILED: any other answer.
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
  'The check goes on without it. Where the API server is a pod of this node, it may be down because of what is found.';

function certificateError(code: string, cause: unknown, context: KubeContext): SandwardenError | undefined {
  const clock = `This machine's clock says ${dateOf(context.wallNs)}; see whether it is right.`;
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
  }
}

function statusError(answer: KubeStatus, context: KubeContext): SandwardenError {
  const { status } = answer;
  const words = wordsOf(answer.body);
  if (status === 401) {
    const hint = certificateDates(context) ?? 'The credentials are not of this cluster, or not valid any more.';
    return forbidden(`does not accept the credentials of ${safeText(context.access.from, 300)}`, hint, answer, context);
  }
  if (status === 403) {
    const hint = 'Name a kubeconfig that may list the pods of this node: --kubeconfig FILE.';
    return forbidden(`forbids it${words}`, hint, answer, context);
  }
  if (status >= 300 && status < 400)
    return failed(`points elsewhere (${status}), which is not followed`, answer, context);
  if (status === 429) return failed('is overloaded (429 Too Many Requests)', answer, context, 'Try again later.');
  return failed(`answered with status ${status}${words}`, answer, context);
}

/** `message` of a Status object (meta/v1), shortened and made safe; empty where there is none. */
function wordsOf(body: string): string {
  try {
    const status: unknown = JSON.parse(body);
    const message = typeof status === 'object' && status !== null && 'message' in status ? status.message : undefined;
    return typeof message === 'string' && message !== '' ? `: ${safeText(message, 300)}` : '';
  } catch (error) {
    if (error instanceof SyntaxError) return '';
    throw error;
  }
}

/** Whether the client certificate is out of its dates, in words: the most usual reason of a 401 after a long outage. */
function certificateDates({ access, wallNs }: KubeContext): string | undefined {
  if (access.clientCertificate === undefined) return undefined;
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
  return new SandwardenError('ERR_KUBE_FAILED', `${serverOf(context)} ${what}`, { hint, cause });
}

function forbidden(what: string, hint: string, cause: unknown, context: KubeContext): SandwardenError {
  return new SandwardenError('ERR_FORBIDDEN', `${serverOf(context)} ${what}`, { hint, cause });
}

function serverOf({ access }: KubeContext): string {
  return `the Kubernetes API server ${safeText(access.server.host, 300)}`;
}
