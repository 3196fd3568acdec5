import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { findBackOffs, findCreation } from '../../src/observe/crash-lines.ts';
import { KubeletLogReader } from '../../src/observe/kubelet-log.ts';
import { RuntimeLogReader } from '../../src/observe/runtime-log.ts';

const uid = '5d4f0a7c-1b2c-4d5e-8f90-a1b2c3d4e5f6';
const error = (delay: string, container: string, pod: string) =>
  `failed to \\"StartContainer\\" for \\"${container}\\" with CrashLoopBackOff: \\"back-off ${delay} restarting failed ` +
  `container=${container} pod=${pod}_longhorn-system(${uid})\\"`;
const line = (text: string) =>
  `E1114 16:30:01.100000    367 pod_workers.go:1301] "Error syncing pod, skipping" err="${text}" ` +
  `pod="longhorn-system/csi-attacher-1" podUID="${uid}"`;

describe('findBackOffs', () => {
  test("kubelet's line: pod, container and the delay", () => {
    const backOff = {
      pod: { namespace: 'longhorn-system', name: 'csi-attacher-1' },
      podUid: uid,
      container: 'csi-attacher',
    };
    assert.deepEqual(findBackOffs(error('5m0s', 'csi-attacher', 'csi-attacher-1')), [{ ...backOff, delayMs: 300_000 }]);
    assert.equal(findBackOffs(error('1m20s', 'csi-attacher', 'csi-attacher-1'))[0]?.delayMs, 80_000);
    const two = `[${error('10s', 'a', 'p')}, ${error('20s', 'b', 'p')}]`;
    assert.deepEqual(
      findBackOffs(two).map((each) => [each.container, each.delayMs]),
      [
        ['a', 10_000],
        ['b', 20_000],
      ],
    );
    assert.deepEqual(findBackOffs('back-off 10s restarting failed container=a pod=nonsense'), []);
  });

  test("the reader of kubelet's log folds them, and keeps the longest delay", () => {
    const reader = new KubeletLogReader(0n);
    for (const [n, delay] of ['10s', '40s', '20s'].entries()) {
      reader.add({
        text: line(error(delay, 'csi-attacher', 'csi-attacher-1')),
        at: { wallNs: BigInt(n + 1) * 10n ** 10n },
      });
    }
    const [folded, ...rest] = reader.result(false).backOffs ?? [];
    assert.deepEqual([folded?.count, folded?.delayMs, rest.length], [3, 40_000, 0]);
  });
});

describe('findCreation', () => {
  const id = 'ab'.repeat(32);

  test('up to containerd 2.0 and newer; a request that did not end is none', () => {
    const old = `CreateContainer within sandbox \\"${id}\\" for &ContainerMetadata{Name:web,Attempt:3,} returns container id \\"x\\"`;
    const now = `CreateContainer within sandbox "${id}" for name:"web"  attempt:3 returns container id "x"`;
    const zero = `CreateContainer within sandbox "${id}" for name:"web" returns container id "x"`;
    assert.deepEqual(findCreation(old), { sandboxId: id, container: 'web', attempt: 3 });
    assert.deepEqual(findCreation(now), { sandboxId: id, container: 'web', attempt: 3 });
    assert.deepEqual(findCreation(zero), { sandboxId: id, container: 'web', attempt: 0 });
    const request = `CreateContainer within sandbox "${id}" for container &ContainerMetadata{Name:web,Attempt:3,}`;
    assert.equal(findCreation(request), undefined);
  });

  test("the reader of the runtime's log counts them by sandbox and container", () => {
    const reader = new RuntimeLogReader();
    for (const attempt of [1, 2, 3]) {
      const text =
        `time="2026-11-21T18:00:0${attempt}.1Z" level=info msg="CreateContainer within sandbox \\"${id}\\" for ` +
        `&ContainerMetadata{Name:web,Attempt:${attempt},} returns container id \\"y\\""`;
      reader.add({ text });
    }
    assert.deepEqual(
      reader.result(false).creations?.map(({ container, attempt, count }) => [container, attempt, count]),
      [['web', 3, 3]],
    );
  });

  test('the pod of the sandbox is known where the same log tells of its making', () => {
    const reader = new RuntimeLogReader();
    const other = 'cd'.repeat(32);
    const at = { wallNs: 10n ** 18n };
    const lines = [
      `RunPodSandbox for &PodSandboxMetadata{Name:web-0,Uid:${uid},Namespace:apps,Attempt:4,} returns sandbox id "${id}"`,
      `CreateContainer within sandbox "${id}" for &ContainerMetadata{Name:web,Attempt:1,} returns container id "x"`,
      `CreateContainer within sandbox "${other}" for name:"web" returns container id "y"`,
      // It is gone again, and that it was this pod's stays known.
      `RemovePodSandbox "${id}" returns successfully`,
      `CreateContainer within sandbox "${id}" for &ContainerMetadata{Name:late,Attempt:0,} returns container id "z"`,
      `RunPodSandbox for name:"web-1" uid:"u-2" namespace:"apps" returns sandbox id "${other}"`,
      `CreateContainer within sandbox "${other}" for name:"late" returns container id "z"`,
    ];
    for (const msg of lines) reader.add({ text: `level=info msg=${JSON.stringify(msg)}`, at });
    assert.deepEqual(
      reader.result(false).creations?.map(({ container, podUid }) => [container, podUid]),
      [
        ['web', uid],
        ['web', undefined],
        ['late', uid],
        ['late', 'u-2'],
      ],
    );
  });

  test('any text: an answer or none', () => {
    const word = fc.constantFrom(
      'back-off ',
      '5m0s',
      ' restarting failed container=',
      ' pod=',
      '_',
      '(',
      ')',
      '"',
      '\\',
      'x',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 50 }), (words) => {
        findBackOffs(words.join(''));
        findCreation(`CreateContainer within sandbox "${words.join('')}`);
      }),
      { numRuns: 300 },
    );
  });
});
