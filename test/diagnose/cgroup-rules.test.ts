// Goal: SW501, SW508 to SW511 and SW601 tell what is there and nothing else. Method: made-up trees beside made-up
// listings, and the recorded nodes.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { podCgroupPath } from '../../src/model/cgroup-names.ts';
import type { Finding } from '../../src/model/finding.ts';
import { known } from '../../src/model/observed.ts';
import type { KubeletLog } from '../../src/model/records.ts';
import { readCgroups } from '../../src/observe/cgroup/cgroups.ts';
import { applyDelegation, withDelegation } from '../../src/observe/cgroup/delegation.ts';
import { type FakeTree, fakeTree } from '../helpers/fake-node-tree.ts';
import { readRecording, recordings } from '../helpers/recording.ts';
import { bootId, container, type NodeSpec, nowNs, pod, sandbox, seconds, snapshotOf, uptimeNs } from './build.ts';

const web = sandbox('web', 0, 'ready', -300);
const be = sandbox('be', 0, 'ready', -300);
const both: NodeSpec = {
  sandboxes: [web, be],
  containers: [container(web), container(be)],
  pods: [pod('web'), pod('be')],
  kubelet: 'v1.36.2',
};
const inSlices = [
  { uid: 'uid-web', qos: 'burstable' as const },
  { uid: 'uid-be', qos: 'besteffort' as const },
];

/** The findings about cgroups, of a node that is healthy but for what is given. */
function findings(tree: FakeTree, spec: NodeSpec = both): Finding[] {
  const cgroups = known(readCgroups(fakeTree({ pods: inSlices, ...tree })));
  const diagnosis = diagnose(snapshotOf({ ...spec, more: { cgroups, ...spec.more } }));
  return diagnosis.findings.filter((each) => /^SW(5|6)/.test(each.code));
}

function brief(of: readonly Finding[]): string[] {
  return of.map((each) => `${each.code} ${each.severity} ${each.object.name}`);
}

function stops(name: string, count: number): Partial<KubeletLog> {
  const at = (agoS: number) => ({
    wallNs: nowNs - seconds(agoS),
    bootId,
    monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n,
  });
  const where = { pod: { namespace: 'default', name }, podUid: `uid-${name}` };
  return { unaskedStops: [{ ...where, count, first: at(200), last: at(20) }] };
}

const lacking = { '/kubepods.slice/kubepods-besteffort.slice': 'cpu memory hugetlb pids' };

describe('SW501', () => {
  test('a pod whose slice above withholds cpuset, and only that pod', () => {
    const [finding, ...others] = findings({ subtree: lacking });
    assert.deepEqual(brief(others), []);
    assert.equal(`${finding?.code} ${finding?.severity} ${finding?.object.name}`, 'SW501 warning default/be');
    assert.match(finding?.why ?? '', /lacks cpuset, because kubepods-besteffort.slice.*within 90 s/);
    assert.match(
      finding?.evidence[0]?.text ?? '',
      /besteffort.slice\/cgroup.subtree_control: cpu memory hugetlb pids$/,
    );
  });
  test('killed for it already: an error', () => {
    assert.deepEqual(brief(findings({ subtree: lacking }, { ...both, log: stops('be', 3) })), [
      'SW501 error default/be',
      'SW601 error default/be',
      'SW502 warning kubepods-besteffort.slice',
    ]);
  });
  test('a pod without a directory; not one that was made a moment ago, and not a finished one', () => {
    const [, onlyBe] = inSlices;
    const spec = { pods: onlyBe === undefined ? [] : [onlyBe] };
    assert.deepEqual(brief(findings(spec)), ['SW501 warning default/web']);
    const young = sandbox('web', 0, 'ready', -3);
    const fresh = { ...both, sandboxes: [young, be], containers: [container(young), container(be)] };
    assert.deepEqual(brief(findings(spec, fresh)), []);
    const done = { ...both, pods: [pod('web', { phase: 'Succeeded' }), pod('be')] };
    assert.deepEqual(brief(findings(spec, done)), []);
  });
  test('where kubelet has no cgroups of pods at all (cgroupsPerQOS off), nothing is said', () => {
    assert.deepEqual(brief(findings({ pods: [] })), []);
  });
});

describe('SW501: kubelet does not get past its start', () => {
  const words = 'error validating root container [kubepods] : cgroup ["kubepods"] has some missing controllers: cpuset';
  const older = "root container [kubepods] doesn't exist";
  const at = (agoS: number) => ({
    wallNs: nowNs - seconds(agoS),
    bootId,
    monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n,
  });
  const refused = (text: string, missing: readonly string[], count = 6): NodeSpec => ({
    kubeletRunning: false,
    log: { rootCgroupRefused: [{ text, missing, count, first: at(60), last: at(4) }] },
  });
  const rootLacks = { pods: [], subtree: { '/': 'cpu memory hugetlb pids' } };
  for (const [name, spec] of [
    ['1.31 and newer, by its words', refused(words, ['cpuset'])],
    ['1.30 and older, by what the root hands down', refused(older, [])],
  ] as const) {
    test(`${name}: nothing else tells`, () => {
      const found = findings(rootLacks, spec);
      assert.deepEqual(brief(found), ['SW501 error the cgroup above all pods']);
      assert.match(found[0]?.why ?? '', /ended 6 times at its start.*lacks cpuset\.$/);
      assert.deepEqual(
        found[0]?.evidence.map((each) => [each.source, each.text, each.at]),
        [
          ['kubeletLog', spec.log?.rootCgroupRefused?.[0]?.text, at(4)],
          ['cgroups', '/cgroup.subtree_control: cpu memory hugetlb pids', undefined],
        ],
      );
    });
  }
  test('the verdict names it', () => {
    const { verdict } = diagnose(snapshotOf(refused(words, ['cpuset'])));
    assert.match(JSON.stringify(verdict), /kubelet ends at each start/);
  });
  test('once is a warning while kubelet is away, and nothing once it runs; long ago is over', () => {
    assert.deepEqual(brief(findings({}, refused(words, ['cpuset'], 1))), ['SW501 warning the cgroup above all pods']);
    const spec = refused(words, ['cpuset'], 3);
    const [one] = spec.log?.rootCgroupRefused ?? [];
    assert.ok(one);
    const runs = { ...both, log: { rootCgroupRefused: [{ ...one, last: at(590) }] } };
    assert.deepEqual(brief(findings({}, runs)), []);
    const since = known({ running: true, pid: 9, startedUptimeNs: uptimeNs - seconds(40) });
    const ended = { ...one, last: at(45) };
    const later = { ...both, log: { rootCgroupRefused: [ended] }, more: { kubelet: since } };
    assert.deepEqual(brief(findings({}, later)), []);
    assert.equal(findings({}, { ...later, log: { rootCgroupRefused: [{ ...ended, last: at(20) }] } }).length, 1);
  });
});

describe('SW508 and SW509', () => {
  const hollow = { pods: [{ uid: 'uid-web', qos: 'burstable' as const, scopes: [] }, ...inSlices.slice(1)] };
  test('a running pod with nothing in its slice', () => {
    const found = findings(hollow);
    assert.deepEqual(brief(found), ['SW508 warning default/web']);
    assert.match(found[0]?.remedy.command ?? '', /^sandwarden anchor --slice kubepods-burstable-poduid_web\.slice$/);
  });
  test('a systemd before 244 takes no cpuset away: told as it is, and nothing hangs on a neighbour', async () => {
    const neighbour = { uid: 'uid-n', qos: 'burstable' as const };
    const tree = readCgroups(fakeTree({ pods: [...hollow.pods, neighbour] }));
    const shows = (more: string) => async () => ({
      stdout: `ControlGroup=/kubepods.slice\nDelegate=no\n${more}`,
      stderr: '',
    });
    const found = async (more: string) => {
      const cgroups = known(await withDelegation(tree, shows(more)));
      return diagnose(snapshotOf({ ...both, more: { cgroups } })).findings;
    };
    const before = await found('');
    assert.deepEqual(brief(before), ['SW508 info default/web']);
    assert.match(before[0]?.why ?? '', /does not manage cpuset/);
    assert.doesNotMatch(JSON.stringify(before), /take cpuset away|anchor/);
    assert.deepEqual(brief(await found('AllowedCPUs=\n')), [
      'SW508 warning default/web',
      'SW509 warning kubepods-burstable.slice',
    ]);
  });
  test('a neighbour in the same QoS class holds it up, and is named', () => {
    const neighbour = { uid: 'uid-n', qos: 'burstable' as const };
    const found = findings({ pods: [...hollow.pods, neighbour] });
    assert.deepEqual(brief(found), ['SW508 warning default/web', 'SW509 warning kubepods-burstable.slice']);
    assert.match(found[1]?.evidence[0]?.text ?? '', /uid_n\.slice\/cri-containerd-uid-n\.scope/);
    assert.equal(found[1]?.remedy.command, 'sandwarden anchor --node');
  });
  test('an anchor in its slice, or beside it, holds it: nothing to say', () => {
    const own = podCgroupPath('systemd', 'burstable', 'uid-web');
    const anchored = [{ uid: 'uid-web', qos: 'burstable' as const, scopes: ['sandwarden-anchor-web.scope'] }];
    assert.deepEqual(brief(findings({ pods: [...anchored, ...inSlices.slice(1)] })), []);
    const slice = own.slice(0, own.lastIndexOf('/'));
    const neighbour = { uid: 'uid-n', qos: 'burstable' as const };
    const beside = (name: string, above = slice) => {
      const files = { [`/sys/fs/cgroup${above}/${name}/cgroup.procs`]: '9\n' };
      return brief(findings({ pods: [...hollow.pods, neighbour], files }));
    };
    assert.deepEqual(beside('sandwarden-anchor-burstable.scope'), []);
    assert.deepEqual(beside('sandwarden-anchor-burstable.service'), []);
    // One above holds the controllers of this slice, and not those of the pods in it.
    assert.deepEqual(beside('sandwarden-anchor-guaranteed.service', '/kubepods.slice').length, 2);
    assert.deepEqual(beside('somebody-elses.scope'), ['SW508 warning default/web']);
  });
  test('an anchor that is not delegated, or that cannot hold what is missing, changes nothing', () => {
    const slice = '/kubepods.slice/kubepods-burstable.slice';
    const path = `${slice}/sandwarden-anchor-burstable.service`;
    const files = { [`/sys/fs/cgroup${path}/cgroup.procs`]: '9\n' };
    const tree = readCgroups(fakeTree({ ...hollow, files }));
    const told = applyDelegation(tree, `ControlGroup=${path}\nDelegate=no\n`);
    const found = (cgroups: typeof tree) => brief(findings({}, { ...both, more: { cgroups: known(cgroups) } }));
    assert.deepEqual(found(told), ['SW508 warning default/web']);
    assert.deepEqual(found(tree), []);
    const lacks = fakeTree({ ...hollow, files, subtree: { [slice]: 'cpu memory hugetlb pids' } });
    assert.deepEqual(found(readCgroups(lacks)), ['SW501 warning default/web', 'SW508 warning default/web']);
  });
  test('with the cgroupfs driver systemd owns no slice, and nothing is said', () => {
    assert.deepEqual(brief(findings({ ...hollow, driver: 'cgroupfs' })), []);
  });
});

describe('SW510', () => {
  const name = 'kubepods-burstable-poduid_web.slice:cri-containerd:0a1b';
  const outside = {
    pods: [{ uid: 'uid-web', qos: 'burstable' as const, scopes: [] }, ...inSlices.slice(1)],
    files: { [`/sys/fs/cgroup/system.slice/${name}/cgroup.procs`]: '41\n', '/proc/41/comm': 'nginx\n' },
  };
  test('the pod, the path and the pids; its empty slice is no finding of its own', () => {
    const found = findings(outside);
    assert.deepEqual(brief(found), ['SW510 warning default/web']);
    assert.match(found[0]?.evidence[0]?.text ?? '', /^\/system\.slice\/.*:0a1b: pid 41 \(nginx\)$/);
  });
  test('a directory that is left behind without a process is none', () => {
    const files = { [`/sys/fs/cgroup/system.slice/${name}/cgroup.procs`]: '' };
    assert.deepEqual(brief(findings({ files })), []);
  });
});

describe('SW511', () => {
  test('memory is disabled on the command line', () => {
    const [finding] = findings({ rootControllers: 'cpuset cpu io pids', cmdline: 'root=x cgroup_disable=memory' });
    assert.equal(`${finding?.code} ${finding?.severity} ${finding?.object.name}`, 'SW511 warning memory');
    assert.match(finding?.why ?? '', /command line/);
  });
  test('several that the kernel has not got, in words that fit their number', () => {
    const whyOf = (rootControllers: string) => findings({ rootControllers })[0]?.why ?? '';
    assert.match(whyOf('io'), /offers no cpu, cpuset, memory or pids: the kernel has not got them\./);
    assert.match(whyOf('cpu io memory'), /offers no cpuset or pids: the kernel has not got them\./);
    assert.match(whyOf('cpu cpuset io memory'), /offers no pids: the kernel has not got it\./);
  });
  test('without hugetlb a small kernel is in order', () => {
    assert.deepEqual(brief(findings({ rootControllers: 'cpuset cpu io memory pids' })), []);
  });
});

describe('SW601', () => {
  test('a single stop is told, and is no fault', () => {
    assert.deepEqual(brief(findings({}, { ...both, log: stops('web', 1) })), ['SW601 info default/web']);
  });
  test('a branch that kubelet names, three times of late; once after a boot is normal', () => {
    const at = { wallNs: nowNs - seconds(5), bootId, monotonicUs: (uptimeNs - seconds(5)) / 1_000n };
    const changed = (count: number): NodeSpec => ({
      ...both,
      log: {
        sandboxChanges: [
          { pod: { namespace: 'default', name: 'web' }, branch: 'no-address', count, first: at, last: at },
        ],
      },
    });
    assert.deepEqual(brief(findings({}, changed(1))), []);
    const [finding] = findings({}, changed(3));
    assert.equal(finding?.severity, 'warning');
    assert.match(finding?.why ?? '', /no address/);
  });
});

describe('the recorded nodes', () => {
  for (const name of recordings.filter((each) => each !== 'cgroup-flapping')) {
    test(`${name}: no finding about cgroups`, () => {
      for (const pods of [true, false]) {
        const { findings: found } = diagnose(readRecording(name, { pods }));
        assert.deepEqual(brief(found.filter((each) => /^SW(5|6)/.test(each.code))), []);
      }
    });
  }
  test('cgroup-flapping: what lacks, where the processes are, and the silent branch, down to the pods', () => {
    const { findings: found, chain, verdict, state } = diagnose(readRecording('cgroup-flapping'));
    assert.equal(state, 'errors');
    const mine = found.filter((each) => /^SW(501|508|509|510|511|601)$/.test(each.code));
    assert.deepEqual(brief(mine), [
      'SW501 error default/be',
      'SW510 error default/be',
      'SW510 error default/web',
      'SW601 error default/be',
      'SW601 error default/web',
    ]);
    assert.match(mine[1]?.evidence[0]?.text ?? '', /:cri-containerd:88a9.*pid 2264 \(sleep\)/);
    assert.match(mine[2]?.evidence[0]?.text ?? '', /:cri-containerd:9154.*pid 2462 \(sleep\)/);
    assert.match(mine[4]?.evidence[0]?.text ?? '', /stopped 4 times/);
    assert.match(verdict, /^2 pods do not stay up/);
    const codes = chain.map((link) => link.code).filter((code) => code !== undefined);
    assert.deepEqual(
      codes.filter((code) => ['SW510', 'SW501', 'SW601'].includes(code)),
      ['SW510', 'SW501', 'SW601'],
    );
    assert.match(chain.at(-1)?.text ?? '', /CrashLoopBackOff$/);
  });
});
