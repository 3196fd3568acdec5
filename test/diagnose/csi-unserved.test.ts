// Goal: a driver that a pod waits for and that nothing of the node serves is found; one that only CSINode has is not.
// Method: one node on which all of it holds, and the same with one thing changed that makes it another matter.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { causeNodes } from '../../src/diagnose/cause-nodes.ts';
import { causesOf } from '../../src/diagnose/causes.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { buildFacts } from '../../src/diagnose/facts.ts';
import { makePlan } from '../../src/heal/plan.ts';
import type { RegistrationSocket } from '../../src/model/csi.ts';
import { limits } from '../../src/model/limits.ts';
import { known, unknown, valueOr } from '../../src/model/observed.ts';
import type { VolumeFailed } from '../../src/model/records.ts';
import { crashLooping, creating, longhorn, nfs, type PodFixture, plain, waitingPod } from '../helpers/csi/drivers.ts';
import { container, nameHeld, nowNs, sandbox, seconds, snapshotOf } from './build.ts';
import { driver, find, iso, nodeWith, refusing, type Spec } from './csi-nodes.ts';

const notFound = (name: string) =>
  `MountVolume.MountDevice failed for volume "pvc-1" : kubernetes.io/csi: attacher.MountDevice failed to create ` +
  `newCsiDriverClient: driver name ${name} not found in the list of registered CSI drivers`;

interface Log {
  readonly of?: string;
  readonly error?: string;
  readonly firstAgoS?: number;
  readonly lastAgoS?: number;
}

/** Longhorn is well; a pod waits for a volume of the plain driver, and kubelet says that it does not find that. */
function node(change: Partial<Spec> = {}, log: Log = {}) {
  const { of = plain.name, error = notFound(of), firstAgoS = 300, lastAgoS = 20 } = log;
  const [first, last] = [firstAgoS, lastAgoS].map((agoS) => ({ wallNs: nowNs - seconds(agoS) }));
  assert.ok(first && last);
  const failed: VolumeFailed = { driver: of, podName: 'db-0', podUid: 'uid-db-0', error, count: 5, first, last };
  const { kubeletLog } = snapshotOf({ log: { volumeFailed: [failed] } });
  return nodeWith({
    drivers: [driver(longhorn)],
    pods: [longhorn.plugin, waitingPod('db-0')],
    registered: [longhorn.name, plain.name],
    ...change,
    more: { kubeletLog, ...change.more },
  });
}

const registration = (name: string, over: Partial<RegistrationSocket> = {}): RegistrationSocket => ({
  ...{ path: `/var/lib/kubelet/plugins_registry/${name}`, device: '1', inode: '9', madeAtNs: nowNs - seconds(7_000) },
  ...{ state: 'accepts', says: '', ...over },
});
const isDead = { state: 'refuses', says: 'ECONNREFUSED', owned: false } as const;

describe('a driver that a pod waits for and that nothing of this node serves', () => {
  test('is SW301 and says what to look at; who waits hangs on it', () => {
    const [found, ...more] = find(node(), 'SW301');
    assert.deepEqual(more, []);
    assert.equal(found?.object.name, plain.name);
    assert.equal(found.severity, 'error');
    assert.equal(
      found.why,
      'Nothing on this node serves plain.example.com: it has no pod and no socket here, and kubelet does not find it; ' +
        'no volume of plain.example.com comes up on this node.',
    );
    assert.deepEqual(found.pods, ['apps/db-0']);
    assert.match(found.evidence[0]?.text ?? '', /not found in the list of registered CSI drivers \(5 times\)$/);
    assert.ok(found.evidence.some((each) => /CSINode lists it, as it does drivers that are gone/.test(each.text)));
    assert.match(found.remedy.text, /its DaemonSet has no pod on this node/);
    const { chain } = diagnose(node());
    assert.deepEqual(
      chain.flatMap((each) => each.code ?? []),
      ['SW301', 'SW306'],
    );
    // Kubelet's words of 300 s ago are the oldest that tells of it.
    assert.deepEqual(
      chain.flatMap((each) => (each.code === undefined ? [] : each.agoNs)),
      [seconds(300), seconds(300)],
    );
    assert.match(chain[1]?.because ?? '', /^SW301: .*shared: waiting apps\/db-0/);
    assert.match(chain[0]?.ends ?? '', /^SW301 \(plain\.example\.com\): see why its DaemonSet has no pod/);
  });

  test('also where CSINode does not list it, or is not known, and where it is the only driver', () => {
    for (const change of [
      { registered: [longhorn.name] },
      { more: { csiNode: unknown('ERR_FORBIDDEN', 'it forbids it') } },
      { drivers: [], pods: [waitingPod('db-0')], registered: [plain.name] },
    ]) {
      const found = find(node(change), 'SW301');
      assert.deepEqual(
        found.map(({ object }) => object.name),
        [plain.name],
      );
    }
  });

  test('it comes of nothing that blocks the plugin of another driver', () => {
    const { name, namespace } = longhorn.plugin;
    const ghost = { ...sandbox(name, 0, 'notready', -900), namespace };
    const error = nameHeld(name, 0, ghost.id, { asked: { name, namespace, uid: `uid-${name}`, attempt: 0 } } as never);
    const containers = known([container(ghost, { name: 'node-driver-registrar' })]);
    const snapshot = node({ drivers: [refusing(longhorn)], sandboxes: [ghost], errors: [error], more: { containers } });
    // The log of both: what kubelet says of the driver, and of the name that is held.
    const log = { volumeFailed: valueOr(node().kubeletLog, undefined)?.volumeFailed ?? [] };
    const both = { ...snapshot, kubeletLog: snapshotOf({ errors: [error], log }).kubeletLog };
    const nodes = causeNodes(buildFacts(both), diagnose(both).findings);
    const causes = (driverName: string) => {
      const effect = nodes.find((each) => each.id === `SW301 ${driverName}`);
      return effect === undefined ? assert.fail(driverName) : causesOf(effect, nodes).map((each) => each.cause.code);
    };
    assert.deepEqual(causes(plain.name), []);
    assert.deepEqual(new Set(causes(longhorn.name)), new Set(['SW101', 'SW302']));
  });

  test('heal takes its dead registration socket away, and does not wait for a socket that nobody makes', () => {
    const registrations = [registration(`${plain.name}-reg.sock`, isDead)];
    const snapshot = node({ registrations });
    assert.equal(find(snapshot, 'SW301').length, 1);
    const plan = makePlan(snapshot, { allow: ['safe'], only: [], storage: true });
    assert.deepEqual(
      plan.actions.map((each) => each.kind),
      ['unlink-socket'],
    );
    assert.equal(plan.storage, undefined);
  });
});

describe('a driver that answers and that kubelet does not find', () => {
  const answering = (change: Partial<Spec> = {}, log: Log = {}) => {
    const pods = [longhorn.plugin, plain.plugin, waitingPod('db-0')];
    return node({ drivers: [driver(longhorn), driver(plain)], pods, ...change }, log);
  };
  const socket = `${plain.name}-reg.sock`;

  test('is SW301 where nobody offers it to kubelet, and leads to the registrar', () => {
    const [found, ...more] = find(answering(), 'SW301');
    assert.deepEqual(more, []);
    assert.equal(found?.object.name, plain.name);
    assert.equal(found.severity, 'error');
    assert.match(found.why, /csi\.sock answers, and kubelet has not registered it; no volume of plain\.example\.com/);
    assert.match(found.evidence[0]?.text ?? '', /not found in the list of registered CSI drivers \(5 times\)$/);
    assert.match(found.evidence[1]?.text ?? '', /^no registration socket of its name is in plugins_registry/);
    assert.match(found.remedy.text, /does not register it$/);
    assert.match(found.remedy.command ?? '', / -c \S*registrar$/);
    assert.deepEqual(found.pods, ['apps/db-0']);
    assert.deepEqual(
      diagnose(answering()).chain.flatMap((each) => each.code ?? []),
      ['SW301', 'SW306'],
    );
  });

  test('and where it was offered long ago', () => {
    const [found] = find(answering({ registrations: [registration(socket)] }), 'SW301');
    assert.match(found?.evidence[1]?.text ?? '', /-reg\.sock: accepts, made .*: kubelet was offered it and has not/);
  });

  test('is none while it registers, where its registration socket is dead, and once kubelet is silent', () => {
    const soon = nowNs - seconds(20 + limits.csiUnservedForMs / 1_000 - 1);
    for (const over of [{ madeAtNs: soon }, isDead]) {
      assert.deepEqual(find(answering({ registrations: [registration(socket, over)] }), 'SW301'), []);
    }
    assert.deepEqual(find(answering({}, { lastAgoS: 200 }), 'SW301'), []);
  });

  test('is one at once where kubelet itself says that its registration failed, whoever waits', () => {
    const accepting = registration(socket, { madeAtNs: nowNs - seconds(8) });
    const failedAgo = (agoS: number) => {
      const at = { wallNs: nowNs - seconds(agoS) };
      const of = { socket: accepting.path, error: 'rpc error: code = Internal', count: 3, first: at, last: at };
      return snapshotOf({ log: { registrationFailed: [of] } }).kubeletLog;
    };
    const tried = (agoS: number, registered: readonly string[] = [longhorn.name]) => {
      const pods = [longhorn.plugin, plain.plugin];
      return answering({ pods, registrations: [accepting], registered, more: { kubeletLog: failedAgo(agoS) } });
    };
    const [found] = find(tried(5), 'SW301');
    assert.match(found?.why ?? '', /answers, and kubelet has not registered it/);
    assert.equal(found?.evidence[0]?.text, 'rpc error: code = Internal (3 times)');
    assert.match(diagnose(tried(5)).verdict, /kubelet has not registered their CSI driver\.$/);
    // Another socket of the same name was meant; it has registered it since.
    assert.deepEqual(find(tried(9), 'SW301'), []);
    assert.deepEqual(find(tried(5, [longhorn.name, plain.name]), 'SW301'), []);
  });

  test('is one where CSINode does not list it half a minute after it was offered, though kubelet is silent', () => {
    const unlisted = (agoS: number) => {
      const registrations = [registration(socket, { madeAtNs: nowNs - seconds(agoS) })];
      return find(answering({ registrations, registered: [longhorn.name] }, { lastAgoS: 200 }), 'SW301');
    };
    const [found] = unlisted(40);
    assert.ok(found?.evidence.some(({ text }) => text === "the node's CSINode does not list it"));
    assert.deepEqual(unlisted(20), []);
    // One of a controller offers nothing to kubelet.
    const containers = plain.plugin.containers.filter((each) => !/registrar/.test(each.name));
    const pods = [longhorn.plugin, { ...plain.plugin, containers }];
    assert.deepEqual(find(answering({ pods, registered: [longhorn.name] }, { lastAgoS: 200 }), 'SW301'), []);
  });

  test('says that its registrar waits in back-off', () => {
    const containers = plain.plugin.containers.map((each) => {
      return /registrar/.test(each.name) ? { ...each, ...crashLooping(iso(120), 40) } : each;
    });
    const pods = [longhorn.plugin, { ...plain.plugin, containers }, waitingPod('db-0')];
    const [found] = find(answering({ pods }), 'SW301');
    assert.match(found?.remedy.text ?? '', /^its registrar in storage\/plain-node-abcde waits in back-off/);
    assert.match(found?.remedy.command ?? '', / -c node-driver-registrar --previous$/);
  });
});

describe('is no finding', () => {
  const none = (snapshot: ReturnType<typeof node>) => {
    assert.deepEqual(
      find(snapshot, 'SW301').map(({ why }) => why),
      [],
    );
  };

  test('a driver that CSINode alone knows: removed while the node was off, or migrated to and not used', () => {
    const registered = [longhorn.name, plain.name, 'pd.csi.storage.gke.io'];
    none(nodeWith({ drivers: [driver(longhorn)], pods: [longhorn.plugin], registered }));
    // Nor where pods wait for something else.
    none(nodeWith({ drivers: [driver(longhorn)], pods: [longhorn.plugin, waitingPod('db-0')], registered }));
  });

  test('one whose pod is being rolled out: kubelet has missed it for some seconds', () => {
    const mostS = limits.csiUnservedForMs / 1_000;
    none(node({}, { firstAgoS: mostS - 1, lastAgoS: 2 }));
    assert.equal(find(node({}, { firstAgoS: mostS, lastAgoS: 2 }), 'SW301').length, 1);
  });

  test('one of which kubelet does not speak any more, or says something else', () => {
    none(node({}, { lastAgoS: 200 }));
    none(node({}, { error: 'MountVolume.SetUp failed: rpc error: code = Internal desc = mount failed' }));
  });

  test('one whose pods run by now, are over, or are being deleted', () => {
    const ready = { ...sandbox('db-0', 0, 'ready', -10), namespace: 'apps' };
    none(node({ sandboxes: [ready] }));
    for (const change of [{ phase: 'Failed' }, { deleting: true }])
      none(node({ pods: [longhorn.plugin, { ...waitingPod('db-0'), ...change }] }));
    none(node({ pods: [longhorn.plugin] }));
  });

  test('where the API does not tell who is on the node', () => {
    const { pods: _, ...withoutPods } = node();
    none({ ...withoutPods, pods: unknown('ERR_KUBE_UNREACHABLE', 'no answer') });
  });

  test('one that registers at this moment, or may be what a socket of another name is of', () => {
    for (const name of [`${plain.name}-reg.sock`, 'volumes.sock']) none(node({ registrations: [registration(name)] }));
    // That of another driver tells nothing of this one.
    const other = [registration(`${longhorn.name}-reg.sock`)];
    assert.equal(find(node({ registrations: other }), 'SW301').length, 1);
  });

  test('one whose socket is at another place: a pod registers a plugin, and mounts no folder of plugins', () => {
    const change = { pods: [longhorn.plugin, juicefs('/opt/juicefs'), waitingPod('db-0')] };
    none(node({ ...change, registered: [longhorn.name, 'csi.juicefs.com'] }, { of: 'csi.juicefs.com' }));
  });
});

function juicefs(folder: string): PodFixture {
  return {
    ...{ namespace: 'kube-system', name: 'juicefs-csi-node-abcde', owner: 'DaemonSet/juicefs-csi-node' },
    hostPaths: {
      'kubelet-dir': '/var/lib/kubelet',
      'plugin-dir': folder,
      'registration-dir': '/var/lib/kubelet/plugins_registry/',
    },
    containers: [
      { name: 'juicefs-plugin', mounts: ['kubelet-dir', 'plugin-dir'], bidirectional: true },
      { name: 'node-driver-registrar', mounts: ['plugin-dir', 'registration-dir'] },
    ],
  };
}

test('a pod that ran before the reboot waits for its volumes too, unless its own dead sandbox holds it up', () => {
  const state = { terminated: { exitCode: 255, reason: 'Unknown', startedAt: null, finishedAt: null } };
  const ran = { ...waitingPod('db-0'), phase: 'Running', containers: [{ name: 'db', state }] };
  const pods = [longhorn.plugin, ran];
  const [found] = find(nodeWith({ drivers: [refusing(longhorn)], pods }), 'SW306');
  assert.deepEqual(found?.pods, ['apps/db-0']);
  // One ghost from the future beside the one that kubelet made since.
  const sandboxes = [
    { ...sandbox('db-0', 0, 'notready', 7_200), namespace: 'apps' },
    { ...sandbox('db-0', 1, 'notready', -20), namespace: 'apps' },
  ];
  assert.deepEqual(find(nodeWith({ drivers: [refusing(longhorn)], pods, sandboxes }), 'SW306'), []);
  // What ended for a reason of its own is no matter of volumes.
  const ended = { ...ran, containers: [{ name: 'db', state: { terminated: { exitCode: 1, reason: 'Error' } } }] };
  assert.deepEqual(find(nodeWith({ drivers: [refusing(longhorn)], pods: [longhorn.plugin, ended] }), 'SW306'), []);
});

test('a socket that died after it had served: what failed before it was made is over, and who runs goes on', () => {
  const dead = { ...refusing(plain), madeAtNs: nowNs - seconds(200) };
  const snapshot = node({ drivers: [driver(longhorn), dead], pods: [longhorn.plugin, plain.plugin] });
  const { chain, verdict } = diagnose(snapshot);
  assert.deepEqual(
    chain.flatMap((each) => (each.code === 'SW301' ? [each.agoNs] : [])),
    [seconds(200)],
  );
  assert.equal(verdict, 'No new volume comes up on this node: the socket of their CSI driver does not answer.');
});

test("a driver whose socket is in `csi-plugins/` is told as one in kubelet's own folder", () => {
  const folder = '/var/lib/kubelet/csi-plugins/csi.juicefs.com';
  const of = { name: 'csi.juicefs.com', folder };
  const pods = [longhorn.plugin, juicefs(`${folder}/`), waitingPod('db-0')];
  const registered = [longhorn.name, of.name];
  const [dead] = find(node({ drivers: [driver(longhorn), refusing(of)], pods, registered }, { of: of.name }), 'SW301');
  assert.match(dead?.why ?? '', /^The CSI socket .*csi-plugins\/csi\.juicefs\.com\/csi\.sock refuses connections/);
  assert.match(dead?.remedy.text ?? '', /juicefs-csi-node-abcde/);
  const well = node(
    { drivers: [driver(longhorn), driver(of)], pods, registered },
    { of: longhorn.name, lastAgoS: 200 },
  );
  assert.deepEqual(find(well, 'SW301'), []);
});

describe('is told of as before', () => {
  const starting = (pod: PodFixture): PodFixture => {
    return { ...pod, containers: pod.containers.map((each) => ({ ...each, ...creating })) };
  };
  const whys = (snapshot: ReturnType<typeof node>) => find(snapshot, 'SW301').map(({ why }) => why);

  test('a driver whose plugin pod is there and does not run', () => {
    const pods = [longhorn.plugin, starting(plain.plugin), waitingPod('db-0')];
    assert.match(whys(node({ pods })).join(), /^The CSI socket .*plain\.example\.com\/csi\.sock is not there;[^,]*$/);
  });

  test('a driver whose folder has another name, also where CSINode does not tell which it is', () => {
    const pods = [longhorn.plugin, starting(nfs.plugin), waitingPod('db-0')];
    for (const registered of [[longhorn.name, nfs.name], [longhorn.name]]) {
      const all = whys(node({ pods, registered }, { of: nfs.name }));
      assert.match(all.join(), /^The CSI socket .*csi-nfsplugin\/csi\.sock is not there;[^,]*$/);
    }
  });

  test('a driver that left its dead socket behind', () => {
    const all = whys(node({ drivers: [driver(longhorn), refusing(plain)] }));
    assert.match(all.join(), /^The CSI socket .*plain\.example\.com\/csi\.sock refuses connections[^,]*$/);
  });
});
