import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { type KubeServerOptions, kubeServer } from '../../../lab/kube-api/server.ts';
import { known, unknown } from '../../../src/model/observed.ts';
import { observeConfigs } from '../../../src/observe/config/look.ts';
import { observeConfigz } from '../../../src/observe/kube/configz.ts';
import { decodeSnapshot, encodeSnapshot } from '../../../src/observe/snapshot-file.ts';
import { pod, snapshotOf } from '../../diagnose/build.ts';
import { kubeconfigOf } from '../../helpers/csi/cluster.ts';
import { tempDir } from '../../helpers/temp.ts';

const kubeletconfig = {
  cgroupDriver: 'systemd',
  cgroupRoot: '/',
  featureGates: { KubeletCgroupDriverFromCRI: false },
  staticPodURLHeader: { Authorization: ['secret'] },
};

/** A server whose one kubelet answers `/configz` with `body`. */
async function cluster(body: unknown, options: KubeServerOptions = {}) {
  const dir = await tempDir();
  const api = await kubeServer({
    ...options,
    fault: ({ resource, name, subresource }, response) => {
      if (resource.name !== 'nodes' || name !== 'node-1' || subresource !== 'proxy') return false;
      if (options.allows) return false;
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      return true;
    },
  });
  const flag = dir.join('kubeconfig');
  await writeFile(flag, kubeconfigOf(api.url));
  return {
    api,
    root: dir.path,
    asking: { flag, hostname: 'node-1', nodeName: 'node-1' },
    [Symbol.asyncDispose]: async () => {
      await api[Symbol.asyncDispose]();
      await dir[Symbol.asyncDispose]();
    },
  };
}

describe("kubelet's own word about its driver", () => {
  test('is taken from /configz by one request, and nothing but what decides about cgroups is kept', async () => {
    await using at = await cluster({ kubeletconfig });
    assert.deepEqual(
      await observeConfigz(at.asking),
      known({ driver: 'systemd', asksRuntime: false, cgroupRoot: '/' }),
    );
    assert.deepEqual(at.api.permissions(), ['get nodes/proxy']);
  });

  test('an answer of another kind says nothing, and one that is forbidden names the permission', async () => {
    for (const body of [{}, [], { kubeletconfig: { cgroupDriver: 7, featureGates: 'x' } }]) {
      await using at = await cluster(body);
      assert.deepEqual(await observeConfigz(at.asking), known({}));
    }
    await using at = await cluster({}, { allows: () => false });
    const refused = await observeConfigz(at.asking);
    assert.ok(!refused.known);
    assert.equal(refused.code, 'ERR_FORBIDDEN');
    assert.match(refused.message, /get resource "nodes\/proxy"/);
  });

  test('it is asked only where nothing on the machine tells, and the API has answered already', async () => {
    await using dir = await tempDir();
    const asked: string[] = [];
    const sources = {
      askKubelet: async (hostname: string) => {
        asked.push(hostname);
        return known({ driver: 'cgroupfs', asksRuntime: true });
      },
    };
    const look = async (snapshot: ReturnType<typeof snapshotOf>) => {
      const { kubeletConfig } = await observeConfigs(snapshot, undefined, dir.path, neverRun, sources);
      assert.ok(kubeletConfig?.known);
      assert.deepEqual(decodeSnapshot(encodeSnapshot({ ...snapshot, kubeletConfig })).kubeletConfig, kubeletConfig);
      return kubeletConfig.value;
    };
    const answered = snapshotOf({ pods: [pod('a')], kubelet: null, kubeletRunning: false });
    const silent = snapshotOf({ more: { ...answered, pods: unknown('ERR_KUBE_UNREACHABLE', 'down') } });
    assert.deepEqual((await look(silent)).drivers, []);
    assert.deepEqual(asked, []);

    assert.deepEqual(await look(answered), {
      files: [],
      onDisk: [],
      asksRuntime: true,
      drivers: [{ driver: 'cgroupfs', from: 'configz' }],
    });
    assert.equal(asked.length, 1);

    await mkdir(join(dir.path, 'sys/fs/cgroup/kubepods.slice'), { recursive: true });
    assert.deepEqual((await look(answered)).drivers, []);
    assert.equal(asked.length, 1, 'the tree of its pods tells');
  });
});

async function neverRun(): Promise<never> {
  throw new Error('nothing is run');
}
