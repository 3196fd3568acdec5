// Goal: SW502 names who takes a controller and who puts it back, and nothing that nobody saw. Method: made-up changes
// beside made-up trees, random changes against a plain count, and the recorded fight.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { describeFight, fightsOf } from '../../src/diagnose/controller-fight.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { ControllerChange, ControllerChanges, ControllerWriter } from '../../src/model/controller-changes.ts';
import type { Finding } from '../../src/model/finding.ts';
import { known } from '../../src/model/observed.ts';
import type { Moment } from '../../src/model/records.ts';
import { readCgroups } from '../../src/observe/cgroup/cgroups.ts';
import { decodeSnapshot, encodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { fakeTree } from '../helpers/fake-node-tree.ts';
import { readRecording } from '../helpers/recording.ts';
import { bootId, container, nowNs, pod, sandbox, seconds, snapshotOf, uptimeNs } from './build.ts';

const besteffort = '/kubepods.slice/kubepods-besteffort.slice';
const systemd = { pid: 1, comm: 'systemd', unit: 'init.scope', startedUptimeNs: 0n };
const kubelet = { pid: 376, comm: 'kubelet', unit: 'kubelet.service', startedUptimeNs: 9_000_000_000n };

function ago(agoS: number): Moment {
  return { wallNs: nowNs - seconds(agoS), bootId, monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n };
}

function change(agoS: number, went: 'gone' | 'back', writers: readonly ControllerWriter[]): ControllerChange {
  return { at: ago(agoS), path: besteffort, controller: 'cpuset', went, writers };
}

function seen(changes: readonly ControllerChange[]): ControllerChanges {
  const writers: ControllerChanges['writers'] = [];
  return { since: ago(180), until: ago(0), by: 'fanotify', writers, changes, overflows: 0, truncated: false };
}

/** The SW502 of a node with one pod in besteffort that is `ageS` old, whose controllers did this. */
function sw502(changes: readonly ControllerChange[], { ageS = 300, missing = false } = {}): Finding[] {
  const be = sandbox('be', 0, 'ready', -ageS);
  const subtree = missing ? { [besteffort]: 'cpu memory hugetlb pids' } : {};
  const cgroups = known(readCgroups(fakeTree({ pods: [{ uid: 'uid-be', qos: 'besteffort' }], subtree })));
  const snapshot = snapshotOf({
    sandboxes: [be],
    containers: [container(be)],
    pods: [pod('be')],
    kubelet: 'v1.36.2',
    more: { cgroups, controllerChanges: known(seen(changes)) },
  });
  return diagnose(snapshot).findings.filter((each) => each.code === 'SW502');
}

describe('SW502 from changes that were seen', () => {
  const fight = [
    change(120, 'gone', [systemd]),
    change(119, 'back', [kubelet]),
    change(60, 'gone', [systemd]),
    change(58, 'back', [kubelet]),
  ];
  test('both who fight, with unit, count and how long it was away', () => {
    const [finding] = sw502(fight);
    assert.equal(`${finding?.severity} ${finding?.object.name}`, 'warning kubepods-besteffort.slice');
    assert.match(
      finding?.why ?? '',
      /^systemd \(pid 1\) took cpuset away from kubepods-besteffort\.slice twice, kubelet \(pid 376\) put it back\./,
    );
    const evidence = finding?.evidence.map((each) => each.text) ?? [];
    assert.deepEqual(evidence.slice(0, 2), [
      'taken twice: systemd (pid 1) in init.scope',
      'put back twice: kubelet (pid 376) in kubelet.service, after 1 s to 2 s',
    ]);
    assert.deepEqual(finding?.pods, ['default/be']);
  });
  test('missing now: it says so', () => {
    const [finding] = sw502(fight.slice(0, 3), { missing: true });
    assert.match(finding?.why ?? '', /missing now/);
  });
  test('once and back at once is told, and is no warning', () => {
    assert.deepEqual(
      sw502(fight.slice(0, 2)).map((each) => each.severity),
      ['info'],
    );
  });
  test('while a pod is only being made, nothing that runs is hurt, and nothing is said', () => {
    assert.deepEqual(sw502(fight, { ageS: 10 }), []);
  });
  test('nothing went: nothing is said', () => {
    assert.deepEqual(sw502([change(60, 'back', [kubelet])]), []);
    assert.deepEqual(sw502([]), []);
  });
  test('two that wrote at one moment: one of them', () => {
    const [finding] = sw502([change(60, 'gone', [systemd, kubelet]), change(58, 'back', [])]);
    assert.match(finding?.why ?? '', /^systemd \(pid 1\) or kubelet \(pid 376\) took/);
    assert.match(finding?.why ?? '', /somebody who was not named put it back/);
  });
});

describe('what went and came back', () => {
  const writer = fc.constantFrom(systemd, kubelet, { pid: 575, comm: '' }, { pid: 0, comm: '' });
  const random = fc.array(
    fc.record({
      path: fc.constantFrom('/', '/kubepods.slice', besteffort),
      controller: fc.constantFrom('cpu', 'cpuset'),
      went: fc.constantFrom('gone' as const, 'back' as const),
      writers: fc.array(writer, { maxLength: 2 }),
    }),
    { maxLength: 40 },
  );
  test('no change is lost or counted twice, whoever wrote', () => {
    fc.assert(
      fc.property(random, (drawn) => {
        const changes = drawn.map((each, index) => ({ ...each, at: ago(100 - index) }));
        const fights = fightsOf({ changes });
        assert.equal(
          fights.reduce((sum, each) => sum + each.gone + each.back, 0),
          changes.length,
        );
        for (const fight of fights) {
          const mine = changes.filter((each) => each.path === fight.path && each.controller === fight.controller);
          assert.equal(fight.missing, mine.at(-1)?.went === 'gone');
          const sure = mine.filter((each) => each.went === 'gone' && each.writers.length === 1).length;
          const named = fight.takers.reduce((sum, each) => sum + each.count, 0);
          if (sure > 0) assert.equal(named, sure);
          assert.ok((fight.awayNs?.[0] ?? 0n) <= (fight.awayNs?.[1] ?? 0n));
          assert.match(describeFight(fight, seconds(180)), /\S/);
        }
      }),
      { numRuns: 200 },
    );
  });
  test('the sentence of the summary; a program that starts anew each time is counted', () => {
    const runc = (pid: number) => ({ pid, comm: 'runc' });
    const [fight] = fightsOf({
      changes: [
        change(90, 'gone', [systemd]),
        change(89, 'back', [runc(7)]),
        change(60, 'gone', [systemd]),
        change(59, 'back', [runc(8)]),
        change(30, 'gone', [systemd]),
      ],
    });
    assert.ok(fight);
    assert.equal(
      describeFight(fight, seconds(180)),
      'cpuset left kubepods-besteffort.slice 3 times in 3 min: taken by systemd (pid 1), put back by ' +
        'runc (2 processes); it is missing now',
    );
  });
});

describe('what went before', () => {
  /** kubelet wrote shortly before the first `provoked` of `times` losses. */
  const rounds = (times: number, provoked: number, who: ControllerWriter = kubelet) =>
    Array.from({ length: times }, (_, index) => [
      { ...change(90 - 10 * index, 'gone', [systemd]), ...(index < provoked ? { after: [who] } : {}) },
      change(89 - 10 * index, 'back', [kubelet]),
    ]).flat();
  const sentence = (changes: readonly ControllerChange[]) => {
    const [fight] = fightsOf({ changes });
    return fight === undefined ? '' : describeFight(fight, seconds(180));
  };
  test('in most of the rounds: it is said', () => {
    assert.equal(
      sentence(rounds(6, 4)),
      "cpuset left kubepods-besteffort.slice 6 times in 3 min: taken by systemd (pid 1) after kubelet's writes, put " +
        'back by kubelet (pid 376)',
    );
    assert.deepEqual(fightsOf({ changes: rounds(6, 4) })[0]?.after, { comm: 'kubelet', count: 4 });
  });
  test('in half of them, once, by the taker itself, by nobody with a name: it is not', () => {
    for (const changes of [
      rounds(6, 3),
      rounds(1, 1),
      rounds(4, 4, { pid: 1, comm: 'systemd' }),
      rounds(4, 4, { pid: 9, comm: '' }),
    ]) {
      assert.doesNotMatch(sentence(changes), / after /);
    }
  });
  test('a snapshot keeps it', () => {
    const snapshot = snapshotOf({ more: { controllerChanges: known(seen(rounds(2, 2))) } });
    assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot);
  });
});

describe('the recorded fight', () => {
  const recorded = readRecording('cgroup-flapping', { watched: true });
  const { findings, chain } = diagnose(recorded);
  test('SW502: systemd (pid 1) and kubelet (pid 376) over cpuset', () => {
    const [finding, ...others] = findings.filter((each) => each.code === 'SW502');
    assert.deepEqual(others, []);
    assert.equal(`${finding?.severity} ${finding?.object.name}`, 'error kubepods-besteffort.slice');
    assert.match(
      finding?.why ?? '',
      /^cpuset comes and goes at .*: systemd \(pid 1\) takes it away, kubelet \(pid 376\) puts it back/,
    );
    assert.equal(
      finding?.evidence[0]?.text,
      'in 3 min 9 s wrote to it: systemd (pid 1) 59 times, kubelet (pid 376) 6 times',
    );
    assert.deepEqual(finding?.pods, ['default/be']);
  });
  test('the chain: SystemdCgroup, the processes outside, the fight, the loss, the stops, the back-off', () => {
    const codes = chain.flatMap((link) => link.code ?? []).filter((code) => code !== 'SW401');
    assert.deepEqual(codes, ['SW503', 'SW510', 'SW502', 'SW501', 'SW601']);
    const backOff = chain.findIndex((link) => link.text.includes('CrashLoopBackOff'));
    assert.ok(backOff > chain.findIndex((link) => link.text.includes('stopped healthy pods')));
    assert.match(chain[backOff]?.evidence ?? '', /40 s: default\/be, default\/web/);
    const pids = findings.filter((each) => each.code === 'SW510').map((each) => each.evidence[0]?.text.slice(-18));
    assert.deepEqual(pids, [': pid 2264 (sleep)', ': pid 2462 (sleep)']);
  });
  test('without the watch it names nobody', () => {
    const alone = diagnose(readRecording('cgroup-flapping')).findings.find((each) => each.code === 'SW502');
    assert.equal(alone?.severity, 'warning');
    const said = [alone?.why, ...(alone?.evidence.map((each) => each.text) ?? [])].join(' ');
    assert.doesNotMatch(said, /pid 1\)|pid 376/);
    assert.match(alone?.why ?? '', /somebody takes it away/);
  });
  test('it goes into a snapshot file and comes back', () => {
    const { controllerChanges } = decodeSnapshot(encodeSnapshot(recorded));
    assert.deepEqual(controllerChanges, recorded.controllerChanges);
  });
});
