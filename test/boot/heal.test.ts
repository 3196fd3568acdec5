import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BootHealPorts, type BootRuntime, healAfterKubelet, healBeforeKubelet } from '../../src/boot/heal.ts';
import type { Witness } from '../../src/boot/witnesses.ts';
import { worldOverEmbedded } from '../../src/cli/demo-world.ts';
import { lookAtEmbedded } from '../../src/cli/embedded-look.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { EmbeddedNode } from '../../src/embedded/node.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { readJournal } from '../../src/heal/journal.ts';
import { makePlan } from '../../src/heal/plan.ts';
import { journalStore, openStateDir } from '../../src/heal/state-dir.ts';
import { SandwardenError } from '../../src/model/errors.ts';
import { limits } from '../../src/model/limits.ts';
import { known, unknown } from '../../src/model/observed.ts';
import { job, newNode, service } from '../embedded/world.ts';
import { tempDir } from '../helpers/temp.ts';

const HOUR_MS = 3_600_000;
const safe = { allow: ['safe'], only: [] } as const;
const options = { conf: { clockFloor: true, forwardDays: 30 }, reportOnly: false, limitMs: 60_000 };
const floorOff = { ...options, conf: { clockFloor: false, forwardDays: 30 } };

/** web and api run for ever; the job has finished. */
const pods: readonly PodSpec[] = [service('web'), service('api'), job('nightly', 'Never', 5_000, 0)];

interface Scene extends AsyncDisposable {
  readonly node: EmbeddedNode;
  readonly ports: BootHealPorts;
  sandboxes(): Promise<string[]>;
  /** Whether the runtime says that pods have a network. */
  hasNetwork: boolean;
  /** How long after the last one each look began, seconds. */
  lookDistances(): number[];
}

/**
 * A node whose power was cut while all ran, `stepMs` away from the right time at its next boot, with containerd up and
 * kubelet not started yet. Its API does not answer; what kubelet was refused is in its log.
 */
async function afterPowerCut(stepMs: number, firstStepMs = 0, ofNode = pods): Promise<Scene> {
  const node = await newNode({ pods: ofNode });
  if (firstStepMs !== 0) {
    await node.powerCut();
    await node.boot({ clockStepMs: firstStepMs });
  }
  await node.run(60_000);
  const endedNs = node.clock.wallNs();
  await node.powerCut();
  await node.boot({ clockStepMs: stepMs });
  node.killKubelet();
  const state = await tempDir();
  const { clock, ...world } = worldOverEmbedded(node, node.cri, safe);
  const looks: bigint[] = [];
  const lookAgain = async () => {
    looks.push(node.clock.uptimeNs());
    const { snapshot, ...look } = await lookAtEmbedded(node, node.cri, safe);
    const kubelet = snapshot.kubelet.known ? { ...snapshot.kubelet.value, version: 'v1.34.9' } : { running: true };
    const seen = { ...snapshot, kubelet: known(kubelet), pods: unknown('ERR_KUBE_UNREACHABLE', 'it is down') };
    return { ...look, snapshot: seen, diagnosis: diagnose(seen), plan: makePlan(seen, safe) };
  };
  const runtime: BootRuntime = {
    world: { ...world, clock, lookAgain },
    networkReady: async () => scene.hasNetwork,
    [Symbol.asyncDispose]: async () => {},
  };
  const journal: Witness = { family: 'journal', from: 'journalctl', dateNs: endedNs, slackNs: 0n };
  const scene: Scene = {
    node,
    hasNetwork: true,
    ports: {
      // The waits between looks let simulated time pass; the limit does not, since a look reads real files meanwhile.
      clock: {
        ...clock,
        sleep: (ms, signal) => (ms <= limits.bootWatchMaxMs ? node.clock : node.machine.clock).sleep(ms, signal),
      },
      openRuntime: async () => runtime,
      openState: () => openStateDir(state.path),
      entries: async () => (await readJournal(journalStore(state.path))).entries,
      witnesses: async () => [journal],
      floor: {
        clock: node.clock,
        run: async ([program, , , to = '']) => {
          assert.equal(program, 'date');
          node.machine.clock.step(Number(BigInt(to.slice(1)) * 1_000n - node.clock.wallNs() / 1_000_000n));
          return { stdout: '', stderr: '' };
        },
        readClockNow: async (wallNs) => ({ wallNs, neverSet: false }),
        waitForTimeSync: async () => false,
      },
    },
    sandboxes: async () => (await node.cri.listSandboxes()).map((each) => `${each.name}/${each.attempt}`).sort(),
    lookDistances: () => looks.slice(1).map((each, index) => Math.round(Number(each - (looks[index] ?? 0n)) / 1e9)),
    [Symbol.asyncDispose]: async () => {
      await node[Symbol.asyncDispose]();
      await state[Symbol.asyncDispose]();
    },
  };
  return scene;
}

const running = (node: EmbeddedNode) => node.pods().filter((each) => each.running).length;
const all = ['api/0', 'nightly/0', 'web/0'];

test('a power cut with the right clock: nothing is removed, nothing is left for later', async () => {
  await using scene = await afterPowerCut(0);
  const record = await healBeforeKubelet(scene.ports, options);
  assert.deepEqual([record.removed, record.left, record.settled, record.clock], [[], [], true, undefined]);
  assert.deepEqual(await scene.sandboxes(), all);
});

test('what the power cut out of an earlier run is written down, where nothing is left to do too', async () => {
  await using scene = await afterPowerCut(0);
  const { clock } = scene.ports;
  const [web] = (await scene.node.cri.listSandboxes()).filter((each) => each.name === 'web');
  assert.ok(web);
  const state = await scene.ports.openState();
  const lock = await state.lock(clock.wallNs());
  const journal = await state.openJournal('run-before', clock);
  const { id: sandboxId, uid: podUid, attempt, createdAtNs } = web;
  const guard = { kind: 'remove-sandbox', sandboxId, podUid, attempt, createdAtNs } as const;
  const words = { object: 'default/web/0', reason: 'r', precondition: 'p', expects: 'e' };
  const action = { kind: 'remove-sandbox', target: sandboxId, code: 'SW102', tier: 'safe', guard, ...words } as const;
  await journal.append({ kind: 'intent', action, read: 'NotReady' });
  await journal.close();
  await lock.release();

  const record = await healBeforeKubelet(scene.ports, options);
  assert.deepEqual([record.removed, record.left, record.settled], [[], [], true]);
  assert.deepEqual(await scene.sandboxes(), all, 'it is not done again');
  const entries = await scene.ports.entries();
  const outcome = entries.find((each) => each.kind === 'outcome');
  assert.ok(outcome?.kind === 'outcome' && outcome.found, JSON.stringify(outcome?.kind));
  assert.equal(outcome.result, 'failed');
  const length = entries.length;
  await healBeforeKubelet(scene.ports, options);
  assert.equal((await scene.ports.entries()).length, length, 'once');
});

test('two hours behind: the clock moves, no sandbox is removed, and all pods run', async () => {
  await using scene = await afterPowerCut(-2 * HOUR_MS);
  const record = await healBeforeKubelet(scene.ports, options);
  assert.equal(record.clock?.result, 'moved');
  assert.deepEqual([record.removed, record.left, record.settled], [[], [], true]);
  scene.node.startKubelet();
  await scene.node.run(40_000);
  assert.equal(running(scene.node), 2);
  assert.ok((await scene.sandboxes()).includes('nightly/0'));
});

test('two hours behind without it: the node loops', async () => {
  await using scene = await afterPowerCut(-2 * HOUR_MS);
  scene.node.startKubelet();
  await scene.node.run(300_000);
  assert.ok(running(scene.node) < 2);
});

test('the clock may not be moved: before kubelet nothing can be told, after it exactly the blocking ghosts go', async () => {
  await using scene = await afterPowerCut(-2 * HOUR_MS);
  const before = await healBeforeKubelet(scene.ports, floorOff);
  assert.equal(before.clock?.result, 'forbidden');
  assert.deepEqual([before.removed, before.settled], [[], false]);
  assert.deepEqual(before.left.map((each) => each.object).sort(), [
    'default/api/0',
    'default/nightly/0',
    'default/web/0',
  ]);
  assert.deepEqual(await scene.sandboxes(), all);
  scene.node.startKubelet();
  const after = await healAfterKubelet(scene.ports, { ...floorOff, limitMs: 300_000 });
  assert.deepEqual(after.removed.sort(), ['default/api/0', 'default/web/0']);
  assert.ok(after.settled, after.why);
  assert.equal(running(scene.node), 2);
  assert.ok((await scene.sandboxes()).includes('nightly/0'), 'the finished Job keeps its log');
});

test('after kubelet with nothing left that could hold up a pod: one look', async () => {
  await using scene = await afterPowerCut(0);
  scene.node.startKubelet();
  const after = await healAfterKubelet(scene.ports, { ...options, limitMs: 300_000 });
  assert.ok(after.settled, after.why);
  assert.deepEqual([after.removed, scene.lookDistances()], [[], []]);
});

test('after kubelet, with a sandbox of the future that nothing wants: the looks grow rare, and peace ends them', async () => {
  await using scene = await afterPowerCut(-2 * HOUR_MS, 0, [job('nightly', 'Never', 5_000, 0)]);
  scene.node.startKubelet();
  const startedNs = scene.node.clock.uptimeNs();
  const after = await healAfterKubelet(scene.ports, { ...floorOff, limitMs: 300_000 });
  assert.ok(after.settled, after.why);
  assert.deepEqual(after.removed, []);
  const distances = scene.lookDistances();
  assert.deepEqual(distances.slice(0, 4), [5, 10, 20, 40]);
  assert.equal(distances.length, 5);
  const tookS = Number(scene.node.clock.uptimeNs() - startedNs) / 1e9;
  assert.ok(tookS >= 89 && tookS <= 95, `${tookS} s`);
});

test('after kubelet without a pod network: what lies in the host’s network goes, the rest when it is there', async () => {
  const agent = { ...service('agent'), hostNetwork: true };
  await using scene = await afterPowerCut(-2 * HOUR_MS, 0, [agent, service('web')]);
  scene.hasNetwork = false;
  scene.node.startKubelet();
  const during = await healAfterKubelet(scene.ports, { ...floorOff, limitMs: 120_000 });
  assert.deepEqual(during.removed, ['default/agent/0']);
  assert.match(during.why, /^the pod network is not ready.*; not done within 120 s/);
  scene.hasNetwork = true;
  const after = await healAfterKubelet(scene.ports, { ...floorOff, limitMs: 300_000 });
  assert.deepEqual(after.removed, ['default/web/0'], 'no attempt of it was used up');
  // Its container was killed with each sandbox of the loop: kubelet's own back-off is over within a minute.
  await scene.node.run(60_000);
  assert.equal(running(scene.node), 2);
});

test('after kubelet in a loop of reboots: it goes on looking for what blocks, each 10 s at most', async () => {
  await using scene = await afterPowerCut(-2 * HOUR_MS);
  scene.node.startKubelet();
  const after = await healAfterKubelet(scene.ports, { ...floorOff, reportOnly: true, limitMs: 300_000 });
  assert.deepEqual([after.removed, after.settled], [[], false]);
  const last = scene.lookDistances().slice(-5);
  assert.ok(
    last.every((each) => each >= 10 && each <= 11),
    last.join(),
  );
});

test('the last boot believed it was 2099: the clock stays, and those ghosts go after kubelet asks', async () => {
  const years = 73 * 365 * 24 * HOUR_MS;
  await using scene = await afterPowerCut(-years, years);
  const before = await healBeforeKubelet(scene.ports, options);
  assert.equal(before.clock?.result, 'kept');
  assert.deepEqual(before.removed, []);
  const nowNs = scene.node.clock.wallNs();
  scene.node.startKubelet();
  const after = await healAfterKubelet(scene.ports, { ...options, limitMs: 300_000 });
  assert.ok(after.removed.length >= 2 && after.settled, after.why);
  assert.ok(!after.removed.some((each) => each.includes('nightly')));
  assert.ok(scene.node.clock.wallNs() - nowNs < 300_000_000_000n);
  assert.equal(running(scene.node), 2);
});

test('a loop of reboots: it only reports, and does not move the clock either', async () => {
  await using scene = await afterPowerCut(-2 * HOUR_MS);
  const nowNs = scene.node.clock.wallNs();
  const record = await healBeforeKubelet(scene.ports, { ...options, reportOnly: true });
  assert.match(record.why, /only reports/);
  assert.deepEqual([record.settled, record.removed, record.clock?.result], [false, [], 'forbidden']);
  assert.ok(scene.node.clock.wallNs() - nowNs < 60_000_000_000n);
});

test('kubelet runs already: nothing is done before it', async () => {
  await using scene = await afterPowerCut(-2 * HOUR_MS);
  scene.node.startKubelet();
  const record = await healBeforeKubelet(scene.ports, options);
  assert.match(record.why, /kubelet runs already/);
  assert.deepEqual([record.settled, record.clock], [false, undefined]);
});

test('a runtime that does not come up: it ends within its limit and says why', async () => {
  await using scene = await afterPowerCut(0);
  const { clock } = scene.node;
  const hint = 'wait';
  const never: BootHealPorts['openRuntime'] = async (signal) => {
    await clock.sleep(10 * HOUR_MS, signal).catch((error: unknown) => assert.ok(signal.aborted, String(error)));
    throw new SandwardenError('ERR_SOCKET_REFUSED', 'nobody listens', { hint });
  };
  const startedNs = clock.uptimeNs();
  const record = await healBeforeKubelet({ ...scene.ports, clock, openRuntime: never }, options);
  assert.equal(record.why, 'nobody listens');
  assert.ok(clock.uptimeNs() - startedNs <= 61_000_000_000n);
});

test('a runtime that hangs: what does not even listen to the limit is left behind', async () => {
  await using scene = await afterPowerCut(0);
  const hung = new Promise<BootRuntime>(() => {});
  const { clock } = scene.node;
  const startedNs = clock.uptimeNs();
  const record = await healBeforeKubelet({ ...scene.ports, clock, openRuntime: () => hung }, options);
  assert.match(record.why, /not done within 60 s; kubelet starts anyway/);
  assert.ok(clock.uptimeNs() - startedNs <= 80_000_000_000n);
});
