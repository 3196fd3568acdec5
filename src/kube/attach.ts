import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { Duplex } from 'node:stream';
import { limits } from '../model/limits.ts';

/** The protocol of exec and attach since Kubernetes 1.4: the first byte of each message is the channel. */
const channelProtocol = 'v4.channel.k8s.io';
const stdinChannel = 0;

/** The headers that ask for a WebSocket (RFC 6455), and what the server must answer to them. */
export function upgradeHeaders(): { readonly headers: Readonly<Record<string, string>>; readonly accept: string } {
  const key = randomBytes(16).toString('base64');
  return {
    headers: {
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': key,
      'sec-websocket-version': '13',
      'sec-websocket-protocol': channelProtocol,
    },
    accept: acceptOf(key),
  };
}

/** The value of Sec-WebSocket-Accept to a key. */
function acceptOf(key: string): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/** Writes `bytes` to the stdin at the other end of a WebSocket, no faster than it is taken there. */
export async function writeStdin(socket: Duplex, bytes: Buffer, signal: AbortSignal): Promise<void> {
  // Nothing is asked for but stdin; what comes all the same is not kept.
  socket.resume();
  for (let at = 0; at < bytes.length; at += limits.kubeAttachBytes) {
    signal.throwIfAborted();
    const chunk = bytes.subarray(at, at + limits.kubeAttachBytes);
    const message = frameOf(Buffer.concat([Buffer.of(stdinChannel), chunk]));
    if (!socket.write(message)) await once(socket, 'drain', { signal });
  }
}

/** A whole binary message, masked as a client's must be. */
function frameOf(payload: Buffer): Buffer {
  const mask = randomBytes(4);
  const head = Buffer.alloc(payload.length < 126 ? 2 : payload.length < 65_536 ? 4 : 10);
  const [final, binary, masked] = [0x80, 0x02, 0x80];
  head[0] = final | binary;
  if (head.length === 2) head[1] = masked | payload.length;
  else if (head.length === 4) {
    head[1] = masked | 126;
    head.writeUInt16BE(payload.length, 2);
  } else {
    head[1] = masked | 127;
    head.writeBigUInt64BE(BigInt(payload.length), 2);
  }
  const body = Buffer.from(payload);
  for (let at = 0; at < body.length; at++) body[at] = (body[at] ?? 0) ^ (mask[at & 3] ?? 0);
  return Buffer.concat([head, mask, body]);
}
