// Goal: what is said to come of something else comes of it: of the driver's own plugin, never of what stands beside it.
// Method: nodes on which both are there; what they share is taken away, or is another driver's.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { causeNodes } from '../../src/diagnose/cause-nodes.ts';
import { causesOf } from '../../src/diagnose/causes.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { buildFacts } from '../../src/diagnose/facts.ts';
import type { Link } from '../../src/model/finding.ts';
import { known } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { allDrivers, crashLooping, longhorn, waitingPod } from '../helpers/csi/drivers.ts';
import { bootId, nameHeld, nowNs, sandbox, seconds, snapshotOf, uptimeNs } from './build.ts';
import { driver, find, iso, nodeWith, refusing } from './csi-nodes.ts';

describe('what is tied to what', () => {
  const [, , ebs] = allDrivers;
  const serving = { ...sandbox(longhorn.plugin.name, 0, 'ready', -500), namespace: longhorn.plugin.namespace };
  const bystander = { ...sandbox('db-0', 0, 'notready', 3_600), namespace: 'apps' };
  const hanging = driver(longhorn, { state: 'hangs', says: 'no answer within 3 s' });
  const linkOf = (snapshot: Snapshot, code: string) => diagnose(snapshot).chain.find((each) => each.code === code);

  test('a plugin that runs and hangs does not come of the dead sandbox of a pod that waits for it', () => {
    const pods = [longhorn.plugin, waitingPod('db-0')];
    const snapshot = nodeWith({ drivers: [hanging], pods, sandboxes: [serving, bystander] });
    const { chain } = diagnose(snapshot);
    // Both are there, and both name the pod.
    assert.deepEqual(find(snapshot, 'SW102')[0]?.pods, ['apps/db-0']);
    assert.deepEqual(find(snapshot, 'SW301')[0]?.pods, ['apps/db-0']);
    const link = chain.find((each) => each.code === 'SW301');
    assert.equal(link?.because, undefined);
    assert.equal(link?.others, undefined);
    assert.deepEqual(
      chain.flatMap((each) => (each.ends === undefined ? [] : [each.code, each.ends.split(':')[0]])),
      ['SW301', 'SW301 (driver.longhorn.io)'],
    );
    assert.match(chain.find((each) => each.code === 'SW306')?.because ?? '', /^SW301: .*waiting apps\/db-0/);
  });

  test('the dead sandbox of one driver explains nothing of another one', () => {
    assert.ok(ebs);
    const held = { ...sandbox(ebs.plugin.name, 0, 'notready', -900), namespace: ebs.plugin.namespace };
    const error = nameHeld(ebs.plugin.name, 0, held.id);
    const drivers = [refusing(ebs), hanging];
    const pods = [longhorn.plugin, ebs.plugin];
    const spec = { drivers, pods, registered: [ebs.name, longhorn.name] };
    const snapshot = nodeWith({ ...spec, sandboxes: [serving, held], errors: [error] });
    const facts = buildFacts(snapshot);
    const { findings } = diagnose(snapshot);
    const nodes = causeNodes(facts, findings);
    const causes = (name: string) => {
      const node = nodes.find((each) => each.id === `SW301 ${name}`);
      assert.ok(node, name);
      return causesOf(node, nodes).map((each) => each.cause.id);
    };
    assert.deepEqual(causes(longhorn.name), []);
    assert.ok(causes(ebs.name).includes(`SW302 ${ebs.name}`));
  });

  test('the way from the dead sandbox to the pods that wait goes over the plugin itself', () => {
    const plugin = longhorn.plugin.name;
    const ghost = { ...sandbox(plugin, 0, 'notready', -900), namespace: 'longhorn-system' };
    const error = nameHeld(plugin, 0, ghost.id, {
      asked: { name: plugin, namespace: 'longhorn-system', uid: `uid-${plugin}`, attempt: 0 },
    } as never);
    const pods = [longhorn.plugin, waitingPod('db-0')];
    const snapshot = nodeWith({ drivers: [refusing(longhorn)], pods, sandboxes: [ghost, bystander], errors: [error] });
    assert.match(linkOf(snapshot, 'SW302')?.because ?? '', /shared: plugin longhorn-system\/longhorn-csi-plugin-w6dd4/);
    assert.match(linkOf(snapshot, 'SW301')?.because ?? '', /^SW302: .*shared: driver driver.longhorn.io/);
    assert.match(linkOf(snapshot, 'SW306')?.because ?? '', /^SW301: /);
    const { chain } = diagnose(snapshot);
    assert.match(chain.find((each) => each.ends !== undefined)?.ends ?? '', /^SW101 \(longhorn-system\//);
  });
});

describe('when it was', () => {
  const plugin = longhorn.plugin.name;
  const at = (agoS: number) => ({
    wallNs: nowNs - seconds(agoS),
    bootId,
    monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n,
  });
  const span = (fromS: number, toS: number) => ({ count: 4, first: at(fromS), last: at(toS) });
  const upS = Number(uptimeNs / 1_000_000_000n);
  const ghostOf = (madeAgoS: number) => ({
    ...sandbox(plugin, 0, 'notready', -madeAgoS),
    namespace: 'longhorn-system',
  });
  const refusedSince = (agoS: number) =>
    nameHeld(plugin, 0, ghostOf(0).id, {
      asked: { name: plugin, namespace: 'longhorn-system', uid: `uid-${plugin}`, attempt: 0 },
      ...span(agoS, 5),
    } as never);
  const volumeFailed = (agoS: number) => ({
    ...{ driver: longhorn.name, podName: 'db-0', podUid: 'uid-db-0', error: 'driver not found' },
    ...span(agoS, 4),
  });

  /** A node whose plugin is refused, with what kubelet's log says; dates are seconds ago. */
  function blocked(spec: { ghostMade: number; refused?: number; failed?: number; socketMade?: number; quiet?: true }) {
    const { ghostMade, refused, failed, socketMade = upS + 100, quiet } = spec;
    const errors = refused === undefined ? [] : [refusedSince(refused)];
    const backOffs = longhorn.sidecars.map((each) => ({
      ...{ pod: { namespace: each.namespace, name: each.name }, podUid: `uid-${each.name}` },
      ...{ container: each.containers[0]?.name ?? '', delayMs: 10_000, ...span(550, 3) },
    }));
    const { kubeletLog } = snapshotOf({
      errors,
      log: {
        backOffs: quiet ? [] : backOffs,
        ...(failed === undefined ? {} : { volumeFailed: [volumeFailed(failed)] }),
      },
    });
    const attachment = { name: 'csi-1', uid: 'va-1', driver: longhorn.name, volume: 'pvc-1', attached: false };
    return nodeWith({
      drivers: [{ ...refusing(longhorn), madeAtNs: nowNs - seconds(socketMade) }],
      pods: [longhorn.plugin, ...longhorn.sidecars.map((_, n) => crashed(30, n)), waitingPod('db-0')],
      registered: [longhorn.name],
      attachments: quiet ? [] : [{ ...attachment, createdAtNs: nowNs - seconds(565) }],
      sandboxes: refused === undefined ? [] : [ghostOf(ghostMade)],
      errors,
      more: { kubeletLog },
    });
  }

  /** A sidecar that ended, the one with this place. */
  function crashed(agoS: number, index: number) {
    const [sidecar] = longhorn.sidecars.slice(index);
    assert.ok(sidecar);
    const containers = sidecar.containers.map((each) => ({ ...each, ...crashLooping(iso(agoS)) }));
    return { ...sidecar, containers };
  }

  const agoS = (link: Link | undefined) => (link?.agoNs == null ? null : Number(link.agoNs / 1_000_000_000n));

  test('each link of the cascade has its time and its cause', () => {
    const { chain } = diagnose(blocked({ ghostMade: upS + 300, refused: 570, failed: 560 }));
    const told = chain
      .filter((each) => each.code !== undefined || /crash-loop/.test(each.text))
      .map((each) => [each.code ?? 'sidecars', agoS(each), each.because?.split(':')[0]]);
    assert.deepEqual(told, [
      // When the runtime was started; it is not said what made them, for no boot before this one is known.
      ['SW101', upS - 1, undefined],
      ['SW302', 570, 'SW101'],
      // Its file is of the boot before; it is missed since its plugin was refused.
      ['SW301', 570, 'SW302'],
      ['SW305', 565, 'SW301'],
      ['SW306', 560, 'SW305'],
      ['sidecars', 550, 'SW301'],
      ['SW401', 550, 'SW301'],
    ]);
    const link = chain.find((each) => each.code === 'SW306');
    assert.deepEqual(
      link?.others?.map((each) => each.code),
      undefined,
      'what led to the reason is no candidate beside it',
    );
  });

  test('a socket of this boot is dead since kubelet’s log says so, else since its file was made at the most', () => {
    const since = (logged: { failed?: number; refused?: number; socketMade?: number }) => {
      const node = blocked({ ghostMade: upS + 300, socketMade: 90, quiet: true, ...logged });
      return agoS(diagnose(node).chain.find((each) => each.code === 'SW301'));
    };
    assert.equal(since({ failed: 80 }), 80);
    // A plugin that is killed as soon as it is up makes its file anew each time.
    assert.equal(since({ refused: 570 }), 570);
    assert.equal(since({ failed: 80, refused: 570 }), 570);
    assert.equal(since({}), 90);
    assert.equal(since({ socketMade: upS + 100 }), upS, 'a file of the boot before, and nobody says more');
  });

  test('a dead sandbox of this boot that came after the socket had died is no cause of that', () => {
    const because = (refused: number) => {
      const node = blocked({ ghostMade: 590, refused, failed: 500, socketMade: 520 });
      return diagnose(node).chain.find((each) => each.code === 'SW301')?.because;
    };
    assert.match(because(510) ?? '', /^SW302: .*10 s later/);
    // The socket failed 300 s before the first refusal.
    assert.equal(because(200), undefined);
  });

  test('a volume that waits since before this boot has its date', () => {
    const snapshot = blocked({ ghostMade: upS + 300, refused: 570 });
    const createdAtNs = nowNs - seconds(9_000);
    assert.ok(snapshot.volumes?.known);
    const attachments = snapshot.volumes.value.attachments.map((each) => ({ ...each, createdAtNs }));
    const { chain } = diagnose({ ...snapshot, volumes: known({ ...snapshot.volumes.value, attachments }) });
    const link = chain.find((each) => each.code === 'SW305');
    assert.equal(link?.agoNs, null);
    assert.equal(link?.at?.wallNs, createdAtNs);
  });
});
