// Goal: what is said to come of something else comes of it: of the driver's own plugin, never of what stands beside it.
// Method: nodes on which both are there; what they share is taken away, or is another driver's.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { causeNodes } from '../../src/diagnose/cause-nodes.ts';
import { causesOf } from '../../src/diagnose/causes.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { buildFacts } from '../../src/diagnose/facts.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { allDrivers, longhorn, waitingPod } from '../helpers/csi/drivers.ts';
import { nameHeld, sandbox } from './build.ts';
import { driver, find, nodeWith, refusing } from './csi-nodes.ts';

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
