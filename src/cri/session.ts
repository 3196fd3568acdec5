import { statSync } from 'node:fs';
import * as http2 from 'node:http2';
import * as net from 'node:net';
import { limits } from '../model/limits.ts';

/** The authority of every call. Servers built on nghttp2 refuse a socket path there; grpc-go takes anything. */
export const authority = 'http://localhost';

/**
 * What went wrong below gRPC where Node gives no error of its own:
 * `silent`: the socket accepted and sent no HTTP/2 greeting in time; `hung-up`: closed before the greeting;
 * `not-http2`: the greeting was something else; `lost`: closed after the greeting, in the middle of a call;
 * `closed`: `close()` was called.
 */
export type FaultKind = 'silent' | 'hung-up' | 'not-http2' | 'lost' | 'closed';

export class ConnectionFault extends Error {
  override readonly name = 'ConnectionFault';
  readonly kind: FaultKind;

  constructor(kind: FaultKind, cause?: unknown) {
    super(`connection ${kind}`, cause === undefined ? undefined : { cause });
    this.kind = kind;
  }
}

/**
 * One HTTP/2 connection over a unix socket, opened at the first request and opened again after it was lost.
 * It waits for the server's SETTINGS before the first request, so that a socket that accepts and says nothing, or
 * speaks something else, is told apart from a slow call. Idle connections do not keep the process alive.
 *
 * connect-node's own manager is not used: after a protocol error its session emits a second, unhandled `error`.
 */
export class UnixSession {
  readonly authority = authority;
  readonly #path: string;
  readonly #greetingTimeoutMs: number;
  #opening: Promise<http2.ClientHttp2Session> | undefined;
  #session: http2.ClientHttp2Session | undefined;
  #streams = 0;
  #closed = false;

  constructor(path: string, greetingTimeoutMs: number) {
    this.#path = path;
    this.#greetingTimeoutMs = greetingTimeoutMs;
  }

  async request(
    method: string,
    path: string,
    headers: http2.OutgoingHttpHeaders,
    options: Omit<http2.ClientSessionRequestOptions, 'signal'>,
  ): Promise<http2.ClientHttp2Stream> {
    const session = await this.#open();
    const stream = session.request({ ...headers, ':method': method, ':path': path }, options);
    this.#streams++;
    session.ref();
    stream.once('close', () => {
      this.#streams--;
      if (this.#streams === 0) session.unref();
    });
    return stream;
  }

  /** Part of connect-node's interface, for keep-alive, which a local socket does not need. */
  notifyResponseByteRead(): void {}

  /** Ends the connection and every call on it. Later requests fail. */
  close(): void {
    this.#closed = true;
    this.#session?.destroy();
    this.#session = undefined;
  }

  #open(): Promise<http2.ClientHttp2Session> {
    if (this.#closed) return Promise.reject(new ConnectionFault('closed'));
    const session = this.#session;
    if (session && !session.closed && !session.destroyed) return Promise.resolve(session);
    this.#opening ??= greet(this.#path, this.#greetingTimeoutMs)
      .then((opened) => {
        if (this.#closed) {
          opened.destroy();
          throw new ConnectionFault('closed');
        }
        this.#session = opened;
        opened.unref();
        return opened;
      })
      .finally(() => {
        this.#opening = undefined;
      });
    return this.#opening;
  }
}

// Windows wide enough that a listing of thousands is not paced by 64 KiB credits.
const WINDOW_BYTES = 8 * 1024 * 1024;
// Node's own limit of what a session buffers is 10 MB, less than one large answer.
const SESSION_MEGABYTES = Math.ceil((2 * limits.criMessageBytes) / 1_000_000);

function greet(path: string, timeoutMs: number): Promise<http2.ClientHttp2Session> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(path);
    const session = http2.connect(authority, {
      createConnection: () => socket,
      maxSessionMemory: SESSION_MEGABYTES,
      settings: { initialWindowSize: WINDOW_BYTES, enablePush: false },
    });
    let greeted = false;
    const fail = (error: Error) => {
      clearTimeout(timer);
      reject(error);
      session.destroy();
      socket.destroy();
    };
    const timer = setTimeout(() => fail(new ConnectionFault('silent')), timeoutMs);
    // This listener stays for the session's life: an error without a listener would end the process.
    session.on('error', (error: NodeJS.ErrnoException) => {
      if (greeted) return;
      // Closed with our preface unread, or before it was written: unix(7) says that with an error.
      if (error.code === 'ECONNRESET' || error.code === 'EPIPE') fail(new ConnectionFault('hung-up', error));
      else fail(error.code?.startsWith('ERR_HTTP2') ? new ConnectionFault('not-http2', error) : named(error, path));
    });
    session.once('close', () => {
      if (!greeted) fail(new ConnectionFault('hung-up'));
    });
    session.once('remoteSettings', () => {
      greeted = true;
      clearTimeout(timer);
      session.setLocalWindowSize(WINDOW_BYTES);
      resolve(session);
    });
  });
}

/**
 * connect(2) says ECONNREFUSED of a file that is no socket at all (net/unix/af_unix.c, unix_find_bsd), as it does of
 * one that nobody listens on. No daemon will ever listen on it: ENOTSOCK says so.
 */
function named(error: NodeJS.ErrnoException, path: string): Error {
  if (error.code !== 'ECONNREFUSED') return error;
  try {
    if (statSync(path).isSocket()) return error;
  } catch (failure) {
    // It was there a moment ago.
    if (!(failure instanceof Error && 'code' in failure)) throw failure;
    return error;
  }
  return Object.assign(new Error(`${path} is no socket`, { cause: error }), { code: 'ENOTSOCK' });
}
