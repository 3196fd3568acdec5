// Goal: the units of a node are written whole or not at all, started only where their slice is, and taken away without
// a trace. Method: fake roots, a systemd in memory, a failure at each call; systemd's own reader for the units.
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { promisify } from 'node:util';
import { holdNode, releaseNode, slicesWithUnits } from '../../src/boot/anchors/node-anchors.ts';
import { nodeUnit } from '../../src/boot/anchors/node-units.ts';
import { SandwardenError } from '../../src/model/errors.ts';
import { listAnchors } from '../../src/systemd/anchors.ts';
import { FakeBus } from '../systemd/fake-bus.ts';
import { type Node, nodeWith } from './install/fixture.ts';

const kubepods = '/kubepods.slice';
const slices = ['kubepods.slice', 'kubepods-burstable.slice', 'kubepods-besteffort.slice'];
const paths = [kubepods, `${kubepods}/kubepods-burstable.slice`, `${kubepods}/kubepods-besteffort.slice`];
const sleep = { 'usr/bin/sleep': '#!/bin/sh\n', 'etc/systemd/system/foreign.service': '[Service]\n' };
const always = { slices, lasting: 'always' } as const;

async function nodeAndBus(...there: readonly string[]): Promise<{ node: Node; bus: FakeBus }> {
  const node = await nodeWith({});
  for (const [path, text] of Object.entries(sleep)) {
    await mkdir(dirname(join(node.path, path)), { recursive: true });
    await writeFile(join(node.path, path), text, { mode: 0o755 });
  }
  const bus = new FakeBus(...there);
  bus.files = () => unitsOf(node);
  return { node, bus };
}

/** The unit files that are there now, by their path in the root. */
function unitsOf(node: Node): Map<string, string> {
  const files = spawnSync('grep', ['-rl', '^Slice=', node.path], { encoding: 'utf8' })
    .stdout.split('\n')
    .filter(Boolean);
  return new Map(
    files.map((path) => [path.slice(node.path.length), spawnSync('cat', [path], { encoding: 'utf8' }).stdout]),
  );
}

describe('holding a node', () => {
  test('three units, started before systemd reads anew; again: nothing; released: /etc is what it was', async () => {
    const { node, bus } = await nodeAndBus(...paths);
    await using _ = node;
    const before = node.tree();
    const held = await holdNode(node.files, bus, always);
    assert.deepEqual(
      held.map((each) => each.result),
      ['held', 'held', 'held'],
    );
    const did = bus.did.map((each) => each.split(' ')[0]);
    assert.deepEqual(did.slice(0, 4), ['start', 'start', 'start', 'reload']);
    assert.deepEqual(
      (await listAnchors(bus)).map(({ holds, lasts, delegated }) => [holds, lasts, delegated]),
      [
        ['besteffort', 'always', true],
        ['burstable', 'always', true],
        ['guaranteed', 'always', true],
      ],
    );
    bus.did.splice(0);
    assert.deepEqual(
      (await holdNode(node.files, bus, always)).map((each) => each.result),
      ['already', 'already', 'already'],
    );
    assert.ok(!bus.did.includes('reload') && !bus.did.some((each) => each.startsWith('start')), bus.did.join());
    for (const slice of slices) assert.equal(await releaseNode(node.files, bus, slice), 'released');
    assert.deepEqual(node.tree(), before);
    assert.deepEqual(await listAnchors(bus), []);
    assert.equal(await releaseNode(node.files, bus, 'kubepods.slice'), 'gone');
  });
  test('a slice that is not there yet is not made: its anchor waits, and is known', async () => {
    const { node, bus } = await nodeAndBus(kubepods);
    await using _ = node;
    const held = await holdNode(node.files, bus, always);
    assert.deepEqual(
      held.map((each) => each.result),
      ['held', 'waits', 'waits'],
    );
    assert.equal(await bus.unit('kubepods-burstable.slice'), undefined);
    assert.deepEqual((await slicesWithUnits(node.files)).map((each) => each.slice).sort(), [...slices].sort());
  });
  test('until the next boot: nothing in /etc', async () => {
    const { node, bus } = await nodeAndBus(...paths);
    await using _ = node;
    const before = node.tree();
    await holdNode(node.files, bus, { slices, lasting: 'boot' });
    assert.deepEqual(node.tree(), before);
    assert.deepEqual(
      (await listAnchors(bus)).map((each) => each.lasts),
      ['boot', 'boot', 'boot'],
    );
    for (const slice of slices) await releaseNode(node.files, bus, slice);
    assert.deepEqual(await slicesWithUnits(node.files), []);
  });
  test('a scope that held the slice before gives way', async () => {
    const { node, bus } = await nodeAndBus(...paths);
    await using _ = node;
    bus.add({ id: 'sandwarden-anchor-burstable.scope', slice: 'kubepods-burstable.slice', transient: true });
    await holdNode(node.files, bus, always);
    assert.equal(await bus.unit('sandwarden-anchor-burstable.scope'), undefined);
  });
  test('an older unit of ours is written anew, a foreign one stops everything', async () => {
    const { node, bus } = await nodeAndBus(...paths);
    await using _ = node;
    const path = join(node.path, 'etc/systemd/system/sandwarden-anchor-besteffort.service');
    await holdNode(node.files, bus, always);
    const text = await readFile(path, 'utf8');
    await writeFile(path, text.replace('RestartSec=1', 'RestartSec=7'));
    await holdNode(node.files, bus, always);
    assert.equal(await readFile(path, 'utf8'), text);
    for (const slice of slices) await releaseNode(node.files, bus, slice);
    await writeFile(path, '[Service]\nExecStart=/bin/true\n');
    const before = node.tree();
    bus.did.splice(0);
    await assert.rejects(holdNode(node.files, bus, always), { code: 'ERR_PRECONDITION', message: /besteffort/ });
    await assert.rejects(releaseNode(node.files, bus, 'kubepods-besteffort.slice'), { code: 'ERR_PRECONDITION' });
    assert.deepEqual(node.tree(), before);
    assert.deepEqual(bus.did, ['reload']);
  });
  for (const call of ['startUnit', 'reload', 'stopUnit']) {
    test(`${call} fails: no file stays, nothing runs`, async () => {
      const { node, bus } = await nodeAndBus(...paths);
      await using _ = node;
      const before = node.tree();
      bus.failures.set(call, new SandwardenError('ERR_SYSTEMD_FAILED', 'no', { hint: 'x' }));
      await assert.rejects(holdNode(node.files, bus, always), { code: 'ERR_SYSTEMD_FAILED' });
      assert.deepEqual(node.tree(), before);
      assert.deepEqual(await listAnchors(bus), []);
    });
  }
  test('an old systemd, or a host without a sleep: nothing is written', async () => {
    const { node, bus } = await nodeAndBus(...paths);
    await using _ = node;
    const before = node.tree();
    bus.release = 239;
    await assert.rejects(holdNode(node.files, bus, always), { code: 'ERR_NOT_SUPPORTED' });
    bus.release = 252;
    await rm(join(node.path, 'usr/bin/sleep'));
    await assert.rejects(holdNode(node.files, bus, always), { code: 'ERR_COMMAND_MISSING' });
    assert.deepEqual(node.tree(), before);
  });
});

const analyze = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' });
test('systemd takes the units without a word', {
  skip: analyze.error === undefined ? false : 'no systemd-analyze',
}, async () => {
  await using node = await nodeWith({});
  for (const slice of slices) {
    const { name, text } = nodeUnit(slice, ['/bin/sleep', '2147483647'], 'always');
    const path = join(node.path, name);
    await writeFile(path, text);
    const { stderr } = await promisify(execFile)('systemd-analyze', ['verify', '--man=no', path]);
    assert.deepEqual(
      stderr.split('\n').filter((line) => line.includes('sandwarden-')),
      [],
    );
  }
});
