// Goal: a loop is called one only where each link of it holds; else what happened is told, and nothing is blamed.
// Method: small timelines; one link is taken away at a time.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { Axis } from '../../src/diagnose/incident/axis.ts';
import { readIncident } from '../../src/diagnose/incident/incident.ts';
import { loopRate, normalOf, perMinute } from '../../src/diagnose/incident/rates.ts';
import type { TimelineBoot } from '../../src/model/incident.ts';
import { bootOf, loopStory, moment, stallsOf, timelineOf } from '../helpers/timelines.ts';

describe('readIncident', () => {
  test('the loop: its path, its verdict, what ends it', () => {
    const incident = readIncident(loopStory());
    assert.equal(incident.state, 'loop');
    assert.equal(incident.rounds, 1);
    assert.deepEqual(
      incident.loop.map((index) => incident.chain[index]?.code ?? 'freeze'),
      ['SW101', 'SW301', 'SW401', 'SW402', 'freeze', 'SW201', 'SW101'],
    );
    assert.match(incident.verdict, /^A loop that feeds itself \(1 closed round, 2 resets\): .* 37 h later\.$/);
    assert.match(
      incident.verdict,
      /36, then 36 dead sandboxes held names; CSI driver driver\.longhorn\.io was not there/,
    );
    assert.match(incident.breaks.join(' '), /sandwarden heal.*sandwarden install/);
    assert.ok(
      incident.chain.slice(1).every((each) => each.because !== undefined),
      'each link but the first has a cause',
    );
  });

  const without: readonly (readonly [what: string, change: (boot: TimelineBoot, index: number) => TimelineBoot])[] = [
    ['an end in order', (boot) => (boot.end === 'unclean' ? { ...boot, end: 'clean' } : boot)],
    ['dead sandboxes', ({ ghosts: _, ...boot }) => boot],
    ['the driver', (boot) => ({ ...boot, drivers: [] })],
    ['crash loops', (boot) => ({ ...boot, loops: [] })],
    ['stalls', (boot) => ({ ...boot, kernel: { ...boot.kernel, troubles: [] } })],
    [
      'stalls that name runc',
      (boot) => ({ ...boot, kernel: { ...boot.kernel, tasks: [{ task: 'kworker/1:2', count: 9 }] } }),
    ],
    [
      'a plugin among the refused pods',
      (boot) => (boot.ghosts ? { ...boot, ghosts: { ...boot.ghosts, pods: ['a/b'] } } : boot),
    ],
    [
      'sidecars among those that loop',
      (boot) => ({ ...boot, loops: boot.loops.map((each) => ({ ...each, container: 'web' })) }),
    ],
    ['dead sandboxes the second time', (boot, index) => (index === 2 ? bootOf(index, { hours: 1 }) : boot)],
  ];
  for (const [what, change] of without) {
    test(`without ${what} it is no loop`, () => {
      const story = loopStory();
      const incident = readIncident({ ...story, boots: story.boots.map(change) });
      assert.equal(incident.state, 'trouble');
      assert.deepEqual(incident.loop, []);
      assert.match(incident.verdict, /No loop: none of it leads back to its beginning\.$/);
    });
  }

  describe('whose the refused node plugin is', () => {
    /** The story with another plugin among the refused pods, other sidecars, or another driver. */
    const told = ({ plugin, namespace, driver }: { plugin?: string; namespace?: string; driver?: string }) => {
      const story = loopStory();
      const boots = story.boots.map((boot) => ({
        ...boot,
        ...(boot.ghosts && plugin ? { ghosts: { ...boot.ghosts, pods: [plugin, 'default/app-0'] } } : {}),
        drivers: boot.drivers.map((each) => ({ ...each, driver: driver ?? each.driver })),
        loops: boot.loops.map((each) => ({
          ...each,
          pod: `${namespace ?? 'longhorn-system'}/${each.pod.slice(each.pod.indexOf('/') + 1)}`,
        })),
      }));
      return readIncident({ ...story, boots });
    };
    const link = (incident: ReturnType<typeof told>, code: string) => incident.chain.find((each) => each.code === code);

    test('another driver’s is a possible cause, which is said, and no link of a loop', () => {
      const incident = told({ plugin: 'kube-system/csi-nfs-node-abcde', namespace: 'kube-system' });
      assert.equal(incident.state, 'trouble');
      const [driver, churn] = [link(incident, 'SW301'), link(incident, 'SW401')];
      assert.match(driver?.evidence ?? '', /a node plugin that may be its own .*csi-nfs-node-abcde/);
      assert.equal(driver?.because, undefined);
      assert.match(driver?.others?.[0]?.text ?? '', /^SW101: .*perhaps shared: plugin kube-system\/csi-nfs-node/);
      assert.equal(churn?.because, undefined);
      assert.match(churn?.others?.[0]?.text ?? '', /perhaps shared: sidecars kube-system/);
    });

    test('sidecars in a namespace of many drivers, with no name that ties them, are only perhaps its own', () => {
      const incident = told({
        ...{ plugin: 'kube-system/csi-nfs-node-abcde', namespace: 'kube-system', driver: 'nfs.csi.k8s.io' },
      });
      assert.match(link(incident, 'SW301')?.because ?? '', /^SW101: .*plugin kube-system\/csi-nfs-node/);
      assert.equal(link(incident, 'SW401')?.because, undefined);
      assert.equal(incident.state, 'trouble');
    });

    test('in a namespace of their own they are its own', () => {
      const incident = told({ plugin: 'storage/csi-nfs-node-abcde', namespace: 'storage', driver: 'nfs.csi.k8s.io' });
      assert.equal(incident.state, 'loop');
    });
  });

  test('a freeze is not needed where the kernel stalled until the end', () => {
    const story = loopStory();
    const boots = story.boots.map((boot, index) =>
      index === 1 ? { ...boot, freezes: [], kernel: stallsOf(1, 1_191, 36.9) } : boot,
    );
    assert.deepEqual(readIncident({ ...story, boots }).loop.length, 6);
  });

  test('quiet, and nothing read', () => {
    const quiet = timelineOf([bootOf(0, { hours: 20, end: 'clean' }), bootOf(1, { hours: 3, end: 'running' })]);
    assert.match(
      readIncident(quiet).verdict,
      /^Quiet: 2 boots, 23 h of running, all ended in order; no dead sandboxes/,
    );
    assert.equal(readIncident(quiet).state, 'quiet');
    assert.equal(readIncident(timelineOf([])).state, 'nothing-read');
  });

  test('a clock that jumps is told, and turns the order of nothing around', () => {
    const story = loopStory();
    const boots = story.boots.map((boot, index) => {
      // The second boot ran with a clock of 1970.
      const wrong = <T extends { wallNs: bigint }>(at: T): T => ({ ...at, wallNs: at.wallNs % (86_400n * 10n ** 9n) });
      return index === 1 ? { ...boot, first: wrong(boot.first), last: wrong(boot.last) } : boot;
    });
    const incident = readIncident({ ...story, boots });
    assert.equal(incident.state, 'loop');
    assert.ok(incident.chain.some((each) => /clock at least .* behind/.test(each.text)));
  });
});

describe('rates', () => {
  test('normal is the median of hours that no crash loop touches; of too few hours nothing is known', () => {
    const boot = bootOf(0, { hours: 10, creations: (hour) => hour * 60 });
    // Hours 1 to 9 of ten; the first is not counted, nor is the one that is not over.
    assert.deepEqual(normalOf(timelineOf([boot])), { perMinute: 5, from: 'the median of 9 hours without crash loops' });
    assert.equal(normalOf(timelineOf([bootOf(0, { hours: 2, creations: () => 600 })])).perMinute, 0);
    const story = loopStory();
    assert.equal(normalOf(story).perMinute, 0.1);
  });

  test('the rate while pods loop, and of an hour that was not lived to its end', () => {
    const [, sick] = loopStory().boots;
    assert.ok(sick);
    assert.equal(Math.round(loopRate(sick)), 24);
    const half = bootOf(0, { hours: 1.5, creations: () => 60 });
    assert.deepEqual(
      half.hours.map((each) => perMinute(half, each)),
      [1, 2],
    );
  });
});

describe('Axis', () => {
  test('never goes back, whatever the clocks of the boots say', () => {
    const boot = fc.record({
      wallS: fc.integer({ min: 0, max: 2_000_000_000 }),
      livedS: fc.integer({ min: 0, max: 1_000_000 }),
    });
    fc.assert(
      fc.property(fc.array(boot, { maxLength: 8 }), (boots) => {
        const made = boots.map(({ wallS, livedS }, index) => {
          const bootId = `${index}`.repeat(32);
          const wallNs = BigInt(wallS) * 10n ** 9n;
          const last = { bootId, wallNs, monotonicUs: BigInt(livedS) * 1_000_000n };
          return { ...bootOf(index, { hours: 1 }), bootId, first: { bootId, wallNs, monotonicUs: 0n }, last };
        });
        const axis = new Axis({ boots: made });
        const points = made.flatMap((each) => [axis.at(each.first), axis.at(each.last)]);
        assert.deepEqual(
          points,
          points.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
        );
      }),
      { numRuns: 200 },
    );
    assert.equal(new Axis({ boots: [] }).at(moment(0, 0)), moment(0, 0).wallNs);
  });
});
