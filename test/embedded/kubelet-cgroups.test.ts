import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Kubelet } from '../../src/embedded/kubelet.ts';
import { CgroupFailed, type PodCgroups } from '../../src/embedded/pod-cgroups.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { seededRandom } from '../../src/embedded/random.ts';
import { newWorld, service } from './world.ts';

/** Cgroups that are there or not, and what was asked of them. */
class FakeCgroups implements PodCgroups {
  readonly there = new Set<string>();
  readonly asked: string[] = [];
  refuses = false;

  async start() {
    this.asked.push('start');
  }
  exists({ uid }: PodSpec) {
    return this.there.has(uid);
  }
  async ensureExists({ uid }: PodSpec) {
    if (this.refuses) throw new CgroupFailed('no');
    this.asked.push(`ensure ${uid}`);
    this.there.add(uid);
  }
  async updateQos() {
    this.asked.push('qos');
  }
  async destroy({ uid }: PodSpec) {
    this.asked.push(`destroy ${uid}`);
    this.there.delete(uid);
  }
  async cleanUp() {}
}

async function newKubelet(cgroups: FakeCgroups, pods: readonly PodSpec[]) {
  const world = newWorld('1.7');
  await world.start();
  const [log, events]: [string[], string[]] = [[], []];
  const event = (pod: PodSpec, _type: string, reason: string) => void events.push(`${pod.name} ${reason}`);
  const kubelet = new Kubelet({
    ...{ cri: world.criInside, clock: world.clock, random: seededRandom(1), version: 'v1.34.9', pods, pid: 1, cgroups },
    api: { phases: new Map(), event },
    log: (line) => void log.push(line),
  });
  const life = kubelet.run();
  return {
    ...{ ...world, kubelet, log, events },
    ready: async () =>
      (await world.cri.listSandboxes())
        .filter((each) => each.state === 'ready')
        .map((each) => `${each.name} ${each.attempt}`),
    [Symbol.asyncDispose]: async () => {
      kubelet.die();
      await world.clock.run(10_000);
      await life;
    },
  };
}

test('a running pod whose cgroup lacks a controller is killed and made anew, and nothing says why', async () => {
  const cgroups = new FakeCgroups();
  await using node = await newKubelet(cgroups, [service('web')]);
  await node.clock.run(30_000);
  assert.deepEqual(await node.ready(), ['web 0']);
  assert.deepEqual(cgroups.asked.slice(0, 2), ['start', 'qos']);
  assert.ok(cgroups.asked.includes('ensure uid-web'));
  assert.deepEqual(node.events, []);

  cgroups.there.clear();
  await node.clock.run(120_000);
  assert.deepEqual(await node.ready(), ['web 1']);
  assert.deepEqual(node.events.slice(0, 2), ['web Killing', 'web SandboxChanged']);
  assert.equal(node.log.filter((each) => each.includes('cgroup')).length, 0);
});

test('a cgroup that cannot be made is an error of the sync, and tried again', async () => {
  const cgroups = new FakeCgroups();
  cgroups.refuses = true;
  await using node = await newKubelet(cgroups, [service('web')]);
  await node.clock.run(30_000);
  assert.deepEqual(await node.ready(), []);
  assert.match(
    node.log.join('\n'),
    /failed to ensure that the pod: uid-web cgroups exist and are correctly applied: no/,
  );
  cgroups.refuses = false;
  await node.clock.run(30_000);
  assert.deepEqual(await node.ready(), ['web 0']);
});

test('pods come and go while kubelet runs; what is left of them is removed', async () => {
  const cgroups = new FakeCgroups();
  await using node = await newKubelet(cgroups, [service('web')]);
  await node.clock.run(30_000);
  node.kubelet.setPods([service('be')]);
  await node.clock.run(30_000);
  assert.deepEqual(await node.ready(), ['be 0']);
  assert.ok(cgroups.asked.includes('destroy uid-web'));
  await node.clock.run(120_000);
  assert.deepEqual(
    (await node.cri.listSandboxes()).map((each) => each.name),
    ['be'],
  );
});
