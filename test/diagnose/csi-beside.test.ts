// Goal: what stands beside a broken driver (one that is back, a dead registration socket) is told of as what it is.
// Method: the same node with one thing more or less; what is said to come of what, and what is in doubt.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { RegistrationSocket } from '../../src/model/csi.ts';
import type { VolumeFailed } from '../../src/model/records.ts';
import { crashLooping, longhorn, type PodFixture, plain, waitingPod } from '../helpers/csi/drivers.ts';
import { bootId, nameHeld, nowNs, sandbox, seconds, snapshotOf, uptimeNs } from './build.ts';
import { driver, find, iso, nodeWith, refusing, type Spec } from './csi-nodes.ts';

/** Sidecars that ended 100 s ago, when no socket was there yet. */
const ended = (pods: readonly PodFixture[]) =>
  pods.map((pod) => ({
    ...pod,
    containers: pod.containers.map((each) => ({ ...each, ...crashLooping(iso(100)) })),
  }));
const [attacher, provisioner] = longhorn.sidecars;
assert.ok(attacher && provisioner);

const at = (agoS: number) => ({
  wallNs: nowNs - seconds(agoS),
  bootId,
  monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n,
});
const failed = (name: string, of: string): VolumeFailed => ({
  ...{ driver: of, podName: name, podUid: `uid-${name}`, error: 'Volume not attached according to node status' },
  ...{ count: 3, first: at(400), last: at(10) },
});
const logOf = (...volumeFailed: VolumeFailed[]) => snapshotOf({ log: { volumeFailed } }).kubeletLog;
const told = (spec: Spec) =>
  diagnose(nodeWith(spec)).chain.map(({ code = '', text, because }) => [code, text, because?.split(':')[0]]);

describe('sidecars that wait for two drivers', () => {
  const spec = {
    drivers: [refusing(longhorn), driver(plain)],
    pods: [
      longhorn.plugin,
      ...ended([attacher, provisioner]),
      plain.plugin,
      ...ended(plain.sidecars),
      waitingPod('db-0'),
    ],
    registered: [longhorn.name, plain.name],
  };

  test('are two links: those whose socket is dead, with why, and those whose socket is back', () => {
    assert.deepEqual(
      told(spec).filter(([, text]) => /CSI pod/.test(text ?? '')),
      [
        ['', '2 CSI pods crash-loop for want of that socket', 'SW301'],
        ['SW303', '1 CSI pod waits in back-off although plain.example.com answers again', undefined],
      ],
    );
  });

  test('each have their own time: that the others looped long before refutes nothing', () => {
    const backOff = (pod: PodFixture, firstAgoS: number) => ({
      ...{ pod: { namespace: pod.namespace, name: pod.name }, podUid: `uid-${pod.name}`, delayMs: 10_000 },
      ...{ container: pod.containers[0]?.name ?? '', count: 9, first: at(firstAgoS), last: at(3) },
    });
    const backOffs = [backOff(attacher, 390), ...plain.sidecars.map((each) => backOff(each, 590))];
    const { kubeletLog } = snapshotOf({ log: { backOffs, volumeFailed: [failed('db-0', longhorn.name)] } });
    const links = told({ ...spec, more: { kubeletLog } }).filter(([, text]) => /CSI pod/.test(text ?? ''));
    assert.deepEqual(
      links.map(([code, , cause]) => [code, cause]),
      // Oldest first.
      [
        ['SW303', undefined],
        ['', 'SW301'],
      ],
    );
  });

  test('are one where one driver has none; a pod that nobody makes anew has no finding, and nothing it comes of', () => {
    const pods = [longhorn.plugin, plain.plugin, waitingPod('db-0')];
    const links = (more: readonly PodFixture[]) =>
      told({ ...spec, pods: [...pods, ...more] }).filter(([, text]) => /CSI pod/.test(text ?? ''));
    assert.deepEqual(
      links(ended([attacher])).map(([, text]) => text),
      ['1 CSI pod crash-loops for want of that socket'],
    );
    const orphans = ended(plain.sidecars).map(({ owner: _, ...pod }) => pod);
    assert.deepEqual(links([...ended([attacher]), ...orphans]), [
      ['', '1 CSI pod crash-loops for want of that socket', 'SW301'],
      ['', '1 CSI pod waits in back-off although plain.example.com answers again', undefined],
    ]);
  });
});

describe('a dead registration socket', () => {
  const path = `/var/lib/kubelet/plugins_registry/${longhorn.name}-reg.sock`;
  const dead: RegistrationSocket = {
    ...{ path, device: '1', inode: '9', madeAtNs: nowNs - uptimeNs - seconds(100) },
    ...{ state: 'refuses', says: 'ECONNREFUSED', owned: false },
  };
  const reasons = (over: Partial<Spec>) => {
    const kubeletLog = logOf(failed('db-0', longhorn.name));
    const pods = [longhorn.plugin, waitingPod('db-0')];
    const spec = { pods, registrations: [dead], registered: [longhorn.name], more: { kubeletLog }, ...over };
    const link = diagnose(nodeWith(spec)).chain.find((each) => each.code === 'SW306');
    return [link?.because?.split(':')[0], ...(link?.others ?? []).map((each) => each.code)];
  };

  test('is why pods wait where the driver answers', () => {
    assert.deepEqual(reasons({ drivers: [driver(longhorn)] }), ['SW304']);
  });

  test('is only perhaps where the socket of the driver is dead too', () => {
    assert.deepEqual(reasons({ drivers: [refusing(longhorn)] }), ['SW301', 'SW304']);
  });

  test('of which kubelet tells once: the words of it', () => {
    const registrationFailed = [
      { socket: path, error: 'failed to dial socket', count: 1, first: at(10), last: at(10) },
    ];
    const { kubeletLog } = snapshotOf({ log: { registrationFailed } });
    const [found] = find(nodeWith({ registrations: [dead], more: { kubeletLog } }), 'SW304');
    assert.equal(found?.evidence[1]?.text, 'RegisterPlugin: failed to dial socket (once)');
  });
});

describe('whose the claims are', () => {
  const spec = { drivers: [refusing(longhorn), driver(plain)], registered: [longhorn.name, plain.name] };
  const pods = [longhorn.plugin, plain.plugin, waitingPod('db-0'), waitingPod('db-1')];
  const why = (...logged: VolumeFailed[]) =>
    find(nodeWith({ ...spec, pods, more: { kubeletLog: logOf(...logged) } }), 'SW306')[0]?.why;

  test('is in no doubt where kubelet’s log tells of all the pods that wait', () => {
    const all = [failed('db-0', longhorn.name), failed('db-1', longhorn.name)];
    assert.doesNotMatch(why(...all) ?? assert.fail(), /was not asked/);
    assert.match(why(...all.slice(1)) ?? '', /Which driver their claims belong to was not asked\.$/);
  });

  test('keeps those out of it that wait for the driver that is well', () => {
    const others = [failed('db-0', plain.name), failed('db-1', plain.name)];
    assert.equal(why(...others), undefined);
    assert.match(
      why(...others.slice(1)) ?? '',
      /^1 pod waits for volumes; it hangs on SW301 \(driver\.longhorn\.io\)\./,
    );
    assert.match(why(...others, failed('db-1', longhorn.name)) ?? '', /^1 pod waits for volumes; [^.]*/);
  });

  test('and a pod in back-off, a dead registration and a stuck volume are each of their driver', () => {
    const well = { drivers: [driver(longhorn), driver(plain)], registered: [longhorn.name, plain.name] };
    const registrations: RegistrationSocket[] = [
      {
        ...{
          path: '/r/plain.example.com-reg.sock',
          device: '1',
          inode: '9',
          madeAtNs: nowNs - uptimeNs - seconds(100),
        },
        ...{ state: 'refuses', says: 'ECONNREFUSED', owned: false },
      },
    ];
    const attachment = { name: 'csi-1', uid: 'va-1', driver: plain.name, attached: false };
    const attachments = [{ ...attachment, createdAtNs: nowNs - seconds(900) }];
    for (const [code, change] of [
      ['SW303', { pods: [...pods, ...ended(plain.sidecars)] }],
      ['SW304', { pods, registrations }],
      ['SW305', { pods, attachments }],
    ] as const) {
      const waits = (of: string) => {
        const kubeletLog = logOf(failed('db-0', of), failed('db-1', of));
        return find(nodeWith({ ...well, ...change, more: { kubeletLog } }), 'SW306').map((each) => each.why);
      };
      assert.match(waits(plain.name).join(), new RegExp(`^2 pods wait for volumes; it hangs on ${code}`));
      assert.deepEqual(waits(longhorn.name), [], code);
    }
  });
});

test('what a cause of the whole boot came to is told by the time after the boot', () => {
  const { name, namespace } = longhorn.plugin;
  const ghost = (agoS: number) => ({ ...sandbox(name, 0, 'notready', -agoS), namespace });
  const because = (madeAgoS: number) => {
    const held = ghost(madeAgoS);
    const asked = { name, namespace, uid: `uid-${name}`, attempt: 0 };
    const error = nameHeld(name, 0, held.id, { asked, first: at(500), last: at(5) } as never);
    const { kubeletLog } = snapshotOf({ errors: [error], log: { volumeFailed: [failed('db-0', longhorn.name)] } });
    const pods = [longhorn.plugin, waitingPod('db-0')];
    const snapshot = nodeWith({ drivers: [refusing(longhorn)], pods, sandboxes: [held], more: { kubeletLog } });
    return diagnose(snapshot).chain.find((each) => each.code === 'SW301')?.because ?? '';
  };
  // The node has been up for 600 s, and kubelet has missed the driver for 400.
  assert.match(because(900), /^SW302: .*; 3 min 20 s after the boot\)$/);
  assert.match(because(550), /^SW302: .*; 1 min 40 s later\)$/);
});
