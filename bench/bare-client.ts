/** The reference of the bench: connect-node with the same descriptors lists sandboxes and containers, and ends. */
import { connect } from 'node:net';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { RuntimeService } from '../src/cri/gen/runtime/v1/runtime_pb.js';

const path = process.argv[2] ?? '';
const transport = createGrpcTransport({
  baseUrl: 'http://localhost',
  nodeOptions: { createConnection: () => connect(path) },
});
const client = createClient(RuntimeService, transport);
const [{ items }, { containers }] = await Promise.all([client.listPodSandbox({}), client.listContainers({})]);
process.stdout.write(`${items.length} sandboxes, ${containers.length} containers\n`);
process.exit();
