import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectCri } from '../../src/cri/connect.ts';
import type { CriRunner } from '../../src/cri/types.ts';
import { realClock } from '../../src/embedded/clock.ts';
import { Kubelet } from '../../src/embedded/kubelet.ts';
import { startEmbeddedNode } from '../../src/embedded/node.ts';
import { seededRandom } from '../../src/embedded/random.ts';
import { embeddedRig } from '../../src/embedded/rig.ts';
import { tempDir } from '../helpers/temp.ts';
import { newNode, service, spec } from './world.ts';

const image = 'x';
const command = ['sleep', '1000000'];

test('over the socket a node says what it says in process', async () => {
  await using node = await newNode({ pods: [service('web'), service('be')], serve: true });
  await node.run(30_000);
  await node.powerCut();
  await node.boot();
  await node.run(30_000);
  const client = connectCri(node.endpoint);
  try {
    const told = async (cri: CriRunner) => {
      const sandboxes = await cri.listSandboxes();
      const containers = await cri.listContainers({ podUid: 'uid-web' });
      return {
        version: await cri.version(),
        status: await cri.status(),
        driver: await cri.cgroupDriver(),
        sandboxes,
        details: await Promise.all(sandboxes.map((each) => cri.sandboxStatus(each.id))),
        containers,
        statuses: await Promise.all(containers.map((each) => cri.containerStatus(each.id))),
        ofPod: await cri.listSandboxes({ podUid: 'uid-be' }),
        one: await cri.listContainers({ sandboxId: containers[0]?.sandboxId ?? '' }),
        failure: await cri.sandboxStatus('a'.repeat(64)).catch((error: Error) => error.message),
      };
    };
    const [served, direct] = [await told(client), await told(node.cri)];
    assert.equal(served.sandboxes.length, 4);
    assert.equal(served.statuses.length, 2);
    assert.deepEqual(served, direct);
  } finally {
    client.close();
  }
});

test('a kubelet over the socket runs the pods of a real-time node', { timeout: 30_000 }, async () => {
  const rig = await embeddedRig('1.7');
  await rig.start();
  const phases = new Map();
  const log: string[] = [];
  const kubelet = new Kubelet({
    cri: rig.cri,
    clock: realClock(),
    random: seededRandom(1),
    version: 'v1.34.9',
    pods: [service('web')],
    api: { phases, event: () => {} },
    pid: 1,
    log: (message) => void log.push(message),
  });
  const life = kubelet.run();
  try {
    await until(async () => (await rig.cri.listContainers()).some((each) => each.state === 'running'));
    assert.equal((await rig.cri.listSandboxes())[0]?.name, 'web');
    await until(async () => log.some((each) => each.includes('"ContainerStarted"')));
  } finally {
    kubelet.die();
    await life;
    await rig.close();
  }
});

test('events stream over the socket, and end with the daemon', async () => {
  const rig = await embeddedRig('2.1');
  await rig.start();
  try {
    const abort = new AbortController();
    const events = rig.cri.events(abort.signal)[Symbol.asyncIterator]();
    const first = events.next();
    let id: string | undefined;
    // The stream is open when the server has it; a pod made before is not told.
    for (let attempt = 0; id === undefined; attempt++) {
      const made = await rig.cri.runSandbox({ ...spec, attempt });
      const seen = await Promise.race([first, sleep(50)]);
      if (seen) id = seen.value?.id;
      assert.ok(id === undefined || id === made);
    }
    const failed = (async () => {
      for (let next = await events.next(); !next.done; next = await events.next());
    })();
    const [ended] = await Promise.allSettled([failed, rig.killRuntime()]);
    assert.equal(ended.status, 'rejected');
  } finally {
    await rig.close();
  }
});

test('a killed daemon leaves its socket file, a stopped one does not, and a closed rig nothing', async () => {
  const rig = await embeddedRig('1.6');
  await rig.start();
  const sandboxId = await rig.cri.runSandbox(spec);
  const container = { sandboxId, sandbox: spec, name: 'c', attempt: 0, image, command };
  await rig.cri.startContainer(await rig.cri.createContainer(container));
  await rig.killRuntime();
  assert.throws(() => rig.cri, /not started/);
  await rig.start();
  assert.equal((await rig.cri.listContainers())[0]?.state, 'running');
  await rig.stop();
  await rig.close();
  await using dir = await tempDir();
  const node = await startEmbeddedNode({
    flavour: '1.7',
    kubeletVersion: 'v1.34.9',
    pods: [],
    dir: dir.path,
    time: 'real',
    serve: true,
  });
  assert.equal(existsSync(node.endpoint.slice('unix://'.length)), true);
  await node.close();
  assert.equal(existsSync(node.endpoint.slice('unix://'.length)), false);
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + 20_000;
  while (!(await condition())) {
    assert.ok(performance.now() < end, 'waited 20 s in vain');
    await sleep(20);
  }
}
