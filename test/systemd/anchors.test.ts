// Goal: a slice is held exactly where it is there, once, under a name that kubelet leaves alone. Method: a systemd in
// memory, kubelet's own reading of names as the judge, slices that go in the worst moment.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { podCgroupPath, qosPath } from '../../src/model/cgroup-names.ts';
import { type QosClass, qosClasses } from '../../src/model/cgroups.ts';
import { SandwardenError } from '../../src/model/errors.ts';
import { anchorName, isAnchorName, roleOfSlice } from '../../src/systemd/anchor-names.ts';
import { holdSlice, listAnchors, releaseAnchor } from '../../src/systemd/anchors.ts';
import { isUnitName } from '../../src/systemd/bus.ts';
import { runs } from '../helpers/fuzz.ts';
import { FakeBus } from './fake-bus.ts';

const burstable = '/kubepods.slice/kubepods-burstable.slice';
const uid = '11111111-2222-4333-8444-555555555555';
const podSlice = `kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`;
const podPath = `${burstable}/${podSlice}`;

/**
 * What kubelet takes a directory below its QoS classes for (pkg/kubelet/cm/pod_container_manager_linux.go
 * GetAllPodsFromCgroups, cgroup_manager_linux.go ParseSystemdToCgroupName): the uid of a pod, or undefined.
 */
function podThatKubeletSees(directory: string): string | undefined {
  const last =
    directory
      .replace(/\.slice$/, '')
      .split('-')
      .at(-1) ?? '';
  const parts = last.replaceAll('_', '-').split('pod');
  return parts.length === 2 ? parts[1] : undefined;
}

describe('names', () => {
  test('what kubelet takes for a pod: its own slices, and a careless name', () => {
    assert.equal(podThatKubeletSees(podSlice), uid);
    assert.equal(podThatKubeletSees('sandwarden-anchor-kubepods.scope'), 's.scope');
  });
  test('kubelet takes none of ours for a pod, whatever is held', () => {
    const uids = fc.oneof(
      fc.uuid(),
      fc.stringMatching(/^[0-9a-z_]{1,60}$/),
      fc.constant('pod'),
      fc.constant('mypod-pod'),
    );
    const roots = fc.array(fc.constantFrom('foo', 'tripod', 'a-b'), { maxLength: 2 });
    fc.assert(
      fc.property(uids, fc.constantFrom(...qosClasses), roots, fc.boolean(), (of, qos: QosClass, root, ofPod) => {
        const path = ofPod ? podCgroupPath('systemd', qos, of, root) : qosPath('systemd', qos, root);
        const slice = path.slice(path.lastIndexOf('/') + 1);
        for (const kind of ['scope', 'service'] as const) {
          const name = anchorName(slice, kind);
          assert.equal(podThatKubeletSees(name), undefined, name);
          assert.ok(!name.includes('pod') && isUnitName(name) && isAnchorName(name), name);
        }
      }),
      runs(500),
    );
  });
  test('each slice has its own name, and what it is is told', () => {
    const slices = ['kubepods.slice', 'kubepods-burstable.slice', 'kubepods-besteffort.slice', podSlice, 'my.slice'];
    const names = slices.map((each) => anchorName(each));
    assert.equal(new Set(names).size, slices.length);
    assert.deepEqual(names.slice(0, 4), [
      'sandwarden-anchor-guaranteed.scope',
      'sandwarden-anchor-burstable.scope',
      'sandwarden-anchor-besteffort.scope',
      `sandwarden-anchor-${uid}.scope`,
    ]);
    assert.deepEqual(roleOfSlice('foo-kubepods-besteffort.slice'), { kind: 'qos', qos: 'besteffort' });
    assert.deepEqual(roleOfSlice(`kubepods-pod${uid.replaceAll('-', '_')}.slice`), { kind: 'pod', uid });
    assert.deepEqual(roleOfSlice('system.slice'), { kind: 'other' });
  });
});

describe('holding', () => {
  test("a pod's slice: one scope with one process, the second time nothing", async () => {
    const bus = new FakeBus(burstable, podPath);
    const target = { slice: podSlice, pod: 'default/vm' };
    assert.deepEqual(await holdSlice(bus, target), {
      name: `sandwarden-anchor-${uid}.scope`,
      slice: podSlice,
      made: true,
    });
    assert.equal((await holdSlice(bus, target)).made, false);
    assert.equal(bus.did.length, 1);
    assert.match(bus.did[0] ?? '', /\/sleep 2147483647$/);
    const [anchor, ...more] = await listAnchors(bus);
    assert.deepEqual(more, []);
    assert.equal(anchor?.holds, 'default/vm');
    assert.deepEqual([anchor?.kind, anchor?.lasts, anchor?.delegated], ['pod', 'slice', true]);
    assert.equal(anchor?.controlGroup, `${podPath}/sandwarden-anchor-${uid}.scope`);
  });
  test('gone with its pod; held again when the pod is there again', async () => {
    const bus = new FakeBus(burstable, podPath);
    await holdSlice(bus, { slice: podSlice });
    bus.removeSlice(podSlice);
    assert.deepEqual(await listAnchors(bus), []);
    await assert.rejects(holdSlice(bus, { slice: podSlice }), { code: 'ERR_PRECONDITION' });
    bus.addSlice(podPath);
    assert.equal((await holdSlice(bus, { slice: podSlice })).made, true);
  });
  test('a slice that goes while it is held leaves nothing of ours', async () => {
    const bus = new FakeBus(burstable, podPath);
    bus.beforeScope = () => bus.removeSlice(podSlice);
    await assert.rejects(holdSlice(bus, { slice: podSlice }), { code: 'ERR_PRECONDITION', message: /went while/ });
    assert.deepEqual(await listAnchors(bus), []);
  });
  test('two at once: one makes it, both have it', async () => {
    const bus = new FakeBus(burstable);
    const target = { slice: 'kubepods-burstable.slice' };
    const both = await Promise.all([holdSlice(bus, target), holdSlice(bus, target)]);
    assert.deepEqual(both.map((each) => each.made).sort(), [false, true]);
  });
  test('a slice that is not there is not made', async () => {
    const bus = new FakeBus();
    await assert.rejects(holdSlice(bus, { slice: podSlice }), { code: 'ERR_PRECONDITION' });
    assert.deepEqual(bus.did, []);
  });
  test('a systemd that does not manage cpuset is refused before anything is done', async () => {
    const bus = new FakeBus(burstable);
    bus.release = 243;
    await assert.rejects(holdSlice(bus, { slice: 'kubepods-burstable.slice' }), { code: 'ERR_NOT_SUPPORTED' });
    assert.deepEqual(bus.did, []);
  });
  test('what systemd refuses is told as it is', async () => {
    const bus = new FakeBus(burstable);
    bus.failures.set('startScope', new SandwardenError('ERR_FORBIDDEN', 'no', { hint: 'x' }));
    await assert.rejects(holdSlice(bus, { slice: 'kubepods-burstable.slice' }), { code: 'ERR_FORBIDDEN' });
  });
});

describe('releasing', () => {
  test('only what is ours, and once', async () => {
    const bus = new FakeBus(burstable);
    const { name } = await holdSlice(bus, { slice: 'kubepods-burstable.slice' });
    assert.equal(await releaseAnchor(bus, name), 'released');
    assert.equal(await releaseAnchor(bus, name), 'gone');
    for (const foreign of ['containerd.service', 'kubepods.slice', '-x.scope', 'sandwarden-anchor-a b.scope']) {
      await assert.rejects(releaseAnchor(bus, foreign), { code: 'ERR_USAGE' });
    }
    assert.deepEqual(bus.did.slice(1), [`stop ${name}`]);
  });
});
