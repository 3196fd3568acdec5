/**
 * A CSI driver as a process: Identity on one unix socket, kubelet's registration protocol on another, as a node plugin
 * with its registrar has them. `driver-process.ts NAME SOCKET [REGISTRATION_SOCKET]`; on stdin, one word a line, how
 * its Probe answers from then on. Each line on stdout says what it did.
 */
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import * as http2 from 'node:http2';
import * as readline from 'node:readline';
import { Code, ConnectError, type ConnectRouter } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { Identity } from '../../src/cri/gen/csi/v1/csi_pb.js';
import { Registration } from '../../src/cri/gen/pluginregistration/v1/registration_pb.js';
import type { ProbeMode } from './driver.ts';

const [name = '', socket = '', registration] = process.argv.slice(2);
let mode: ProbeMode = 'ready';

function say(what: string): void {
  process.stdout.write(`${what}\n`);
}

function identity(router: ConnectRouter): void {
  router.service(Identity, {
    getPluginInfo: () => ({ name, vendorVersion: '1.0.0-lab' }),
    probe: async () => {
      say('probed');
      switch (mode) {
        case 'ready':
          return { ready: true };
        case 'silent-about-it':
          return {};
        case 'not-ready':
          return { ready: false };
        case 'precondition':
          throw new ConnectError('the backend cannot be reached', Code.FailedPrecondition);
        case 'broken':
          throw new ConnectError('it fell over', Code.Internal);
        case 'hang':
          return new Promise(() => {});
      }
    },
  });
}

function registrar(router: ConnectRouter): void {
  router.service(Registration, {
    getInfo: () => {
      say('asked-for-info');
      return { type: 'CSIPlugin', name, endpoint: socket, supportedVersions: ['1.0.0'] };
    },
    notifyRegistrationStatus: ({ pluginRegistered, error }) => {
      say(pluginRegistered ? 'registered' : `not-registered ${error}`);
      return {};
    },
  });
}

async function serve(path: string, routes: (router: ConnectRouter) => void): Promise<void> {
  // As node-driver-registrar and every driver do at their start: what an earlier process left is in the way.
  rmSync(path, { force: true });
  const server = http2.createServer(connectNodeAdapter({ routes, connect: false, grpcWeb: false }));
  server.on('session', (session) => session.on('error', () => {}));
  server.listen(path);
  await once(server, 'listening');
}

await serve(socket, identity);
if (registration !== undefined) await serve(registration, registrar);
say('listening');
for await (const line of readline.createInterface({ input: process.stdin })) {
  mode = line as ProbeMode;
  say(`mode ${mode}`);
}
// Whoever started it is gone.
process.exit(0);
