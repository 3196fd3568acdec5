// Goal: of a large cluster, fleet tells the few nodes in trouble and gets its lists by pages; a look at one node asks
// for the pods of that node and of no other.
// Method: 1,000 nodes with 5,000 pods on an API server: what was asked of it, and what came of that.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { fillFleet } from '../../lab/kube-api/fleet.ts';
import { type KubeServer, kubeServer } from '../../lab/kube-api/server.ts';
import { run as runFleet } from '../../src/cli/fleet.ts';
import type { Args } from '../../src/cli/frame/command.ts';
import type { Io, Output } from '../../src/cli/frame/io.ts';
import { openEyes } from '../../src/cli/look.ts';
import { limits } from '../../src/model/limits.ts';
import { tempDir } from '../helpers/temp.ts';

const [nodes, podsPerNode] = [1_000, 5];
const nameOf = (index: number) => `node-${String(index).padStart(4, '0')}`;
/** One node in fifty came back from a power cut. */
const sick = Array.from({ length: nodes / 50 }, (_, index) => nameOf(index * 50 + 1));
/** One besides has a pod that crash-loops, of a namespace of its own. */
const warned = nameOf(500);

const large: { api?: KubeServer; home?: Awaited<ReturnType<typeof tempDir>> } = {};

before(async () => {
  const api = await kubeServer();
  const home = await tempDir();
  Object.assign(large, { api, home });
  fillFleet(api, { nodes, podsPerNode, ghosts: sick });
  const waiting = { waiting: { reason: 'CrashLoopBackOff' } };
  const pod = (name: string, node: string, status: object) => {
    const metadata = { name, namespace: 'kube-system', creationTimestamp: '2026-01-01T00:00:00Z' };
    api.add({ kind: 'Pod', metadata, spec: { nodeName: node, containers: [{ name: 'c' }] }, status });
  };
  const containerStatuses = [{ name: 'c', ready: false, restartCount: 41, state: waiting }];
  pod('looping', warned, { phase: 'Running', containerStatuses });
  // Finished pods stay in the API until somebody deletes them; they are nobody's problem and are not asked for.
  for (let index = 1; index <= 30; index++) pod(`report-${index}`, nameOf(index), { phase: 'Succeeded' });
  const config = {
    'current-context': 'c',
    contexts: [{ name: 'c', context: { cluster: 'c' } }],
    clusters: [{ name: 'c', cluster: { server: api.url } }],
  };
  await writeFile(home.join('config'), JSON.stringify(config));
});

after(async () => {
  await large.api?.[Symbol.asyncDispose]();
  await large.home?.[Symbol.asyncDispose]();
});

/** What was asked of the server meanwhile: `list pods limit=500 …`, a page after the first marked as such. */
async function asking<T>(run: (kubeconfig: string) => Promise<T>): Promise<{ result: T; asked: string[] }> {
  const { api, home } = large;
  assert.ok(api && home);
  const from = api.asked.length;
  const result = await run(home.join('config'));
  const asked = api.asked.slice(from).map(({ verb, resource, name, subresource, query }) => {
    const page = [query.get('limit') && `limit=${query.get('limit')}`, query.get('fieldSelector')];
    const words = [verb, resource.name, name, subresource, ...page, query.get('continue') && 'next page'];
    return words.filter((each) => each !== null && each !== undefined).join(' ');
  });
  return { result, asked: asked.sort() };
}

function argsOf(command: string, values: Readonly<Record<string, string>>): Args {
  const value = (name: string) => values[name];
  return { command, argument: undefined, raw: [], flag: () => false, value, values: () => [] };
}

describe('1,000 nodes with 5,000 pods', () => {
  async function fleet(output: 'text' | 'json') {
    let told = '';
    const to = (write: (text: string) => void): Output => {
      return { write, isTerminal: false, columns: 120, takesColour: false };
    };
    const stdout = to((text) => {
      told += text;
    });
    const io: Io = {
      ...{ env: {}, stdinIsTerminal: false, stdout, stderr: to(assert.fail) },
      confirm: () => Promise.resolve(false),
      onInterrupt: () => () => {},
    };
    const { result, asked } = await asking((kubeconfig) => runFleet(argsOf('fleet', { kubeconfig, output }), io));
    return { exitCode: result, told, asked };
  }

  test('fleet tells who is in trouble and with what', async () => {
    const { exitCode, told } = await fleet('text');
    assert.equal(exitCode, 20);
    assert.match(told, /^1,000 nodes: 20 in trouble, 1 with warnings, 979 in order\.\n/);
    assert.match(told, /\nnode-0951 +error +5 +38min +38min +3[78]min +5 pods cannot start: 5 old sandboxes hold/);
    const json = JSON.parse((await fleet('json')).told) as {
      counts: object;
      missing: unknown[];
      nodes: { name: string; state: string; ghosts: number; podsNotReady: number }[];
    };
    assert.deepEqual(json.counts, { errors: 20, warnings: 1, healthy: 979 });
    assert.deepEqual(json.missing, []);
    const found = json.nodes.map((each) => [each.name, each.state, each.ghosts, each.podsNotReady]);
    assert.deepEqual(found.sort(), [
      ...sick.filter((each) => each < warned).map((each) => [each, 'errors', 5, 5]),
      [warned, 'warnings', 0, 1],
      ...sick.filter((each) => each > warned).map((each) => [each, 'errors', 5, 5]),
    ]);
  });

  test('fleet gets its lists by pages, pods as the longest ones, and asks for nothing else', async () => {
    const unfinished = 'status.phase!=Succeeded,status.phase!=Failed';
    const page = `limit=${limits.kubePageItems}`;
    const podPage = `limit=${limits.fleetPageItems} ${unfinished}`;
    const { asked } = await fleet('text');
    assert.deepEqual(asked, [
      `list daemonsets ${page}`,
      ...['FailedCreatePodSandBox', 'FailedMount', 'Rebooted', 'SandboxChanged'].map(
        (reason) => `list events ${page} reason=${reason}`,
      ),
      `list leases ${page}`,
      `list leases ${page} next page`,
      `list nodes ${page}`,
      `list nodes ${page} next page`,
      `list pods ${podPage}`,
      // 5,001 pods that are not finished.
      `list pods ${podPage} next page`,
    ]);
  });

  test('a look at one node asks for its pods alone, whatever else the cluster has', async () => {
    const { result, asked } = await asking(async (kubeconfig) => {
      // Where kubelet's log cannot be read the API is asked for kubelet's events too.
      const log = large.home?.join('kubelet.log') ?? assert.fail();
      await writeFile(log, 'I1121 18:00:00.000000 367 server.go:527] "Kubelet version" kubeletVersion="v1.32.4"\n');
      const values = { kubeconfig, 'node-name': warned, 'kubelet-log': log, 'runtime-endpoint': 'unix:///none.sock' };
      await using eyes = await openEyes(argsOf('check', values), {});
      return await eyes.look();
    });
    // A kubelet whose cgroup driver no file of this machine tells is asked itself.
    const always = asked.filter((each) => each !== `get nodes ${warned} proxy`);
    assert.deepEqual(always, [
      `get csinodes ${warned}`,
      `list pods limit=${limits.kubePageItems} spec.nodeName=${warned}`,
      `list volumeattachments limit=${limits.kubePageItems}`,
    ]);
    assert.ok(result.pods.known);
    const names = result.pods.value.map((each) => `${each.namespace}/${each.name}`);
    const own = ['app-1-05001', 'app-2-05002', 'app-3-05003', 'app-4-05004', 'longhorn-csi-plugin-05000'];
    assert.deepEqual(names.sort(), [...own.map((each) => `default/${each}`), 'kube-system/looping']);
  });
});
