/** An API server in a process of its own: `fleet-server.ts NODES PODS`. Says its URL when all is there. */
import { fillFleet } from '../lab/kube-api/fleet.ts';
import { kubeServer } from '../lab/kube-api/server.ts';

const [nodes = '', pods = ''] = process.argv.slice(2);
const api = await kubeServer();
fillFleet(api, {
  nodes: Number(nodes),
  podsPerNode: Math.round(Number(pods) / Number(nodes)),
  // One node in fifty came back from a power cut.
  ghosts: Array.from({ length: Number(nodes) / 50 }, (_, index) => `node-${String(index * 50 + 1).padStart(4, '0')}`),
});
process.stdout.write(`${api.url}\n`);
