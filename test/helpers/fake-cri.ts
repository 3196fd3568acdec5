import * as http2 from 'node:http2';
import * as net from 'node:net';
import type { ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { RuntimeService } from '../../src/cri/gen/runtime/v1/runtime_pb.js';

/** What a fake runtime answers; what is left out is Unimplemented. */
export type Handlers = Partial<ServiceImpl<typeof RuntimeService>>;

/** A CRI server of the same descriptors on a unix socket, with the handlers of a test. */
export function fakeCri(path: string, handlers: Handlers): Promise<AsyncDisposable> {
  const adapter = connectNodeAdapter({ routes: (router) => void router.service(RuntimeService, handlers) });
  // Node limits what a session buffers to 10 MB; the tests send larger answers.
  return listen(http2.createServer({ maxSessionMemory: 500 }, adapter), path);
}

/** A server that does with each connection what the test says: nothing, garbage, hanging up. */
export function fakeSocket(path: string, onConnection: (socket: net.Socket) => void): Promise<AsyncDisposable> {
  return listen(net.createServer(onConnection), path);
}

/** Listens; at the end of the scope every connection is cut and the socket is gone. */
export async function listen(server: net.Server | http2.Http2Server, path: string): Promise<AsyncDisposable> {
  const sockets = new Set<net.Socket>();
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => sockets.delete(socket));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, resolve);
  });
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
