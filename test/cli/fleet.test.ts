// Goal: one screen tells which nodes are in trouble and with what, oldest first; scripts get the same.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import * as net from 'node:net';
import { describe, test } from 'node:test';
import { addNode, fillFleet } from '../../lab/kube-api/fleet.ts';
import { kubeServer } from '../../lab/kube-api/server.ts';
import { run as runFleet } from '../../src/cli/fleet.ts';
import type { Io, Output } from '../../src/cli/frame/io.ts';
import { fleetText } from '../../src/cli/render/fleet-text.ts';
import type { FleetReport, FleetVerdict } from '../../src/model/fleet.ts';
import { limits } from '../../src/model/limits.ts';
import { tempDir } from '../helpers/temp.ts';
import { assertGolden } from './golden.ts';
import { sandwarden } from './spawn.ts';

const minuteNs = 60_000_000_000n;
const nowNs = 1_795_290_000n * 1_000_000_000n;

function verdict(name: string, over: Partial<FleetVerdict> = {}): FleetVerdict {
  return { name, state: 'healthy', ghosts: 0, podsNotReady: 0, problems: [], ...over };
}

const sick = verdict('node-0007', {
  state: 'errors',
  ghosts: 36,
  rebootedNs: nowNs - 38n * minuteNs,
  uncleanBoot: { atNs: nowNs - 38n * minuteNs },
  readySinceNs: nowNs - 37n * minuteNs,
  sinceNs: nowNs - 37n * minuteNs,
  problems: [
    { severity: 'error', says: '36 pods cannot start: 36 old sandboxes hold the name', suspects: 'SW101' },
    {
      severity: 'error',
      says: 'CSI plugin longhorn-csi-plugin-x7k2m: CrashLoopBackOff, 45 restarts',
      suspects: 'SW303',
    },
    { severity: 'warning', says: '3 pods are not well: 2 ContainerCreating, 1 \u001b[31mOdd' },
  ],
});
const warned = verdict('a-node-with-a-long-name.eu-central-1.example', {
  state: 'warnings',
  readySinceNs: nowNs - 7_300n * minuteNs,
  problems: [{ severity: 'warning', says: 'it reports DiskPressure' }],
});

function report(nodes: readonly FleetVerdict[], over: Partial<FleetReport> = {}): FleetReport {
  const count = (state: string) => nodes.filter((each) => each.state === state).length;
  const counts = { errors: count('errors'), warnings: count('warnings'), healthy: count('healthy') };
  return { server: 'api:6443', nowNs, nodes, counts, missing: [], ...over };
}

describe('fleet as text', () => {
  const missing = [
    { what: 'events (ghosts, reboots and churn are not seen)', message: 'it is forbidden', hint: 'Allow it.' },
  ];
  for (const width of [40, 80, 120]) {
    const style = { colour: false, unicode: true, width };
    test(`${width} columns`, () => {
      const nodes = [sick, warned, ...Array.from({ length: 998 }, (_, index) => verdict(`node-${index}`))];
      const text = fleetText(report(nodes, { missing }), style, false);
      assertGolden(`fleet.${width}.txt`, text);
      for (const line of text.split('\n')) assert.ok([...line].length <= width, line);
    });
  }

  test('more than a screen of trouble is counted, and shown with --all', () => {
    const style = { colour: false, unicode: true, width: 120 };
    const nodes = Array.from({ length: limits.fleetRows + 30 }, (_, index) => ({
      ...(index < 25 ? sick : warned),
      name: `n${index}`,
    }));
    const text = fleetText(report(nodes), style, false);
    assert.match(text, /and 30 more nodes \(5 in trouble, 25 with warnings\): --all shows them\./);
    assert.match(fleetText(report(nodes), style, true), /\nn49 /);
    assert.match(
      fleetText(report([verdict('n')]), style, false),
      /^1 node, all in order as far as the API can tell\.\n$/,
    );
  });
});

describe('sandwarden fleet', () => {
  async function run(prepare: (api: Awaited<ReturnType<typeof kubeServer>>) => void, ...args: string[]) {
    await using api = await kubeServer();
    await using home = await tempDir();
    prepare(api);
    const config = {
      'current-context': 'none',
      contexts: [{ name: 'here', context: { cluster: 'c' } }],
      clusters: [{ name: 'c', cluster: { server: api.url } }],
    };
    await writeFile(home.join('config'), JSON.stringify(config));
    return await sandwarden(['fleet', '--kubeconfig', home.join('config'), '--context', 'here', ...args]);
  }

  test('a power cut on one node of five: its exit code, its line, and the same as JSON', async () => {
    const prepare = (api: Awaited<ReturnType<typeof kubeServer>>) =>
      fillFleet(api, { nodes: 5, podsPerNode: 40, ghosts: ['node-0003'] });
    const text = await run(prepare);
    assert.equal(text.code, 20, text.stderr);
    assert.match(text.stdout, /^5 nodes: 1 in trouble, 4 in order\.\n/);
    assert.match(text.stdout, /\nnode-0003 +error +36 +38min +38min +3[78]min +36 pods cannot start/);
    const json = await run(prepare, '-o', 'json');
    const { format, exitCode, nodes } = JSON.parse(json.stdout) as {
      format: string;
      exitCode: number;
      nodes: { name: string }[];
    };
    assert.deepEqual([format, exitCode, nodes.map(({ name }) => name)], ['sandwarden.fleet/1', 20, ['node-0003']]);
  });

  test('at a terminal it says whom it waits for; Ctrl-C ends it', async () => {
    await using dir = await tempDir();
    const asked = Promise.withResolvers<void>();
    await using server = await listeningServer(() => asked.resolve());
    const config = {
      'current-context': 'here',
      contexts: [{ name: 'here', context: { cluster: 'c' } }],
      clusters: [{ name: 'c', cluster: { server: server.url } }],
    };
    await writeFile(dir.join('config'), JSON.stringify(config));
    const [said, interrupt] = [Promise.withResolvers<string>(), Promise.withResolvers<() => void>()];
    const output = (write: (text: string) => void): Output => {
      return { write, isTerminal: true, columns: 80, takesColour: false };
    };
    const io: Io = {
      ...{ env: {}, stdinIsTerminal: true, stdout: output(assert.fail), stderr: output(said.resolve) },
      confirm: () => Promise.resolve(false),
      onInterrupt: (handler) => {
        interrupt.resolve(handler);
        return () => {};
      },
    };
    const value = (name: string) => (name === 'kubeconfig' ? dir.join('config') : undefined);
    const args = { command: 'fleet', argument: undefined, raw: [], flag: () => false, value, values: () => [] };
    const ended = assert.rejects(runFleet(args, io), { code: 'ERR_INTERRUPTED' });
    await asked.promise;
    assert.match(await said.promise, /^Waiting for the Kubernetes API at 127\.0\.0\.1:\d+, at most 60 s\.\n$/);
    (await interrupt.promise)();
    await ended;
  });

  test('all in order, nothing there, and nobody allowed', async () => {
    assert.equal((await run((api) => addNode(api, 'n1', Date.now()))).code, 0);
    const gone = await sandwarden(['fleet', '--kubeconfig', '/none']);
    assert.equal(gone.code, 64);
    assert.match(gone.stderr, /there is no kubeconfig/);
  });
});

/** Takes connections and says nothing. */
async function listeningServer(onAsked: () => void): Promise<{ readonly url: string } & AsyncDisposable> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket.on('error', () => socket.destroy()));
    socket.once('data', onAsked);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  const { port } = server.address() as net.AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}
