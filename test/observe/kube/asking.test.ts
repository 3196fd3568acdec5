/** When the API is asked by a look, and when it is not. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { SandwardenError } from '../../../src/model/errors.ts';
import { limits } from '../../../src/model/limits.ts';
import { known, unknown } from '../../../src/model/observed.ts';
import type { Run } from '../../../src/observe/child.ts';
import { podsAsker } from '../../../src/observe/kube/pods.ts';
import { type ObserveOptions, observe } from '../../../src/observe/node.ts';
import { apiPod, hasOpenssl, kubeApi, kubeconfigOf, makePki } from '../../helpers/kube-api.ts';
import { tempDir } from '../../helpers/temp.ts';

const skip = hasOpenssl ? false : 'openssl is not installed';

/** A clock of which the test turns the uptime. */
function turnedClock() {
  let ms = 0;
  return {
    turn: (by: number) => {
      ms += by;
    },
    wallNs: () => 1_790_000_000_000_000_000n,
    uptimeNs: () => BigInt(ms) * 1_000_000n,
    sleep: () => Promise.resolve(),
  };
}

const nothing: Run = ([program]) =>
  Promise.reject(new SandwardenError('ERR_COMMAND_MISSING', `${program} is not here`, { hint: 'None.' }));

function look(options: Partial<ObserveOptions>) {
  return observe({ clock: turnedClock(), env: {}, version: 'test', run: nothing, ...options });
}

test('a look at a node asks its API with the node’s own credentials', { skip }, async () => {
  await using folder = await tempDir();
  const pki = makePki(folder.path);
  await using api = await kubeApi({ pki, pods: [apiPod('web')] });
  await mkdir(folder.join('node/etc/kubernetes'), { recursive: true });
  await writeFile(folder.join('node/etc/kubernetes/kubelet.conf'), kubeconfigOf(api.url, pki.ca, pki.node));
  const { pods } = await look({ root: folder.join('node') });
  assert.ok(pods.known);
  assert.equal(pods.value[0]?.uid, 'uid-web');
  assert.equal(api.asked.filter((each) => each.startsWith('/api/v1/pods?')).length, 1);
  assert.ok(api.asked.length <= 3, api.asked.join('\n'));
});

test('a look asks nobody where the pods are known, and never for a node that is not this machine', async () => {
  let asked = 0;
  const askPods = async () => {
    asked++;
    return known([]);
  };
  await using folder = await tempDir();
  assert.deepEqual((await look({ root: folder.path, pods: known([]), askPods })).pods, known([]));
  const node = async () => unknown('ERR_NOT_ASKED', 'embedded');
  const embedded = (await look({ root: folder.path, sources: { node }, askPods })).pods;
  assert.ok(!embedded.known && embedded.code === 'ERR_NOT_ASKED');
  assert.equal(asked, 0);
  await look({ root: folder.path, askPods });
  assert.equal(asked, 1);
});

test('an API that could not be reached is left alone for a while; one that answers is asked each time', {
  skip,
}, async () => {
  await using folder = await tempDir();
  const pki = makePki(folder.path);
  let up = true;
  await using api = await kubeApi({
    pki,
    pods: [apiPod('web')],
    fault: (response) => {
      if (!up) response.destroy();
      return !up;
    },
  });
  await writeFile(folder.join('config'), kubeconfigOf(api.url, pki.ca, pki.node));
  const clock = turnedClock();
  const ask = podsAsker({ flag: folder.join('config') }, clock);
  const isKnown = async () => (await ask('host')).known;
  assert.deepEqual([await isKnown(), await isKnown(), api.asked.length], [true, true, 2]);
  up = false;
  assert.deepEqual([await isKnown(), await isKnown(), api.asked.length], [false, false, 3]);
  up = true;
  clock.turn(limits.kubeAskAgainAfterMs - 1);
  assert.deepEqual([await isKnown(), api.asked.length], [false, 3]);
  clock.turn(1);
  assert.deepEqual([await isKnown(), api.asked.length], [true, 4]);
});
