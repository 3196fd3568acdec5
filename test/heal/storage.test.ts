import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { againstDeletion } from '../../src/heal/actions/delete-attachment.ts';
import { judgePod } from '../../src/heal/actions/delete-pod.ts';
import { applyBudget } from '../../src/heal/budget.ts';
import { decodeEntry, type Entry, encodeEntry } from '../../src/heal/entries.ts';
import { describeStage, isOver, stagesOf } from '../../src/heal/stages.ts';
import type { CsiDriver, VolumeAttachment } from '../../src/model/csi.ts';
import { limits } from '../../src/model/limits.ts';
import type { Pod } from '../../src/model/node.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { Action, DeletePodGuard, Guard } from '../../src/model/plan.ts';
import { snapshotOf } from '../diagnose/build.ts';

const folder = '/var/lib/kubelet/plugins/d.example';
const socket = `${folder}/csi.sock`;
const now = 1_795_284_081_000_000_000n;
const before = (seconds: number) => now - BigInt(seconds) * 1_000_000_000n;

const guard: DeletePodGuard = {
  kind: 'delete-pod',
  namespace: 'csi',
  name: 'attacher-1',
  uid: 'u1',
  driver: 'd.example',
  folder,
  socket,
};

const driver: CsiDriver = {
  path: socket,
  device: '1',
  inode: '2',
  madeAtNs: before(30),
  name: 'd.example',
  nameFrom: 'GetPluginInfo',
  state: 'ready',
  says: '',
};

const waiting: NonNullable<Pod['containers']>[number] = {
  name: 'csi-attacher',
  state: 'waiting',
  reason: 'CrashLoopBackOff',
  ready: false,
  restarts: 12,
  lastExit: { exitCode: 1, reason: 'Error', finishedAtNs: before(60) },
  kubeletPaths: [folder],
};

const pod: Pod = {
  name: 'attacher-1',
  namespace: 'csi',
  uid: 'u1',
  phase: 'Running',
  restartPolicy: 'Always',
  deleting: false,
  owner: { kind: 'ReplicaSet', name: 'attacher' },
  containers: [waiting],
};

describe('a pod is deleted only', () => {
  const judge = (over: Partial<Pod> | undefined, of: Partial<CsiDriver> | undefined = {}) =>
    Object.entries(
      judgePod(guard, {
        pod: over === undefined ? undefined : { ...pod, ...over },
        driver: of === undefined ? undefined : { ...driver, ...of },
        wallNs: now,
      }),
    )[0] ?? [];

  test('if it waits for a socket that came after its end', () => assert.equal(judge({})[0], 'go'));
  test('if it is the very pod and still there', () => {
    assert.deepEqual(judge(undefined), ['already', 'the pod is gone already']);
    assert.deepEqual(judge({ uid: 'u2' }), ['already', 'a new pod has taken its place']);
    assert.deepEqual(judge({ deleting: true }), ['already', 'it is being deleted already']);
  });
  test('if it still waits', () => {
    const running = { ...waiting, state: 'running', reason: 'Running', ready: true } as const;
    assert.equal(judge({ containers: [running] })[0], 'already');
  });
  test('if the socket answers', () => {
    assert.equal(judge({}, { state: 'not-ready' })[0], 'leave');
    assert.equal(judge({}, undefined)[0], 'go');
    assert.equal(Object.keys(judgePod(guard, { pod, driver: undefined, wallNs: now }))[0], 'leave');
  });
  test('if it did not end again since', () => {
    const lastExit = { exitCode: 1, reason: 'Error', finishedAtNs: before(10) };
    assert.match(judge({ containers: [{ ...waiting, lastExit }] })[1] ?? '', /another reason/);
  });
  test('if it is not the driver itself', () => {
    const plugin = { ...waiting, name: 'driver', state: 'running', ready: true, mountsForOthers: true } as const;
    assert.equal(judge({ containers: [plugin, waiting] })[0], 'leave');
  });
  test('if none of its containers crashes for something else', () => {
    const other = { ...waiting, name: 'other', kubeletPaths: ['/var/lib/kubelet/pods'] };
    assert.match(judge({ containers: [waiting, other] })[1] ?? '', /^other of it crashes too/);
    const bare = { name: 'bare', state: 'terminated', reason: 'Error', ready: false, restarts: 3 } as const;
    assert.equal(judge({ containers: [waiting, { ...bare, lastExit: { exitCode: 1, reason: 'Error' } }] })[0], 'leave');
    assert.equal(
      judge({ containers: [waiting, { ...bare, lastExit: { exitCode: 0, reason: 'Completed' } }] })[0],
      'go',
    );
  });
  test('if somebody makes it anew', () => {
    const { owner: _, ...orphan } = pod;
    assert.equal('leave' in judgePod(guard, { pod: orphan, driver, wallNs: now }), true);
  });
});

describe('a VolumeAttachment is not deleted', () => {
  const attachError = { message: 'rpc error: no such volume' };
  const base = { name: 'csi-1', uid: 'va', driver: 'd.example', volume: 'pv', attached: false, createdAtNs: 0n };
  const attachment: VolumeAttachment = { ...base, attachError };
  const of = { kind: 'delete-attachment', name: 'csi-1', uid: 'va', driver: 'd.example', volume: 'pv' } as const;
  const use = { knowsThisNode: true, inUseOn: [], attachedTo: [] };
  const found = { attachment, resourceVersion: '1', handle: 'h' };
  const against = (over: object) => againstDeletion(of, { found, use, mounted: false, ...over });
  const like = (over: Partial<VolumeAttachment>) => ({ found: { ...found, attachment: { ...attachment, ...over } } });

  test('unless nothing speaks against it', () => assert.equal(against({}), undefined));
  for (const [what, over, why] of [
    ['while it is attached', like({ attached: true }), /it is attached/],
    ['while it is being deleted', like({ deletingSinceNs: 1n }), /being deleted already/],
    ['while it is being deleted and attached', like({ deletingSinceNs: 1n, attached: true }), /being deleted already/],
    ['before its attacher has failed', { found: { ...found, attachment: base } }, /has not tried and failed/],
    [
      'while kubelet has it in use',
      { use: { ...use, inUseOn: ['node-1'] } },
      /kubelet of node-1 has the volume in use/,
    ],
    [
      'while another node uses it',
      { use: { ...use, inUseOn: ['a', 'b', 'c'] } },
      /of a and of 2 more has the volume in use/,
    ],
    ['while the controller takes it for attached', { use: { ...use, attachedTo: ['node-2'] } }, /attached to node-2/],
    ['while it is mounted', { mounted: true }, /mounted/],
    ['on a node that the API does not know', { use: { ...use, knowsThisNode: false } }, /does not know/],
    ['without the id of its volume', { use: undefined }, /does not say which/],
    ['where another has its name', like({ uid: 'x' }), /another/],
  ] as const) {
    test(what, () => assert.match(against(over) ?? 'nothing', why));
  }
});

const actionOf = (of: Guard, target: string): Action => ({
  kind: of.kind,
  target,
  object: `csi/${target}`,
  code: 'SW303',
  tier: 'safe',
  reason: 'r',
  precondition: 'p',
  expects: 'e',
  guard: of,
});

describe('the journal and the budget', () => {
  const stamp = (uptimeS: number) => ({ wallNs: now, uptimeNs: BigInt(uptimeS) * 1_000_000_000n, bootId: 'b' });
  const intent = (seq: number, action: Action, uptimeS: number): Entry => {
    return { v: 1, seq, runId: 'r', at: stamp(uptimeS), kind: 'intent', action, read: 'x' };
  };

  test('hold the three new acts as they were', () => {
    const guards: Guard[] = [
      guard,
      { kind: 'unlink-socket', path: '/a/b-reg.sock', device: '1', inode: '2' },
      { kind: 'delete-attachment', name: 'csi-1', uid: 'va', driver: 'd', volume: 'pv' },
    ];
    for (const each of guards) {
      const entry = intent(1, actionOf(each, 'x'), 1);
      assert.deepEqual(decodeEntry(encodeEntry(entry).trimEnd()), entry);
    }
  });

  test(`allow ${limits.deletionsPerHour} deletions in an hour, over all runs`, () => {
    const plan = {
      actions: Array.from({ length: 8 }, (_, index) => actionOf({ ...guard, uid: `u${index}` }, `u${index}`)),
      refusals: [],
      pods: [],
      storage: { drivers: ['d'], follow: [], waiting: [] },
    };
    const spent = (count: number, uptimeS: number) =>
      Array.from({ length: count }, (_, index) => intent(index + 1, actionOf(guard, `old${index}`), uptimeS));
    const left = (entries: Entry[]) =>
      applyBudget(plan, entries, { now: stamp(7_200), mode: 'run', sandboxesOnNode: 10 });
    assert.equal(left([]).actions.length, 8);
    assert.equal(left(spent(6, 7_000)).actions.length, 4);
    assert.equal(left(spent(10, 7_000)).actions.length, 0);
    assert.match(left(spent(10, 7_000)).refusals[0]?.reason ?? '', /10 deletions .* within an hour/);
    assert.equal(left(spent(10, 3_000)).actions.length, 8);
    assert.deepEqual(left([]).storage, plan.storage);
  });
});

describe('the stages', () => {
  const goal = { drivers: ['d.example'], follow: [], waiting: ['apps/db-0'] };
  const csi = known({ kubeletDirs: ['/var/lib/kubelet'], drivers: [driver], registrations: [], truncated: false });
  const db: Pod = { ...pod, name: 'db-0', namespace: 'apps', uid: 'u9', claims: ['data'], containers: [] };
  const ready = { ...waiting, state: 'running', reason: 'Running', ready: true } as const;

  test('say what is red and why, each by itself', () => {
    const attachment = {
      name: 'csi-1',
      uid: 'va',
      driver: 'd.example',
      volume: 'pv',
      attached: false,
      createdAtNs: 0n,
    };
    const error = { message: 'volume is faulted' };
    const snapshot = snapshotOf({
      pods: [pod, { ...db, phase: 'Pending' }],
      more: {
        csi,
        csiNode: known([]),
        volumes: known({ nodeName: 'n', attachments: [{ ...attachment, attachError: error }] }),
      },
    });
    const stages = stagesOf(goal, snapshot, undefined);
    assert.deepEqual(stages.map(describeStage), [
      'CSI sockets answer: all 1',
      'registered with kubelet: 0 of 1; d.example (not in the node’s CSINode yet)',
      'CSI pods ready: 0 of 1; csi/attacher-1 (csi-attacher CrashLoopBackOff)',
      'volumes attached: 0 of 1; pv (not attached: volume is faulted)',
      'waiting pods run: 0 of 1; apps/db-0 (phase Pending)',
    ]);
    assert.equal(isOver(stages, snapshot), false);
  });

  test('what is forbidden is not waited for and not called green; an API that is down is waited for', () => {
    const more = { csi, csiNode: known(['d.example']) };
    const pods = [{ ...pod, containers: [ready] }, db];
    const look = (code: 'ERR_FORBIDDEN' | 'ERR_KUBE_UNREACHABLE') => {
      const snapshot = snapshotOf({ pods, more: { ...more, volumes: unknown(code, 'it says no') } });
      const stages = stagesOf(goal, snapshot, undefined);
      return { state: stages.find((each) => each.name === 'attachments')?.state, over: isOver(stages, snapshot) };
    };
    assert.deepEqual(look('ERR_FORBIDDEN'), { state: 'unknown', over: true });
    assert.deepEqual(look('ERR_KUBE_UNREACHABLE'), { state: 'unknown', over: false });
  });

  test('a pod that waited is settled when it has run to its end or is gone; one that failed is red', () => {
    const finished = { ...ready, state: 'terminated', reason: 'Completed', ready: false } as const;
    const at = (...pods: Pod[]) => {
      const snapshot = snapshotOf({ pods, more: { csi, csiNode: known([]) } });
      const found = stagesOf(goal, snapshot, undefined).find((each) => each.name === 'pods');
      return found && [found.state, describeStage(found)];
    };
    assert.deepEqual(at({ ...db, phase: 'Succeeded', containers: [finished] }), ['green', 'waiting pods run: all 1']);
    const gone = 'waiting pods run: nothing to wait for; apps/db-0 is gone meanwhile';
    assert.deepEqual(at({ ...db, name: 'db-1' }), ['green', gone]);
    assert.equal(at({ ...db, phase: 'Failed', containers: [{ ...finished, reason: 'Error' }] })?.[0], 'red');
    assert.equal(at({ ...db, deleting: true })?.[0], 'red');
  });

  test('a driver of which nothing is left is red', () => {
    const none = known({ kubeletDirs: [], drivers: [], registrations: [], truncated: false });
    const snapshot = snapshotOf({ pods: [], more: { csi: none } });
    assert.equal(stagesOf(goal, snapshot, undefined)[0]?.state, 'red');
  });
});
