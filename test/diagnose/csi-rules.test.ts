import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { makePlan } from '../../src/heal/plan.ts';
import type { CsiDriver, RegistrationSocket, VolumeAttachment } from '../../src/model/csi.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import {
  allDrivers,
  crashLooping,
  creating,
  longhorn,
  nfs,
  type PodFixture,
  waitingPod,
} from '../helpers/csi/drivers.ts';
import { nameHeld, nowNs, sandbox, seconds, snapshotOf, uptimeNs } from './build.ts';
import { crashed, driver, find, iso, nodeWith, refusing, type Spec } from './csi-nodes.ts';

const csiCodes = ['SW301', 'SW302', 'SW303', 'SW304', 'SW305', 'SW306'];

describe('drivers are recognised by what they are', () => {
  for (const fixture of allDrivers) {
    test(`${fixture.name}: healthy, nothing is found`, () => {
      const pods = [fixture.plugin, ...fixture.sidecars];
      assert.deepEqual(
        find(nodeWith({ drivers: [driver(fixture)], pods, registered: [fixture.name] }), ...csiCodes),
        [],
      );
    });

    test(`${fixture.name}: its dead socket is found with its node plugin`, () => {
      const pods = [
        { ...fixture.plugin, containers: fixture.plugin.containers.map((each) => ({ ...each, ...creating })) },
      ];
      const [found, ...more] = find(
        nodeWith({ drivers: [refusing(fixture)], pods, registered: [fixture.name] }),
        'SW301',
      );
      assert.equal(more.length, 0);
      assert.equal(found?.object.name, fixture.name);
      assert.equal(found?.severity, 'error');
      assert.ok(found?.pods.includes(`${fixture.plugin.namespace}/${fixture.plugin.name}`));
    });

    test(`${fixture.name}: a socket that was never made is missing`, () => {
      const pods = [
        { ...fixture.plugin, containers: fixture.plugin.containers.map((each) => ({ ...each, ...creating })) },
      ];
      const [found] = find(nodeWith({ pods, registered: [fixture.name] }), 'SW301');
      assert.match(found?.why ?? '', /csi\.sock is not there/);
      assert.equal(found?.object.name, fixture.name);
    });

    test(`${fixture.name}: of pods in back-off since before its socket came, only its sidecars are deleted`, () => {
      const waits = (pod: PodFixture): PodFixture => {
        return { ...pod, containers: pod.containers.map((each) => ({ ...each, ...crashLooping(iso(100)) })) };
      };
      const pods = [fixture.plugin, ...fixture.sidecars].map(waits);
      const snapshot = nodeWith({ drivers: [driver(fixture)], pods, registered: [fixture.name] });
      const sidecars = fixture.sidecars.map((each) => `${each.namespace}/${each.name}`);
      assert.deepEqual(
        find(snapshot, 'SW303').map((each) => each.object.name),
        sidecars.toSorted(),
      );
      const { actions } = makePlan(snapshot, { allow: ['safe'], only: [], storage: true });
      assert.deepEqual(actions.map((each) => each.object).sort(), sidecars.toSorted());
    });
  }

  test('one that is dead keeps the name of its folder beside another that CSINode lists and nobody serves', () => {
    const named = (spec: Spec) => find(nodeWith(spec), 'SW301').map((each) => each.object.name);
    const registered = [longhorn.name, nfs.name];
    assert.deepEqual(named({ drivers: [refusing(longhorn)], pods: [longhorn.plugin], registered }), [longhorn.name]);
    // The folder that has no driver's name is of the driver that has no folder.
    const pods = [longhorn.plugin, nfs.plugin];
    const both = named({ drivers: [refusing(longhorn), refusing(nfs)], pods, registered });
    assert.deepEqual(both, [longhorn.name, nfs.name]);
  });

  test('of a pod nothing secret is kept', () => {
    const snapshot = nodeWith({ pods: [longhorn.plugin] });
    assert.ok(snapshot.pods.known);
    assert.equal(JSON.stringify(snapshot.pods.value).includes('hunter2'), false);
    const [registrar, , itself] = snapshot.pods.value[0]?.containers ?? [];
    assert.deepEqual(registrar?.kubeletPaths, [longhorn.folder, '/var/lib/kubelet/plugins_registry']);
    assert.equal(itself?.mountsForOthers, true);
    assert.equal(itself?.kubeletPaths?.includes('/dev'), false);
  });
});

describe('SW301', () => {
  test('says nothing of the socket of a driver that was removed', () => {
    assert.deepEqual(find(nodeWith({ drivers: [refusing(longhorn)], pods: [], registered: [] }), ...csiCodes), []);
  });

  describe('of several sockets in one folder goes by', () => {
    const other = { path: `${longhorn.folder}/reg.sock`, inode: '8' };
    const nameless = { name: longhorn.name, nameFrom: 'folder', state: 'fails', says: 'Unimplemented' } as const;
    const by = (...drivers: CsiDriver[]) =>
      [drivers, drivers.toReversed()].map((each) =>
        find(nodeWith({ drivers: each, pods: [longhorn.plugin, crashed(100)] }), 'SW301', 'SW303').map(
          ({ code, evidence }) => `${code} ${evidence.some((every) => every.text.includes('reg.sock'))}`,
        ),
      );
    const twice = (said: string) => [[said], [said]];

    test('the one that says its name', () => {
      assert.deepEqual(by(driver(longhorn), driver(longhorn, { ...other, ...nameless })), twice('SW303 false'));
      assert.deepEqual(by(driver(longhorn, nameless), driver(longhorn, other)), twice('SW303 true'));
    });
    test('csi.sock, where none or both do', () => {
      const dead = refusing(longhorn);
      assert.deepEqual(by(dead, driver(longhorn, { ...other, ...nameless })), twice('SW301 false'));
      const faulty = driver(longhorn, { state: 'not-ready', says: 'Probe: ready is false' });
      assert.deepEqual(by(faulty, driver(longhorn, other)), twice('SW301 false'));
    });
  });

  test('is a warning where nobody knows whether the driver is still used', () => {
    const [found] = find(nodeWith({ drivers: [refusing(longhorn)] }), 'SW301');
    assert.equal(found?.severity, 'warning');
  });

  for (const [state, says, what] of [
    ['hangs', 'no answer within 3 s', /accepts and does not answer/],
    ['not-ready', 'Probe: ready is false', /says that it is not ready/],
    ['fails', 'Internal: it fell over', /fails/],
  ] as const) {
    test(`says what a socket that ${state} does`, () => {
      const [found] = find(
        nodeWith({ drivers: [driver(longhorn, { state, says })], pods: [longhorn.plugin] }),
        'SW301',
      );
      assert.match(found?.why ?? '', what);
      assert.match(found?.evidence[0]?.text ?? '', new RegExp(says));
    });
  }

  test('says nothing of a socket that may not be opened', () => {
    const drivers = [driver(longhorn, { state: 'forbidden', says: 'EACCES' })];
    assert.deepEqual(find(nodeWith({ drivers, pods: [longhorn.plugin] }), 'SW301'), []);
  });
});

describe('SW302', () => {
  const plugin = longhorn.plugin.name;
  const ghost = { ...sandbox(plugin, 0, 'notready', -900), namespace: 'longhorn-system' };
  const error = nameHeld(plugin, 0, ghost.id, {
    asked: { name: plugin, namespace: 'longhorn-system', uid: `uid-${plugin}`, attempt: 0 },
  } as never);

  test('names the finding that blocks the node plugin, and SW306 those who wait', () => {
    const pods = [longhorn.plugin, waitingPod('db-0')];
    const snapshot = nodeWith({ drivers: [refusing(longhorn)], pods, sandboxes: [ghost], errors: [error] });
    const [found] = find(snapshot, 'SW302');
    assert.equal(found?.object.name, 'driver.longhorn.io');
    assert.match(found?.why ?? '', /longhorn-csi-plugin-w6dd4 cannot start \(SW101\)/);
    assert.deepEqual(found?.pods, ['apps/db-0', `longhorn-system/${plugin}`]);
    const [waiting] = find(snapshot, 'SW306');
    assert.deepEqual(waiting?.pods, ['apps/db-0']);
    const chain = diagnose(snapshot).chain;
    const order = chain.map((each) => each.code ?? '').filter((each) => each !== '');
    assert.deepEqual(order, ['SW101', 'SW302', 'SW301', 'SW306']);
    assert.match(chain.find((each) => each.code === 'SW101')?.ends ?? '', /^SW101/);
    assert.match(chain.find((each) => each.code === 'SW302')?.because ?? '', /^SW101: the node plugin of the driver/);
  });

  test('is found without the API by the registrar that ran in the pod', () => {
    const registrar = {
      podUid: ghost.uid,
      sandboxId: ghost.id,
      name: 'node-driver-registrar',
      state: 'exited',
    } as const;
    const containers = known([{ ...registrar, id: 'c1', attempt: 0, createdAtNs: ghost.createdAtNs }]);
    const snapshot = nodeWith({
      drivers: [refusing(longhorn)],
      sandboxes: [ghost],
      errors: [error],
      more: { containers },
    });
    assert.equal(find(snapshot, 'SW302')[0]?.object.name, `longhorn-system/${plugin}`);
  });
});

describe('SW303', () => {
  const base = { drivers: [driver(longhorn)], registered: [longhorn.name] };
  const found = (pods: readonly PodFixture[], over: Partial<Spec> = {}) =>
    find(nodeWith({ ...base, pods: [longhorn.plugin, ...pods], ...over }), 'SW303');

  test('a sidecar that ended before the socket was made, and waits', () => {
    const [finding, ...more] = found([crashed(100)]);
    assert.equal(more.length, 0);
    assert.equal(finding?.object.name, 'longhorn-system/csi-attacher-7d9f-abcde');
    assert.match(finding?.why ?? '', /waits in back-off for another 3 min 20 s/);
    assert.equal(finding?.remedy.tier, 'safe');
  });

  for (const [what, pods, over] of [
    ['it ended again while the socket answered', [crashed(30)], {}],
    ['the socket does not answer yet', [crashed(100)], { drivers: [driver(longhorn, { state: 'not-ready' })] }],
    ['it ran out of memory', [crashed(100, {}, [137, 'OOMKilled'])], {}],
    ['it ended with success', [crashed(100, {}, [0, 'Completed'])], {}],
    ['its end is dated after now', [crashed(-600)], {}],
    [
      'the socket is dated after now',
      [crashed(100)],
      { drivers: [driver(longhorn, { madeAtNs: nowNs + seconds(900) })] },
    ],
    ['it is being deleted', [crashed(100, { deleting: true })], {}],
    ['nobody would make it anew', [crashed(100, { owner: '' })], {}],
    ['a Job made it', [crashed(100, { owner: 'Job/x' })], {}],
  ] as const) {
    test(`leaves it alone: ${what}`, () => assert.deepEqual(found(pods, over), []));
  }

  test('leaves a pod alone of which another container waits for something else', () => {
    const sidecar = crashed(100);
    const other = { name: 'metrics', ...crashLooping(iso(100)) };
    assert.deepEqual(found([{ ...sidecar, containers: [...sidecar.containers, other] }]), []);
  });

  for (const [what, other] of [
    ['waits in back-off', crashLooping(iso(5), 99, 2)],
    ['has just ended', { state: { terminated: { exitCode: 2, reason: 'Error', finishedAt: iso(5) } }, restarts: 9 }],
  ] as const) {
    test(`leaves a pod alone of which a container with another of kubelet's folders ${what}`, () => {
      const sidecar = crashed(100);
      const containers = [...sidecar.containers, { name: 'other', mounts: ['pods'], ...other }];
      const hostPaths = { ...sidecar.hostPaths, pods: '/var/lib/kubelet/pods' };
      const pod = { ...sidecar, hostPaths, containers };
      assert.deepEqual(found([pod]), []);
      const snapshot = nodeWith({ ...base, pods: [longhorn.plugin, pod] });
      const plan = makePlan(snapshot, { allow: ['safe'], only: [], storage: true });
      assert.deepEqual(plan.actions, []);
      assert.match(
        plan.refusals[0]?.reason ?? '',
        /^other of it crashes too, and nothing says that it waits for driver/,
      );
    });
  }

  test('leaves the pod alone that serves the socket, though its registrar waits', () => {
    const containers = longhorn.plugin.containers.map((each) =>
      each.name === 'node-driver-registrar' ? { ...each, ...crashLooping(iso(100)) } : each,
    );
    assert.deepEqual(find(nodeWith({ ...base, pods: [{ ...longhorn.plugin, containers }] }), 'SW303'), []);
  });
});

describe('SW304', () => {
  const dead = (over: Partial<RegistrationSocket> = {}): RegistrationSocket => ({
    path: '/var/lib/kubelet/plugins_registry/driver.longhorn.io-reg.sock',
    device: '1',
    inode: '9',
    madeAtNs: nowNs - uptimeNs - seconds(100),
    state: 'refuses',
    says: 'ECONNREFUSED',
    owned: false,
    ...over,
  });
  const tier = (over: Partial<RegistrationSocket>, more: Partial<Snapshot> = {}) =>
    find(nodeWith({ registrations: [dead(over)], more }), 'SW304').map((each) => each.remedy.tier);

  test('may be removed where it is dead, nobody has it bound and it is older than kubelet', () => {
    assert.deepEqual(tier({}), ['safe']);
  });
  test('stays where a process has it bound, or nobody can say', () => {
    assert.deepEqual(tier({ owned: true }), ['none']);
    const { owned: _, ...unsaid } = dead();
    const snapshot = nodeWith({ registrations: [unsaid] });
    assert.deepEqual(
      find(snapshot, 'SW304').map((each) => each.remedy.tier),
      ['none'],
    );
  });
  test('stays where kubelet may have registered a driver through it', () => {
    assert.deepEqual(tier({ madeAtNs: nowNs - seconds(60) }), ['none']);
  });
  test('may be removed where kubelet still fails to register through it, whatever its date', () => {
    const at = { wallNs: nowNs - seconds(20) };
    const socket = '/var/lib/kubelet/plugins_registry/driver.longhorn.io-reg.sock';
    const failed = { socket, error: 'failed to dial socket: context deadline exceeded', count: 3, first: at, last: at };
    const { kubeletLog } = snapshotOf({ log: { registrationFailed: [failed] } });
    assert.deepEqual(tier({ madeAtNs: nowNs - seconds(60) }, { kubeletLog }), ['safe']);
    const registrations = [dead({ madeAtNs: nowNs - seconds(60) })];
    const [found] = find(nodeWith({ registrations, more: { kubeletLog } }), 'SW304');
    assert.ok(found?.evidence.some((each) => each.text.includes('context deadline exceeded (3 times)')));
  });
  test('is nothing where it accepts', () => assert.deepEqual(tier({ state: 'accepts', says: '' }), []));
});

describe('SW305', () => {
  const attachment = (over: Partial<VolumeAttachment> = {}): VolumeAttachment => ({
    name: 'csi-0815',
    uid: 'va-1',
    driver: longhorn.name,
    volume: 'pvc-1',
    attached: false,
    createdAtNs: nowNs - seconds(600),
    ...over,
  });
  const found = (over: Partial<VolumeAttachment>, spec: Partial<Spec> = {}) =>
    find(
      nodeWith({ drivers: [driver(longhorn)], pods: [longhorn.plugin], attachments: [attachment(over)], ...spec }),
      'SW305',
    );

  test('tells since when a volume is not attached, and why', () => {
    const [finding] = found({ attachError: { message: 'rpc error: volume is faulted' } });
    assert.match(finding?.why ?? '', /pvc-1 of driver\.longhorn\.io is not attached for 10 min/);
    assert.ok(finding?.evidence.some((each) => each.text.includes('volume is faulted')));
    assert.equal(finding?.remedy.tier, 'none');
  });
  test('tells of one that is being deleted and does not go', () => {
    assert.match(found({ attached: true, deletingSinceNs: nowNs - seconds(400) })[0]?.why ?? '', /being deleted/);
  });
  test('is nothing where it is attached, or young', () => {
    assert.deepEqual(found({ attached: true }), []);
    assert.deepEqual(found({ createdAtNs: nowNs - seconds(200) }), []);
  });
  test('goes by the clock of the API server, whatever this node says', () => {
    assert.deepEqual(found({}, { apiBehindS: 500 }), []);
    const volumes = known({ nodeName: 'node-1', attachments: [attachment()] });
    assert.deepEqual(found({}, { more: { volumes } }), []);
  });
});

describe('SW306', () => {
  test('is nothing where all drivers are well, or where a pod runs', () => {
    const well = nodeWith({ drivers: [driver(longhorn)], pods: [longhorn.plugin, waitingPod('db-0')] });
    assert.deepEqual(find(well, 'SW306'), []);
    const ready = { ...sandbox('db-0', 0, 'ready', -60), namespace: 'apps' };
    const pods = [longhorn.plugin, waitingPod('db-0')];
    const one = nodeWith({ drivers: [refusing(longhorn)], pods, sandboxes: [ready] });
    assert.deepEqual(find(one, 'SW306'), []);
  });

  test('goes by what kubelet says of a pod’s volume, with several drivers on the node', () => {
    const at = { wallNs: nowNs - seconds(20) };
    const error = 'MountDevice failed: driver name nfs.csi.k8s.io not found';
    const failed = {
      driver: 'nfs.csi.k8s.io',
      podName: 'db-0',
      podUid: 'uid-db-0',
      error,
      count: 2,
      first: at,
      last: at,
    };
    const { kubeletLog } = snapshotOf({ log: { volumeFailed: [failed] } });
    const drivers = [driver(longhorn), driver(nfs, { state: 'not-ready', says: 'Probe: ready is false' })];
    const pods = [longhorn.plugin, nfs.plugin, waitingPod('db-0')];
    const snapshot = nodeWith({ drivers, pods, more: { kubeletLog } });
    assert.deepEqual(find(snapshot, 'SW301')[0]?.pods, ['apps/db-0']);
    assert.match(find(snapshot, 'SW306')[0]?.evidence[0]?.text ?? '', /kubelet: MountDevice failed/);
  });

  test('says that it did not ask whose the claims are where another driver is well', () => {
    const snapshot = nodeWith({
      drivers: [refusing(longhorn), driver(nfs)],
      pods: [longhorn.plugin, nfs.plugin, waitingPod('db-0')],
    });
    assert.match(find(snapshot, 'SW306')[0]?.why ?? '', /was not asked/);
  });
});

test('without the API’s word on volumes it is said only where there are drivers', () => {
  const volumes = unknown('ERR_FORBIDDEN', 'it forbids it');
  const gaps = (spec: Spec) => diagnose(nodeWith({ ...spec, more: { volumes } })).gaps.map((each) => each.source);
  assert.equal(gaps({}).includes('volumes'), false);
  assert.equal(gaps({ drivers: [driver(longhorn)], pods: [longhorn.plugin] }).includes('volumes'), true);
});
