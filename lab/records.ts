import { connect } from 'node:http2';
import { createConnection } from 'node:net';

/**
 * Copies the record of a sandbox in containerd's own store under another id: two records with one CRI name, as two
 * RunPodSandbox calls would leave them. The message is copied as bytes, so that nothing of it is lost whatever the
 * version. The id is replaced wherever it stands (CRI's metadata, the snapshot's key, the spec): both have 64 digits.
 * Source: containerd api/services/containers/v1/containers.proto (GetContainerResponse and CreateContainerRequest both
 * hold the Container as field 1, GetContainerRequest the id).
 */
export async function copyContainerRecord(socket: string, id: string, newId: string): Promise<void> {
  if (id.length !== newId.length) throw new Error('the two ids must have one length');
  const asked = Buffer.concat([Buffer.of(0x0a, id.length), Buffer.from(id)]);
  const record = await unary(socket, 'Get', asked);
  await unary(socket, 'Create', Buffer.from(record.toString('latin1').replaceAll(id, newId), 'latin1'));
}

/** One call of containerd.services.containers.v1.Containers over HTTP/2. Throws an Error for a failed status. */
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
