import { connect } from 'node:http2';
import { createConnection } from 'node:net';

/**
 * Copies the record of a container in containerd's own store under another id: two records with one CRI name.
 * The message is copied as bytes, so that nothing of it is lost, whatever the version.
 * Source: containerd api/services/containers/v1/containers.proto (Container.id is field 1, and Container is field 1 of
 * GetContainerResponse and of CreateContainerRequest).
 */
export async function copyContainerRecord(socket: string, id: string, newId: string): Promise<void> {
  const got = await unary(socket, 'Get', bytesField(1, Buffer.from(id)));
  const [container] = fields(got).filter(({ number }) => number === 1);
  if (!container) throw new Error(`containerd answered without the record ${id}`);
  const copy = fields(container.value).map((field) =>
    field.number === 1 ? bytesField(1, Buffer.from(newId)) : field.raw,
  );
  await unary(socket, 'Create', bytesField(1, Buffer.concat(copy)));
}

/** One call of containerd.services.containers.v1.Containers, as gRPC over HTTP/2. Throws an Error for a failed status. */
async function unary(socket: string, method: string, message: Buffer): Promise<Buffer> {
  const session = connect('http://localhost', { createConnection: () => createConnection(socket) });
  try {
    return await new Promise((resolve, reject) => {
      session.on('error', reject);
      const stream = session.request({
        ':method': 'POST',
        ':path': `/containerd.services.containers.v1.Containers/${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
        'containerd-namespace': 'k8s.io',
      });
      const chunks: Buffer[] = [];
      let status: unknown;
      let words: unknown;
      const readStatus = (headers: Record<string, unknown>) => {
        status = headers['grpc-status'] ?? status;
        words = headers['grpc-message'] ?? words;
      };
      stream.on('response', readStatus);
      stream.on('trailers', readStatus);
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('error', reject);
      stream.on('end', () => {
        if (status === '0') resolve(Buffer.concat(chunks).subarray(5));
        else reject(new Error(`containerd's ${method} failed: ${String(status)} ${String(words)}`));
      });
      stream.setTimeout(10_000, () => reject(new Error(`containerd's ${method} did not answer`)));
      const head = Buffer.alloc(5);
      head.writeUInt32BE(message.length, 1);
      stream.end(Buffer.concat([head, message]));
    });
  } finally {
    session.destroy();
  }
}

interface Field {
  readonly number: number;
  /** With its tag (and length). */
  readonly raw: Buffer;
  /** Only for length-delimited fields. */
  readonly value: Buffer;
}

/** The top-level fields of a protobuf message: varint (0), 64-bit (1), length-delimited (2), 32-bit (5). */
function fields(message: Buffer): Field[] {
  const found: Field[] = [];
  let at = 0;
  while (at < message.length) {
    const begin = at;
    const tag = varint(message, at);
    at = tag.next;
    const wire = tag.value & 7;
    let value: Buffer = Buffer.alloc(0);
    if (wire === 2) {
      const length = varint(message, at);
      value = message.subarray(length.next, length.next + length.value);
      at = length.next + length.value;
    } else if (wire === 0) at = varint(message, at).next;
    else if (wire === 1) at += 8;
    else if (wire === 5) at += 4;
    else throw new Error(`wire type ${wire} in a record of containerd`);
    found.push({ number: tag.value >>> 3, raw: message.subarray(begin, at), value });
  }
  return found;
}

function varint(message: Buffer, from: number): { value: number; next: number } {
  let value = 0;
  for (let index = 0; index < 10; index += 1) {
    const byte = message[from + index];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) return { value, next: from + index + 1 };
  }
  throw new Error('a record of containerd ends in the middle of a number');
}

function bytesField(number: number, value: Buffer): Buffer {
  const head: number[] = [(number << 3) | 2];
  for (let length = value.length; ; length >>>= 7) {
    head.push(length > 0x7f ? (length & 0x7f) | 0x80 : length);
    if (length <= 0x7f) break;
  }
  return Buffer.concat([Buffer.from(head), value]);
}
