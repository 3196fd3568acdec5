import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import type { EmbeddedNode } from '../../src/embedded/node.ts';
import { describePod, describeSandbox } from '../../src/model/sandbox.ts';
import { KubeletLogReader } from '../../src/observe/kubelet-log.ts';
import { parseJournalLine } from '../../src/observe/log-line.ts';
import { RuntimeLogReader } from '../../src/observe/runtime-log.ts';
import { job, messages, newNode, service } from './world.ts';

const pods = [service('web'), service('be'), job('job', 'Never', 2_000, 0)];
const twoHoursMs = 2 * 3_600_000;

/** Reads a log of the node as Sandwarden reads a journal. */
function read<T extends { add(line: NonNullable<ReturnType<typeof parseJournalLine>>): void }>(
  file: string,
  reader: T,
): T {
  for (const json of readFileSync(file, 'utf8').trim().split('\n')) {
    const line = parseJournalLine(json);
    assert.ok(line?.at?.monotonicUs !== undefined, json);
    reader.add(line);
  }
  return reader;
}

async function story(seed: number): Promise<string> {
  await using node = await newNode({ pods, seed });
  await node.run(30_000);
  await node.powerCut();
  await node.boot({ clockStepMs: -twoHoursMs });
  await node.run(90_000);
  const texts = [node.kubeletLogFile, node.runtimeLogFile].map((file) => readFileSync(file, 'utf8'));
  return createHash('sha256').update(texts.join()).digest('hex');
}

test('the same seed gives the same logs to the last id and microsecond, another seed others', async () => {
  const [first, again, other] = [await story(3), await story(3), await story(4)];
  assert.equal(first, again);
  assert.notEqual(first, other);
});

test('the parsers of real logs read what the node logs', async () => {
  await using node = await newNode({ pods });
  await node.run(30_000);
  await node.powerCut();
  await node.boot({ clockStepMs: -twoHoursMs });
  await node.run(60_000);
  const kubelet = read(node.kubeletLogFile, new KubeletLogReader(node.clock.wallNs())).result(false);
  assert.equal(kubelet.version, 'v1.34.9');
  assert.deepEqual(kubelet.startedAt?.bootId, node.boots.at(-1)?.bootId);
  const asked = new Set(
    kubelet.nameHeld.map((each) => (each.kind === 'sandbox' ? describeSandbox(each.asked) : each.kind)),
  );
  assert.deepEqual([...asked].sort(), ['default/be/1', 'default/web/1']);
  const runtime = read(node.runtimeLogFile, new RuntimeLogReader()).result(false);
  assert.ok(runtime.startedAt !== undefined);
  assert.deepEqual(runtime.running, []);
  assert.deepEqual(runtime.duplicates, []);
});

test('kubelet’s lines of the loop are the recorded node’s, in their order', async () => {
  await using node = await newNode({ pods });
  await node.run(30_000);
  await node.powerCut();
  await node.boot({ clockStepMs: -twoHoursMs });
  await node.run(60_000);
  const recorded = new URL('../recordings/clock-step/stuck/journal-kubelet.ndjson', import.meta.url).pathname;
  const bootId = readFileSync(new URL('../recordings/clock-step/stuck/boot_id.txt', import.meta.url), 'utf8');
  const real = cycle(messages(recorded, bootId.trim().replaceAll('-', '')), 'default/web');
  const ours = cycle(messages(node.kubeletLogFile, node.boots.at(-1)?.bootId), 'default/web');
  assert.deepEqual(ours, real);
  assert.equal(real.length, 5);
});

/** The lines of one sync of a pod that is refused, from its choice to its error, without dates, pids and ids. */
function cycle(lines: readonly string[], pod: string): string[] {
  const name = pod.slice(pod.indexOf('/') + 1);
  const bare = lines
    .filter((each) => each.includes(`pod="${pod}"`) || each.includes(`${name}_default_`))
    .map((each) => each.replace(/^(?:\?{3} )?([IEW])\d{4} \S+ +\d+ /, '$1 '))
    .filter((each) => / (?:util|log|kuberuntime_sandbox|kuberuntime_manager|pod_workers)\.go/.test(each))
    .map((each) => each.replace(/ podUID=.*| err=.*?(?= pod=|$)/g, ''));
  const last = bare.findLastIndex((each) => each.includes('Error syncing pod'));
  const first = bare.slice(0, last).findLastIndex((each) => each.startsWith('I util.go'));
  return bare.slice(first, last + 1);
}

test('boots are known by id, dates and how they ended', async () => {
  await using node = await newNode({ pods: [service('web')] });
  await node.run(10_000);
  await node.powerCut();
  await node.boot({ clockStepMs: -1_000 });
  await node.shutDown();
  await node.boot();
  assert.deepEqual(
    node.boots.map((each) => each.end),
    ['unclean', 'clean', 'running'],
  );
  assert.equal(new Set(node.boots.map((each) => each.bootId)).size, 3);
  const [first, second] = node.boots;
  assert.ok(first !== undefined && second !== undefined && second.firstNs === first.lastNs - 1_000_000_000n);
  assert.equal(node.nodeFacts().bootId, node.boots[2]?.bootId);
  assert.ok(node.nodeFacts().uptimeNs < 30_000_000_000n);
  assert.equal(node.kubeletFacts().version, 'v1.34.9');
});

test('two records with one name: containerd exits at every start, and no kubelet comes up', async () => {
  await using node = await newNode({ pods: [service('web')] });
  await node.run(10_000);
  const [sandbox] = await node.cri.listSandboxes();
  await node.powerCut();
  node.machine.disk.duplicate(sandbox?.id ?? '', 'f'.repeat(64));
  await node.boot();
  await assert.rejects(node.cri.version(), { code: 'ERR_SOCKET_REFUSED' });
  assert.equal(node.kubeletFacts().running, false);
  const again = await node.startRuntime();
  assert.match(again.ok ? '' : again.fatal, /failed to recover state: failed to reserve sandbox name/);
  const { duplicates } = read(node.runtimeLogFile, new RuntimeLogReader()).result(false);
  assert.deepEqual(
    duplicates.map((each) => [each.kind, each.name, each.count]),
    [['sandbox', 'web_default_uid-web_0', 2]],
  );
});

test('a daemon that is killed and started again leaves the pods running', async () => {
  await using node = await newNode({ pods });
  await node.run(30_000);
  const before = node.pods().map((each) => each.sinceUptimeNs);
  await node.killRuntime();
  await node.run(20_000);
  await node.startRuntime();
  await node.run(120_000);
  assert.deepEqual(
    node.pods().map((each) => each.sinceUptimeNs),
    before,
  );
});

test('49 pods boot, are cut, loop and heal', async () => {
  const many = Array.from({ length: 49 }, (_, index) => service(`pod-${index}`));
  await using node = await newNode({ pods: many });
  await node.run(30_000);
  await node.powerCut();
  await node.boot({ clockStepMs: -twoHoursMs });
  await node.run(60_000);
  const ghosts = (await node.cri.listSandboxes()).filter((each) => each.attempt === 0);
  assert.equal(ghosts.length, 49);
  await Promise.all(ghosts.map((each) => node.cri.removeSandbox(each.id)));
  // The last pod's retry comes after 15 s, and takes its time.
  await node.run(20_000);
  assert.equal(node.pods().filter((each) => each.running).length, 49);
});

test('with a right clock, whatever cuts there are: all pods run in the end and only kubelet removed something', async () => {
  const cuts = fc.array(fc.record({ afterMs: fc.nat(90_000), kind: fc.constantFrom('power', 'daemon', 'kubelet') }), {
    maxLength: 5,
  });
  const flavour = fc.constantFrom('1.6', '1.7', '2.1');
  const kubeletVersion = fc.constantFrom('v1.30.0', 'v1.34.9', 'v1.36.2');
  const options = fc.record({ flavour, kubeletVersion, seed: fc.nat(1_000) });
  const holds = fc.asyncProperty(cuts, options, async (list, chosen) => {
    const wanted = [service('web'), job('crash', 'Always', 3_000, 1), { ...service('host'), hostNetwork: true }];
    await using node = await newNode({ pods: wanted, ...chosen });
    for (const { afterMs, kind } of list) {
      await node.run(afterMs);
      await cut(node, kind);
    }
    await node.run(180_000);
    assert.deepEqual(
      node
        .pods()
        .filter((each) => each.running && each.name !== 'crash')
        .map(describePod),
      ['default/web', 'default/host'],
    );
    assert.ok((await node.cri.listSandboxes()).some((each) => each.name === 'crash' && each.state === 'ready'));
    const refused = node.events.filter((each) => /is reserved for/.test(each.message));
    assert.deepEqual(refused, []);
  });
  await fc.assert(holds, { numRuns: 40 });
});

test('a pod that was deleted while no kubelet ran is ended by the next one', async () => {
  await using node = await newNode({ pods: [service('old'), service('stays')] });
  await node.run(30_000);
  node.killKubelet();
  node.setPods([service('stays'), service('new')]);
  node.startKubelet();
  await node.run(120_000);
  const sandboxes = await node.cri.listSandboxes();
  assert.deepEqual(sandboxes.map((each) => `${each.name} ${each.attempt} ${each.state}`).sort(), [
    'new 0 ready',
    'stays 0 ready',
  ]);
  assert.equal((await node.cri.listContainers()).length, 2);
});

async function cut(node: EmbeddedNode, kind: string): Promise<void> {
  if (kind === 'power') {
    await node.powerCut();
    await node.boot();
  } else if (kind === 'daemon') {
    await node.killRuntime();
    await node.startRuntime();
  } else {
    node.killKubelet();
    await node.run(3_000);
    node.startKubelet();
  }
}
