// Goal: what kubelet kills and makes anew, because it takes a dead sandbox for the newest, is churn and no usual work.
// Method: creations by the runtime's log, in sandboxes that are gone by now; the same as pods of one each (Jobs).
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { known } from '../../src/model/observed.ts';
import type { Creation } from '../../src/model/records.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { bootId, container, idOf, nameHeld, nowNs, sandbox, seconds, snapshotOf, uptimeNs } from './build.ts';

const at = (agoS: number) => ({
  wallNs: nowNs - seconds(agoS),
  bootId,
  monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n,
});

/** A container made once, `agoS` ago, in a sandbox that is gone. */
function made(podUid: string | undefined, agoS: number): Creation {
  const sandboxId = idOf(`${podUid ?? 'nobody'} ${agoS}`);
  const of = podUid === undefined ? {} : { podUid };
  return { sandboxId, ...of, container: 'app', attempt: 1, count: 1, first: at(agoS), last: at(agoS) };
}

const eachMinute = Array.from({ length: 9 }, (_, n) => 530 - n * 60);

/** Dead sandboxes that are dated after now: kubelet takes them for the newest of their pods. */
const ghosts = ['shop', 'blog'].map((name) => sandbox(name, 0, 'notready', 3_600));
const killed = ghosts.flatMap(({ uid }) => eachMinute.map((agoS) => made(uid, agoS)));

/** Sidecars that end at once, four times a minute all together: a storm where nothing else is made. */
const sidecars = ['attacher', 'provisioner', 'resizer', 'snapshotter'].map((each) => `csi-${each}`);
const looping = sidecars.map((name) => sandbox(name, 0, 'ready', -590));
const loops = looping.map((of): Creation => {
  return { sandboxId: of.id, container: of.name, attempt: 9, count: 9, first: at(490), last: at(10) };
});

function look(creations: readonly Creation[], sandboxes: readonly Sandbox[], more: Partial<Snapshot> = {}) {
  const runtimeLog = { since: at(600), creations };
  // kubelet asks for the names of the dead ones.
  const errors = sandboxes.flatMap((each) => (each.state === 'ready' ? [] : nameHeld(each.name, 0, each.id)));
  const diagnosis = diagnose(snapshotOf({ sandboxes, runtimeLog, errors, more }));
  const of = (code: string) => diagnosis.findings.find((each) => each.code === code);
  return { storm: of('SW401'), loop: of('SW403'), codes: diagnosis.findings.map((each) => each.code), ...diagnosis };
}

describe('pods that are killed and made anew', () => {
  test('are no usual work of the node: beside them crash loops are a storm, and both are told of', () => {
    const { storm } = look([...loops, ...killed], [...looping, ...ghosts]);
    assert.equal(storm?.severity, 'warning');
    assert.equal(
      storm.why,
      '4 pods crash-loop, 2 are killed and made anew again and again, and make 6 containers a minute; ' +
        'besides them this node makes 0 in a usual minute.',
    );
    assert.ok(
      storm.evidence.some((each) => /^default\/shop app: 1 a minute, attempt 1, in 9 sandboxes/.test(each.text)),
    );
    assert.deepEqual(
      storm.pods.toSorted(),
      ['blog', ...sidecars, 'shop'].map((each) => `default/${each}`),
    );
  });

  test('as many pods of which each is made once are usual work, and so is what no log tells the pod of', () => {
    const jobs = eachMinute.flatMap((agoS) => [made(`job-a-${agoS}`, agoS), made(`job-b-${agoS}`, agoS)]);
    const untold = eachMinute.flatMap((agoS) => [made(undefined, agoS), { ...made(undefined, agoS), container: 'b' }]);
    for (const usual of [jobs, untold]) {
      const { storm } = look([...loops, ...usual], [...looping, ...ghosts]);
      assert.deepEqual(
        [storm?.severity, storm?.why],
        ['info', '4 pods crash-loop, 4 containers a minute: no storm yet.'],
      );
    }
  });

  test('are told of no more once they are up and nothing is in their way, and are no usual work then either', () => {
    const up = ['shop', 'blog'].map((name) => sandbox(name, 9, 'ready', -20));
    const { storm } = look([...loops, ...killed], [...looping, ...up]);
    assert.match(
      storm?.why ?? '',
      /^4 pods crash-loop and make 4 containers a minute; .* makes 0 in a usual minute\.$/,
    );
    // Between two kills the newest one lives for some seconds, while the dead one is still there.
    const between = look([...loops, ...killed], [...looping, ...ghosts, ...up]);
    assert.match(between.storm?.why ?? '', /^4 pods crash-loop, 2 are killed and made anew/);
  });

  test('of the boot before they do not count', () => {
    // Two of this boot are no loop.
    const now = [made('uid-shop', 70), made('uid-shop', 10)];
    const earlier = killed.map((each) => {
      return { ...each, first: { wallNs: 1n, bootId: 'a' }, last: { wallNs: 2n, bootId: 'a' } };
    });
    const { storm } = look([...loops, ...earlier, ...now], [...looping, ...ghosts]);
    assert.match(storm?.why ?? '', /^4 pods crash-loop and make 4 containers/);
  });

  test('come of the dead sandboxes that kubelet takes for the newest; by themselves they are told of, too', () => {
    const { storm, chain } = look(killed, ghosts);
    assert.equal(storm?.why, undefined, 'two of them are no storm');
    assert.ok(chain.every((each) => each.code !== 'SW401'));
    const four = ['shop', 'blog', 'wiki', 'mail'].map((name) => sandbox(name, 0, 'notready', 3_600));
    const all = look(
      four.flatMap(({ uid }) => eachMinute.map((agoS) => made(uid, agoS))),
      four,
    );
    assert.match(
      all.storm?.why ?? '',
      /^4 pods are killed and made anew again and again, and make 4 containers a minute/,
    );
    const link = all.chain.find((each) => each.code === 'SW401');
    assert.match(link?.because ?? '', /^SW102: kubelet takes the dead sandbox for the newest .*shared: pod default\//);
  });
});

describe('the loop (SW403)', () => {
  const stalls = {
    kind: 'rcu-expedited',
    count: 90,
    text: 'a line',
    first: at(300),
    last: at(5),
  } as const;
  const more = {
    boots: known([
      { bootId: 'a'.repeat(32), firstNs: nowNs - seconds(9_000), lastNs: nowNs - seconds(700), end: 'unclean' },
      { bootId, firstNs: nowNs - uptimeNs, lastNs: nowNs, end: 'running' },
    ] as const),
    kernelLog: known({
      from: 'kmsg' as const,
      ...{ since: at(600), lines: 900, lost: 0, troubles: [stalls] },
      ...{ hours: [{ hour: 0, counts: { 'rcu-expedited': 90 } }], tasks: [{ task: 'runc:[2:INIT]', count: 9 }] },
    }),
  };
  const plugin = sandbox('csi-plugin', 0, 'notready', 3_600);
  const registrar = container(plugin, { name: 'node-driver-registrar' });
  const sidecarsOf = looping.map((of) => container(of, { name: of.name, attempt: 9, state: 'exited' }));

  test('goes over the volumes: dead sandboxes whose own churn makes the kernel stall are not told of as that', () => {
    const four = ['shop', 'blog', 'wiki', 'mail'].map((name) => sandbox(name, 0, 'notready', 3_600));
    const creations = four.flatMap(({ uid }) => eachMinute.map((agoS) => made(uid, agoS)));
    const { codes, loop } = look(creations, four, more);
    for (const code of ['SW102', 'SW201', 'SW401', 'SW402']) assert.ok(codes.includes(code), code);
    assert.equal(loop, undefined);
  });

  test('is there where they churn beside the sidecars: they end with the dead sandboxes, and are no others', () => {
    const busy = ['shop', 'blog', 'wiki', 'mail', 'chat'].map((name) => sandbox(name, 0, 'notready', 3_600));
    const creations = busy.flatMap(({ uid }) => eachMinute.map((agoS) => made(uid, agoS)));
    const containers = known([registrar, ...sidecarsOf]);
    const { loop } = look([...loops, ...creations], [...looping, ...busy, plugin], { ...more, containers });
    assert.match(loop?.why ?? '', /Without the dead sandboxes it ends now\.$/);
    // The same churn of pods that have no dead sandbox is most of it, and would go on.
    const others = busy.map((each) => ({ ...each, state: 'ready' as const, createdAtNs: nowNs - seconds(590) }));
    const own = others.map((of): Creation => {
      return { sandboxId: of.id, container: 'app', attempt: 9, count: 9, first: at(490), last: at(10) };
    });
    const beside = look([...loops, ...own], [...looping, ...others, plugin], { ...more, containers });
    assert.equal(beside.storm?.severity, 'warning');
    assert.equal(beside.loop, undefined);
  });
});
