import type { ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError, type Transport, type UnaryResponse } from '@connectrpc/connect';
import type { UnixSession } from './session.ts';

/**
 * A transport whose unary calls are one request on the session and nothing else; streams go by `rest`.
 *
 * A heal makes hundreds of short calls beside a runtime that needs the processor itself. connect's own unary call
 * (async iterables, an abort controller and its error for each call) took most of a millisecond of it.
 * Errors are connect's: ConnectError, `isWireError` where the other side said it. Whatever the session throws passes.
 * Source: gRPC over HTTP2 (PROTOCOL-HTTP2.md): length-prefixed message, `grpc-timeout`, `grpc-status` in the trailers.
 */
export function withPlainUnary(session: UnixSession, rest: Transport, readMaxBytes: number): Transport {
  return {
    stream: (...call) => rest.stream(...call),
    unary: async (method, signal, timeoutMs, _header, input) => {
      const message = create(method.input, input);
      const bytes = await new Call(session, readMaxBytes).run({
        path: `/${method.parent.typeName}/${method.name}`,
        body: envelopeOf(toBinary(method.input, message)),
        timeoutMs: timeoutMs ?? 0,
        ...(signal ? { signal } : {}),
      });
      const answer = { stream: false, service: method.parent, method, header: none, trailer: none } as const;
      return { ...answer, message: parsed(method.output, bytes) } satisfies UnaryResponse;
    },
  };
}

interface Asked {
  readonly path: string;
  readonly body: Buffer;
  /** Milliseconds; 0: as long as it takes. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

const none = new Headers();
const prefixBytes = 5;

function envelopeOf(message: Uint8Array): Buffer {
  const envelope = Buffer.allocUnsafe(prefixBytes + message.length);
  envelope.writeUInt8(0, 0);
  envelope.writeUInt32BE(message.length, 1);
  envelope.set(message, prefixBytes);
  return envelope;
}

function parsed<O extends DescMessage>(schema: O, bytes: Uint8Array): MessageShape<O> {
  try {
    return fromBinary(schema, bytes);
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error);
    throw new ConnectError(`the answer is no ${schema.typeName}: ${words}`, Code.InvalidArgument);
  }
}

/** One call: what has come of its answer, and whether it has ended. */
class Call {
  readonly #session: UnixSession;
  readonly #readMaxBytes: number;
  #chunks: Buffer[] = [];
  #bytes = 0;
  #stream: ClientHttp2Stream | undefined;
  #answered = false;
  #status: IncomingHttpHeaders | undefined;
  #end: { resolve(message: Uint8Array): void; reject(error: unknown): void } | undefined;

  constructor(session: UnixSession, readMaxBytes: number) {
    this.#session = session;
    this.#readMaxBytes = readMaxBytes;
  }

  async run({ path, body, timeoutMs, signal }: Asked): Promise<Uint8Array> {
    const stop = () => this.#fail(new ConnectError('the call was let go', Code.Canceled));
    const late = () => this.#fail(new ConnectError('the deadline has passed', Code.DeadlineExceeded));
    const timer = timeoutMs > 0 ? setTimeout(late, timeoutMs) : undefined;
    signal?.addEventListener('abort', stop, { once: true });
    try {
      return await new Promise<Uint8Array>((resolve, reject) => {
        this.#end = { resolve, reject };
        if (signal?.aborted) return stop();
        void this.#open(path, body, timeoutMs);
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
    }
  }

  async #open(path: string, body: Buffer, timeoutMs: number): Promise<void> {
    try {
      const limit = timeoutMs > 0 ? { 'grpc-timeout': `${Math.ceil(timeoutMs)}m` } : {};
      const stream = await this.#session.request('POST', path, { ...grpcHeaders, ...limit }, {});
      this.#stream = stream;
      // Also where the call has ended meanwhile: an error without a listener would end the process.
      stream.on('error', (error: NodeJS.ErrnoException) => this.#fail(lost(error, stream.rstCode)));
      if (this.#end === undefined) return stream.close(CANCEL);
      stream.on('response', (headers) => this.#onHeaders(headers));
      stream.on('trailers', (trailers: IncomingHttpHeaders) => {
        if (trailers['grpc-status'] !== undefined) this.#status = trailers;
      });
      stream.on('data', (chunk: Buffer) => this.#onData(chunk));
      stream.on('close', () => this.#onClose(stream.rstCode));
      stream.end(body);
    } catch (error) {
      this.#fail(error);
    }
  }

  #onHeaders(headers: IncomingHttpHeaders): void {
    this.#answered = true;
    const fault = headerFault(headers);
    if (fault) this.#fail(fault);
    // An answer without a message may have its status here.
    else if (headers['grpc-status'] !== undefined) this.#status = headers;
  }

  #onData(chunk: Buffer): void {
    if (this.#end === undefined) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    if (this.#bytes < prefixBytes) return;
    const [first] = this.#chunks;
    if (first !== undefined && first.length < prefixBytes) this.#chunks = [Buffer.concat(this.#chunks)];
    const length = this.#chunks[0]?.readUInt32BE(1) ?? 0;
    if (length > this.#readMaxBytes) {
      this.#fail(new ConnectError(`${length} bytes, ${this.#readMaxBytes} are read`, Code.ResourceExhausted));
    } else if (this.#bytes > prefixBytes + length) {
      this.#fail(new ConnectError('more than one message', Code.Unimplemented));
    }
  }

  #onClose(rstCode: number | undefined): void {
    if (this.#end === undefined) return;
    const answer = Buffer.concat(this.#chunks);
    const fault = this.#status ? statusError(this.#status) : this.#withoutStatus(rstCode);
    const isWhole = answer.length >= prefixBytes && answer.length === prefixBytes + answer.readUInt32BE(1);
    // The first byte says whether it is compressed, which nobody asked for.
    if (fault) this.#fail(fault);
    else if (!isWhole || answer[0] !== 0) this.#fail(new ConnectError('no whole message', Code.Internal));
    else {
      this.#end.resolve(answer.subarray(prefixBytes));
      this.#end = undefined;
    }
  }

  #withoutStatus(rstCode: number | undefined): ConnectError {
    return rstCode === 0 && this.#answered ? new ConnectError('no status', Code.Internal) : lost(undefined, rstCode);
  }

  /** The first failure is the call's; the stream is let go with it. */
  #fail(error: unknown): void {
    const end = this.#end;
    this.#end = undefined;
    this.#chunks = [];
    if (this.#stream && !this.#stream.closed) this.#stream.close(CANCEL);
    end?.reject(error);
  }
}

// RFC 9113, 7.
const REFUSED_STREAM = 0x7;
const CANCEL = 0x8;

const grpcHeaders = { 'content-type': 'application/grpc+proto', te: 'trailers', 'user-agent': 'sandwarden' };

/** What is no answer of gRPC, or undefined. */
function headerFault(headers: IncomingHttpHeaders & { readonly ':status'?: number }): ConnectError | undefined {
  const type = headers['content-type'] ?? '';
  if (headers[':status'] !== 200) return new ConnectError(`HTTP ${headers[':status']}`, Code.Unknown);
  if (/^application\/grpc(?:\+proto)?(?:;|$)/.test(type)) return undefined;
  return new ConnectError(`unsupported content type ${type}`, Code.Unknown);
}

/** What the other side said, or undefined where it said that all is well. */
function statusError(headers: IncomingHttpHeaders): ConnectError | undefined {
  const status = String(headers['grpc-status']);
  if (status === '0') return undefined;
  const code = Number(status);
  const words = unescaped(String(headers['grpc-message'] ?? ''));
  const error = new ConnectError(words, Number.isInteger(code) && code in Code ? code : Code.Unknown);
  error.isWireError = true;
  return error;
}

/** PROTOCOL-HTTP2.md, Status-Message: percent-encoded UTF-8; what is not is taken as it stands. */
function unescaped(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (error) {
    if (error instanceof URIError) return text;
    throw error;
  }
}

/** A stream that ended without an answer: by a reset of the other side, or with its connection. */
function lost(cause: NodeJS.ErrnoException | undefined, rstCode = 0): ConnectError {
  const words = cause?.message ?? `the stream was closed (${rstCode})`;
  if (cause?.code === 'ECONNRESET' || cause?.code === 'EPIPE') {
    return new ConnectError(words, Code.Aborted, undefined, undefined, cause);
  }
  const code = rstCode === 0 || rstCode === CANCEL ? Code.Canceled : Code.Internal;
  return new ConnectError(words, rstCode === REFUSED_STREAM ? Code.Unavailable : code, undefined, undefined, cause);
}
