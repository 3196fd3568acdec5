// Goal: `explain pod` tells what kubelet does with a pod, and why. Method: each branch on a made-up node,
// recorded nodes against goldens.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { candidates } from '../../src/cli/complete.ts';
import { columnsOf } from '../../src/cli/render/layout.ts';
import { podText } from '../../src/cli/render/pod-text.ts';
import { explainPod } from '../../src/diagnose/explain-pod.ts';
import { buildFacts } from '../../src/diagnose/facts.ts';
import { known } from '../../src/model/observed.ts';
import type { PodExplanation } from '../../src/model/pod-explanation.ts';
import type { SandboxDetail } from '../../src/model/sandbox.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { readCgroups } from '../../src/observe/cgroup/cgroups.ts';
import { encodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { container, pod, sandbox, snapshotOf } from '../diagnose/build.ts';
import { type FakePod, fakeTree } from '../helpers/fake-node-tree.ts';
import { type RecordingName, readRecording } from '../helpers/recording.ts';
import { tempDir } from '../helpers/temp.ts';
import { assertGolden } from './golden.ts';
import { sandwarden } from './spawn.ts';
import { styles } from './styles.ts';

function explain(snapshot: Snapshot, name: string): PodExplanation {
  const facts = buildFacts(snapshot);
  const view = [...facts.pods.values()].find((each) => each.name === name);
  assert.ok(view);
  return explainPod(facts, view);
}

const ready = sandbox('web', 1, 'ready', -300);
const old = sandbox('web', 0, 'notready', -900);
const webPod = pod('web', { qos: 'burstable', hostNetwork: false });
const inSlice: FakePod = { uid: 'uid-web', qos: 'burstable' };

interface Made {
  readonly sandboxes?: Snapshot['sandboxes'] & { readonly known: true };
  readonly pods?: readonly FakePod[];
  readonly detail?: SandboxDetail;
  readonly subtree?: Readonly<Record<string, string>>;
}

/** The explanation of `web` on a node that is healthy but for what is given. */
function made({ sandboxes = known([ready, old]), pods = [inSlice], detail, subtree = {} }: Made): PodExplanation {
  const cgroups = known(readCgroups(fakeTree({ pods, subtree }), { all: true }));
  const details = { [ready.id]: known<SandboxDetail>(detail ?? { ip: '10.0.0.7', hostNetwork: false }) };
  const runs = sandboxes.value.some((each) => each.state === 'ready');
  const snapshot = snapshotOf({
    sandboxes: sandboxes.value,
    containers: runs ? [container(ready)] : [container(old)],
    pods: [webPod],
    kubelet: 'v1.36.2',
    more: { cgroups, details },
  });
  return explain(snapshot, 'web');
}

function fires(of: PodExplanation): string[] {
  return of.branches.filter((each) => each.fires !== 'no').map((each) => `${each.branch} ${each.fires}`);
}

describe('the branches', () => {
  test('none: kubelet leaves it alone, and what holds it is named', () => {
    const of = made({});
    assert.deepEqual(fires(of), []);
    assert.equal(of.branch, undefined);
    assert.deepEqual(of.heldBy, ['by its own scope cri-containerd-uid-web.scope']);
  });
  test('cgroup missing: which controller, and where it is lost', () => {
    const slice = '/kubepods.slice/kubepods-burstable.slice';
    const of = made({ subtree: { [slice]: 'cpu memory hugetlb pids' } });
    assert.equal(of.branch, 'cgroup-missing');
    assert.match(of.verdict, /lacks cpuset, which \/kubepods\.slice\/kubepods-burstable\.slice does not hand down/);
    assert.match(of.next, /within 90 s/);
    assert.deepEqual(
      of.cgroups.map((each) => [each.driver, each.finds, each.missing]),
      [
        ['systemd', 'directory', ['cpuset']],
        ['cgroupfs', 'nothing', []],
      ],
    );
  });
  test('no directory at all', () => {
    const of = made({ pods: [{ uid: 'uid-other', qos: 'burstable' }] });
    assert.equal(of.branch, 'cgroup-missing');
    assert.ok(of.cgroups.every((each) => each.finds === 'nothing'));
  });
  test('several ready, and what comes after it is not reached', () => {
    const of = made({ sandboxes: known([ready, sandbox('web', 2, 'ready', -100)]) });
    assert.deepEqual(fires(of), ['several-ready yes']);
  });
  test('the newest is not ready', () => {
    const of = made({ sandboxes: known([old]) });
    assert.equal(of.branch, 'newest-not-ready');
    assert.match(of.next, /attempt 1; once after a reboot this is normal/);
  });
  test('a ghost from the future: it never settles, and what ends it is named', () => {
    const ghost = sandbox('web', 0, 'notready', 7_000);
    const facts = snapshotOf({ sandboxes: [ghost, sandbox('web', 1, 'notready', -5)], pods: [webPod] });
    const of = explain(facts, 'web');
    assert.equal(of.branch, 'newest-not-ready');
    assert.match(of.ends, /attempt 0 goes \(SW102/);
    assert.deepEqual(
      of.sandboxes.map((each) => [each.attempt, each.places]),
      [
        [0, { 'by-date': 1, 'by-attempt': 2 }],
        [1, { 'by-date': 2, 'by-attempt': 1 }],
      ],
    );
  });
  test('the network: another mode, no address, not asked', () => {
    assert.equal(made({ detail: { hostNetwork: true } }).branch, 'network-mode');
    assert.equal(made({ detail: { hostNetwork: false, ip: '' } }).branch, 'no-address');
    const of = explain(snapshotOf({ sandboxes: [ready], pods: [webPod], kubelet: 'v1.36.2' }), 'web');
    assert.deepEqual(fires(of), ['cgroup-missing unknown', 'network-mode unknown', 'no-address unknown']);
  });
  test('a busy node: the neighbour that holds it up is named; without one, nothing does', () => {
    const hollow: FakePod = { ...inSlice, scopes: [] };
    const neighbour: FakePod = { uid: 'uid-proxy', qos: 'burstable', scopes: ['cri-containerd-9.scope'] };
    assert.deepEqual(made({ pods: [hollow, neighbour] }).heldBy, [
      'by a neighbour: pod uid-proxy, cri-containerd-9.scope',
    ]);
    assert.match(made({ pods: [hollow] }).heldBy[0] ?? '', /^by nothing/);
  });
});

const recorded: readonly (readonly [RecordingName, string])[] = [
  ['cgroup-flapping', 'web'],
  ['cgroup-flapping', 'be'],
  ['cgroup-flapping', 'job'],
  ['normal-reboot', 'web'],
  ['clock-step/stuck', 'web'],
];

describe('recorded pods', () => {
  for (const [recording, name] of recorded) {
    test(`${recording}: ${name}`, () => {
      const of = explain(readRecording(recording, { allCgroups: true }), name);
      for (const [styleName, style] of Object.entries(styles)) {
        const text = podText(of, style);
        assertGolden(`explain-pod-${recording.replace('/', '-')}-${name}.${styleName}.txt`, text);
        for (const line of text.split('\n')) assert.ok(columnsOf(line) <= style.width, line);
        if (!style.unicode) assert.match(text, /^[\x20-\x7e\n]*$/);
      }
    });
  }
  test('cgroup-flapping: web is intact at the recorded moment, and the log names the branch of the missing cgroup', () => {
    const of = explain(readRecording('cgroup-flapping'), 'web');
    assert.equal(of.branch, 'cgroup-missing');
    assert.deepEqual(fires(of).slice(0, 1), ['cgroup-missing by-log']);
    assert.match(of.verdict, /stopped 4 times.*At this moment nothing is missing/);
    assert.equal(explain(readRecording('cgroup-flapping', { pods: false }), 'web').branch, 'cgroup-missing');
  });
});

test('as a program: by name and by uid, text and JSON; what is typed wrong', async () => {
  await using folder = await tempDir();
  const path = folder.join('node.json');
  await writeFile(path, encodeSnapshot(readRecording('cgroup-flapping')));
  const text = await sandwarden(['explain', 'pod', 'default/web', '--snapshot', path]);
  assert.equal(text.code, 0, text.stderr);
  assert.match(text.stdout, /^default\/web The branch of the missing cgroup/);
  const uid = '7e34406c-263d-4c23-aad8-8fbaf1e50516';
  const json = await sandwarden(['explain', 'pod', uid, '--snapshot', path, '-o', 'json']);
  const data = JSON.parse(json.stdout) as { format: string; branch: string };
  assert.deepEqual([data.format, data.branch], ['sandwarden.explain-pod/1', 'cgroup-missing']);
  const bare = await sandwarden(['explain', 'pod']);
  assert.equal(bare.code, 64);
  assert.match(bare.stderr, /NAMESPACE\/NAME/);
  assert.equal((await sandwarden(['explain', 'SW501', 'more'])).code, 64);
  assert.equal((await sandwarden(['explain', 'pod', 'a/b', 'c'])).code, 64);
  assert.ok(candidates(['explain', 'p']).some((each) => each.startsWith('pod\t')));
});
