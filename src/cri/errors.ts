import { Code, ConnectError } from '@connectrpc/connect';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { ConnectionFault } from './session.ts';

/** Where an error came from: the endpoint as a person wrote it, the call, and its deadline. */
export interface CallContext {
  readonly endpoint: string;
  readonly call: string;
  readonly timeoutMs: number;
  /** How long the call had been going on when it failed; tells a deadline from a lost connection. */
  readonly elapsedMs?: number;
}

/** The server counts from the arrival of the call and rounds; timers are late on a busy machine. */
const deadlineSlackMs = 50;

/**
 * Whether a call had used up its deadline. containerd 2.x (a newer grpc-go) resets the stream with CANCEL at the
 * deadline that the client sent along, often before the client's own timer: on the wire that looks like a lost
 * connection.
 */
export function isAtDeadline(elapsedMs: number, timeoutMs: number): boolean {
  return timeoutMs > 0 && elapsedMs >= timeoutMs - deadlineSlackMs;
}

/**
 * The one place that turns what a CRI call can throw into a SandwardenError; the original is its `cause`.
 * Sources: errno of connect(2); gRPC status codes; containerd internal/cri/server (`server is not initialized yet`
 * is Unknown in 1.6/1.7 and Unavailable in 2.x; an id that is gone is NotFound, in old versions Unknown).
 */
export function translateCriError(error: unknown, context: CallContext): SandwardenError {
  if (error instanceof SandwardenError) return error;
  const chain = causes(error);
  const ours = chain.find((each) => each instanceof SandwardenError);
  if (ours instanceof SandwardenError) return ours;
  const fault = chain.find((each) => each instanceof ConnectionFault);
  if (fault instanceof ConnectionFault) return faultError(fault, error, context);
  for (const each of chain) {
    const code = (each as NodeJS.ErrnoException).code;
    const found = typeof code === 'string' ? errnoError(code, error, context) : undefined;
    if (found) return found;
  }
  const status = chain.find((each) => each instanceof ConnectError);
  if (status instanceof ConnectError) return statusError(status, error, context);
  return failed(wordsOf(error), error, context);
}

/** Anything can be thrown, also what has no words: `{ toString: [] }`. */
function wordsOf(error: unknown): string {
  if (error instanceof Error) return error.message;
  return typeof error === 'string' ? error : `an error that says nothing (${typeof error})`;
}

/** The error of connect(2) (or stat) on the socket, or undefined where `errno` is none of a socket's. */
export function errnoError(errno: string, cause: unknown, context: CallContext): SandwardenError | undefined {
  const at = safeText(context.endpoint);
  switch (errno) {
    case 'ENOENT':
    case 'ENOTDIR':
      return new SandwardenError('ERR_SOCKET_MISSING', `there is no socket at ${at}`, {
        hint: 'Start the container runtime (systemctl status containerd), or name its socket with --runtime-endpoint.',
        cause,
      });
    case 'EACCES':
    case 'EPERM':
      return new SandwardenError('ERR_SOCKET_FORBIDDEN', `no permission to open the socket ${at}`, {
        hint: 'Run it as root (sudo sandwarden …).',
        cause,
      });
    case 'ECONNREFUSED':
      return new SandwardenError(
        'ERR_SOCKET_REFUSED',
        `nobody listens on the socket ${at}: the file is there, the daemon is down`,
        {
          hint: 'See why the container runtime stopped: systemctl status containerd; journalctl -b -u containerd.',
          cause,
        },
      );
    case 'EAGAIN':
      return hung(`the socket ${at} takes no more connections: its daemon does not accept`, cause);
    case 'ENOTSOCK':
    case 'EPROTOTYPE':
    case 'EPROTONOSUPPORT':
      return notCri(`${at} is no socket that takes connections`, cause);
    case 'ENAMETOOLONG':
    case 'ELOOP':
    case 'EINVAL':
      return new SandwardenError('ERR_SOCKET_MISSING', `${at} cannot be a socket's path (${errno})`, {
        hint: 'Name the socket with --runtime-endpoint, e.g. unix:///run/containerd/containerd.sock.',
        cause,
      });
    default:
      return undefined;
  }
}

function faultError(fault: ConnectionFault, cause: unknown, context: CallContext): SandwardenError {
  const at = safeText(context.endpoint);
  switch (fault.kind) {
    case 'silent':
      return hung(`the socket ${at} accepts connections but does not answer`, cause);
    case 'hung-up':
      return notCri(`${at} closed the connection before it said anything`, cause);
    case 'not-http2':
      return notCri(`what listens on ${at} does not speak gRPC`, cause);
    case 'lost':
      return failed('the connection was lost in the middle of the call', cause, context);
    case 'closed':
      return failed('the connection had been closed on our side', cause, context);
  }
}

function statusError(status: ConnectError, cause: unknown, context: CallContext): SandwardenError {
  if (!status.isWireError) return localError(status, cause, context);
  const words = status.rawMessage;
  if (words.includes('server is not initialized yet')) {
    return new SandwardenError(
      'ERR_RUNTIME_NOT_READY',
      `the runtime at ${safeText(context.endpoint)} is still starting`,
      {
        hint: 'It reads its records first. Try again in some seconds; if it stays so, see journalctl -b -u containerd.',
        cause,
      },
    );
  }
  switch (status.code) {
    case Code.DeadlineExceeded:
      return tooLate(cause, context);
    case Code.NotFound:
      return notFound(words, cause, context);
    case Code.Unknown:
      return isNotFound(words) ? notFound(words, cause, context) : failed(words, cause, context);
    case Code.Unimplemented:
      return unimplemented(words, cause, context);
    default:
      return failed(words, cause, context);
  }
}

/**
 * containerd 1.6/1.7 wraps some look-ups with fmt.Errorf, which gRPC sends as Unknown:
 * `an error occurred when try to find sandbox: not found` (pkg/cri/server/sandbox_status.go),
 * `an error occurred when try to find container "…": not found`; CRI-O: `… does not exist`.
 */
function isNotFound(words: string): boolean {
  return /: not found$|^not found$|does not exist$/.test(words.slice(-2_000).trim());
}

/** A status that connect gave itself: nothing of it was said by the other side. */
function localError(status: ConnectError, cause: unknown, context: CallContext): SandwardenError {
  switch (status.code) {
    case Code.DeadlineExceeded:
      return tooLate(cause, context);
    case Code.Canceled:
    case Code.Aborted:
      if (isAtDeadline(context.elapsedMs ?? 0, context.timeoutMs)) return tooLate(cause, context);
      return faultError(new ConnectionFault('lost'), cause, context);
    case Code.ResourceExhausted:
      return failed(
        `the answer is too large (${status.rawMessage})`,
        cause,
        context,
        `The limit is ${limits.criMessageBytes} bytes; no healthy runtime answers with more.`,
      );
    default: {
      const words = safeText(status.rawMessage, 200);
      return notCri(`what listens on ${safeText(context.endpoint)} does not speak gRPC (${words})`, cause);
    }
  }
}

function tooLate(cause: unknown, context: CallContext): SandwardenError {
  const at = safeText(context.endpoint);
  return hung(`the runtime at ${at} did not answer ${context.call} within ${seconds(context.timeoutMs)}`, cause);
}

function hung(message: string, cause: unknown): SandwardenError {
  return new SandwardenError('ERR_SOCKET_HUNG', message, {
    hint: 'The container runtime hangs or is overloaded; see what it waits for before restarting it.',
    cause,
  });
}

function unimplemented(words: string, cause: unknown, context: CallContext): SandwardenError {
  if (/^unknown method\b/.test(words) || /\bRuntimeConfig\b|\bGetContainerEvents\b|not implemented/.test(words)) {
    return new SandwardenError('ERR_CRI_UNIMPLEMENTED', `the runtime does not implement ${context.call}`, {
      hint: 'A newer version of the runtime does; what hangs on it is left out.',
      cause,
    });
  }
  return notCri(
    `what listens on ${safeText(context.endpoint)} does not serve CRI v1 (${safeText(words, 200)})`,
    cause,
    'containerd serves it from 1.6 on and only if disabled_plugins in /etc/containerd/config.toml does not name "cri".',
  );
}

/** Whether a call failed because its connection went away: the runtime was restarted, and a read may be asked again. */
export function isConnectionLost(error: unknown): boolean {
  return causes(error).some(
    (each) =>
      each instanceof ConnectError && !each.isWireError && (each.code === Code.Canceled || each.code === Code.Aborted),
  );
}

function notFound(words: string, cause: unknown, context: CallContext): SandwardenError {
  return new SandwardenError('ERR_CRI_NOT_FOUND', `${context.call}: ${safeText(words, 500)}`, {
    hint: 'It is gone; look again.',
    cause,
  });
}

function notCri(
  message: string,
  cause: unknown,
  hint = 'Name the socket of the runtime with --runtime-endpoint, e.g. unix:///run/containerd/containerd.sock.',
): SandwardenError {
  return new SandwardenError('ERR_SOCKET_NOT_CRI', message, { hint, cause });
}

function failed(
  words: string,
  cause: unknown,
  context: CallContext,
  hint = 'The words are the runtime’s own; its log says more: journalctl -b -u containerd.',
): SandwardenError {
  return new SandwardenError('ERR_CRI_FAILED', `${context.call} failed: ${safeText(words)}`, { hint, cause });
}

function causes(error: unknown): Error[] {
  const chain: Error[] = [];
  let each = error;
  while (each instanceof Error && !chain.includes(each)) {
    chain.push(each);
    each = each.cause;
  }
  return chain;
}

function seconds(ms: number): string {
  return ms >= 1_000 ? `${Math.round(ms / 100) / 10} s` : `${ms} ms`;
}
