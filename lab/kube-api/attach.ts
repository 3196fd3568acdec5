import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

/**
 * The server's end of an attach over WebSocket, as far as stdin goes: answers the handshake and hands on what comes in
 * channel 0. Source: apimachinery pkg/util/httpstream/wsstream; RFC 6455.
 */
export function serveStdin(request: IncomingMessage, socket: Duplex, take: (bytes: Buffer) => void): void {
  // Behind a real API server kubelet and the runtime answer, whose streaming servers produce no media type: one that is
  // named is refused (go-restful Route.matchesAccept; kubelet 1.20.2 over containerd 1.7 was asked).
  const taken = (request.headers.accept ?? '*/*').split(',').map((each) => each.trim().split(';')[0]);
  if (!taken.includes('*/*')) return void socket.end(`HTTP/1.1 406 Not Acceptable\r\n${empty}`);
  const offered = (request.headers['sec-websocket-protocol'] ?? '').split(/, */);
  if (!offered.includes('v4.channel.k8s.io')) return void socket.end(`HTTP/1.1 400 Bad Request\r\n${empty}`);
  const key = request.headers['sec-websocket-key'] ?? '';
  const accept = createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade'];
  lines.push(`Sec-WebSocket-Accept: ${accept}`, 'Sec-WebSocket-Protocol: v4.channel.k8s.io', '', '');
  socket.write(lines.join('\r\n'));
  let held: Buffer = Buffer.alloc(0);
  socket.on('error', () => socket.destroy());
  socket.on('data', (chunk: Buffer) => {
    held = Buffer.concat([held, chunk]);
    for (let frame = frameIn(held); frame !== undefined; frame = frameIn(held)) {
      held = held.subarray(frame.length);
      if (frame.opcode === 8) return void socket.end();
      if (frame.opcode === 2 && frame.payload[0] === 0) take(frame.payload.subarray(1));
    }
  });
}

const empty = 'content-length: 0\r\nconnection: close\r\n\r\n';

interface Frame {
  readonly opcode: number;
  readonly payload: Buffer;
  /** Of all of it, head included. */
  readonly length: number;
}

/** The first frame, where all of it has come. Throws where a client did not mask it. */
function frameIn(bytes: Buffer): Frame | undefined {
  if (bytes.length < 2) return undefined;
  const [first = 0, second = 0] = bytes;
  if ((second & 0x80) === 0) throw new Error('a frame of a client is not masked');
  const short = second & 0x7f;
  const head = short < 126 ? 2 : short === 126 ? 4 : 10;
  if (bytes.length < head + 4) return undefined;
  const size = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2));
  const length = head + 4 + size;
  if (bytes.length < length) return undefined;
  const mask = bytes.subarray(head, head + 4);
  const payload = Buffer.from(bytes.subarray(head + 4, length));
  for (let at = 0; at < payload.length; at++) payload[at] = (payload[at] ?? 0) ^ (mask[at & 3] ?? 0);
  return { opcode: first & 0xf, payload, length };
}
