// Goal: storms, stalls and their loop are told where they are, with numbers that are right, and not where they are not.
// Method: small nodes; a cause is only named where a rule, the order of time and a shared object say so.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { causeNodes } from '../../src/diagnose/cause-nodes.ts';
import { type CauseNode, causeRules, causesOf } from '../../src/diagnose/causes.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { buildFacts } from '../../src/diagnose/facts.ts';
import { sw401 } from '../../src/diagnose/rules/sw401.ts';
import { reasonsOf, stormLinks } from '../../src/diagnose/storm-chain.ts';
import type { Finding } from '../../src/model/finding.ts';
import type { KernelLog, KernelTrouble } from '../../src/model/kernel.ts';
import type { Boot } from '../../src/model/node.ts';
import { known, valueOr } from '../../src/model/observed.ts';
import type { Moment } from '../../src/model/records.ts';
import type { Container, Sandbox } from '../../src/model/sandbox.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { bootId, container, idOf, nameHeld, nowNs, sandbox, seconds, snapshotOf, uptimeNs } from './build.ts';

const upS = Number(uptimeNs / 1_000_000_000n);
const at = (agoS: number): Moment => ({
  wallNs: nowNs - seconds(agoS),
  bootId,
  monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n,
});
const pods = ['attacher', 'provisioner', 'resizer', 'snapshotter'].map((each) => `csi-${each}`);

/** Pods whose container was made anew each `gapS`, the last time `agoS` ago. */
function loops(names: readonly string[], gapS: number, agoS = 2): { sandboxes: Sandbox[]; containers: Container[] } {
  const sandboxes = names.map((name) => sandbox(name, 0, 'ready', -upS));
  const containers = sandboxes.flatMap((of) => {
    const made = (attempt: number, ago: number, state: Container['state']) =>
      container(of, {
        id: idOf(`${of.name}${attempt}`),
        name: of.name,
        attempt,
        state,
        createdAtNs: nowNs - seconds(ago),
      });
    return [made(41, agoS + gapS, 'exited'), made(42, agoS, 'exited')];
  });
  return { sandboxes, containers };
}

function trouble(kind: KernelTrouble['kind'], count: number, firstAgoS: number, lastAgoS: number): KernelTrouble {
  return { kind, count, text: `a line of ${kind}`, first: at(firstAgoS), last: at(lastAgoS) };
}

function kernel(troubles: readonly KernelTrouble[], tasks: KernelLog['tasks'] = []): Partial<Snapshot> {
  const counts = Object.fromEntries(troubles.map(({ kind, count }) => [kind, count]));
  const hours = [{ hour: 0, counts }];
  return { kernelLog: known({ from: 'kmsg', since: at(upS), lines: 900, lost: 0, troubles, hours, tasks }) };
}

const unclean: Boot = {
  bootId: 'a'.repeat(32),
  firstNs: nowNs - seconds(9_000),
  lastNs: nowNs - seconds(700),
  end: 'unclean',
};
const current: Boot = { bootId, firstNs: nowNs - uptimeNs, lastNs: nowNs, end: 'running' };
const find = (snapshot: Snapshot, code: string) => diagnose(snapshot).findings.find((each) => each.code === code);

describe('SW401', () => {
  test('four pods, a container every 10 s each: a storm, by the attempts and dates of CRI alone', () => {
    const finding = find(snapshotOf(loops(pods, 10)), 'SW401');
    assert.equal(finding?.severity, 'warning');
    assert.match(
      finding?.why ?? '',
      /^4 pods crash-loop and make 24 containers a minute; besides them this node makes 0 in a usual minute\.$/,
    );
    assert.deepEqual(finding?.pods.length, 4);
    assert.match(finding?.evidence[0]?.text ?? '', /6 a minute, attempt 42$/);
  });

  test('the longest back-off is no storm; one pod in it is nothing at all', () => {
    assert.equal(find(snapshotOf(loops(pods, 300)), 'SW401')?.severity, 'info');
    assert.equal(find(snapshotOf(loops(['web'], 300)), 'SW401'), undefined);
  });

  test("it is measured against the node's own normal: Jobs that come each second are none of it", () => {
    const few = loops(pods, 20);
    const jobs = Array.from({ length: 400 }, (_, n) => sandbox(`job-${n}`, 0, 'notready', -n));
    const once = jobs.map((of) => container(of, { createdAtNs: of.createdAtNs }));
    const busy = { sandboxes: [...few.sandboxes, ...jobs], containers: [...few.containers, ...once] };
    assert.equal(find(snapshotOf(few), 'SW401')?.severity, 'warning');
    assert.equal(find(snapshotOf(busy), 'SW401')?.severity, 'info');
    assert.equal(find(snapshotOf({ sandboxes: jobs, containers: once }), 'SW401'), undefined);
  });

  test('after a reboot everything is made at once, which is no normal: the storm is one in its first half hour', () => {
    const few = loops(pods, 20);
    const facts = valueOr(snapshotOf({}).node, undefined) ?? assert.fail();
    // 200 containers in the first five minutes of the boot, and then no more.
    const started = (uptimeS: number) => Array.from({ length: 200 }, (_, n) => uptimeS - 5 - n * 1.5);
    for (const uptimeS of [900, 1_500, 3_600]) {
      const node = known({ ...facts, uptimeNs: seconds(uptimeS) });
      const sandboxes = started(uptimeS).map((agoS, n) => sandbox(`app-${n}`, 0, 'ready', -Math.round(agoS)));
      const moment = (agoS: number) => ({ ...at(agoS), monotonicUs: (seconds(uptimeS) - seconds(agoS)) / 1_000n });
      const creations = started(uptimeS).map((agoS, n) => {
        const made = moment(Math.round(agoS));
        return { sandboxId: idOf(`no record ${n}`), container: 'c', attempt: 0, count: 1, first: made, last: made };
      });
      const runtimeLog = { since: moment(uptimeS), creations };
      const logged = { ...few, runtimeLog, more: { node } };
      assert.equal(find(snapshotOf(logged), 'SW401')?.severity, 'warning', `${uptimeS} s, by the log`);
      const containers = sandboxes.map((of) => container(of, { createdAtNs: of.createdAtNs }));
      const listed = {
        sandboxes: [...few.sandboxes, ...sandboxes],
        containers: [...few.containers, ...containers],
        more: { node },
      };
      assert.equal(find(snapshotOf(listed), 'SW401')?.severity, 'warning', `${uptimeS} s, by CRI`);
    }
  });

  test('a container that stayed up, or whose last end was long ago, does not loop', () => {
    assert.equal(find(snapshotOf(loops(pods, 10, 700)), 'SW401'), undefined);
    const { sandboxes, containers } = loops(pods, 10);
    const first = containers.map((each) => ({ ...each, attempt: each.attempt - 41 }));
    assert.equal(find(snapshotOf({ sandboxes, containers: first }), 'SW401'), undefined);
  });

  test("the runtime's log counts each creation; kubelet's back-off is only the most it can be", () => {
    const of = sandbox('web', 0, 'ready', -upS);
    const creations = [{ sandboxId: of.id, container: 'c', attempt: 90, count: 61, first: at(300), last: at(1) }];
    const logged = find(snapshotOf({ sandboxes: [of], runtimeLog: { creations } }), 'SW401');
    assert.match(logged?.why ?? '', /^1 pod crash-loops and makes 12 containers a minute/);
    const backOffs = pods.map((name) => ({
      ...{ pod: { namespace: 'storage', name }, podUid: `uid-${name}`, container: name, delayMs: 10_000 },
      ...{ count: 3, first: at(60), last: at(5) },
    }));
    const guessed = find(snapshotOf({ log: { backOffs } }), 'SW401');
    assert.match(guessed?.evidence[0]?.text ?? '', /6 a minute at most \(by its back-off\)/);
  });
});

describe('SW402', () => {
  test('many stalls: a warning with rate, kinds and tasks', () => {
    const log = kernel(
      [trouble('rcu-expedited', 1_191, 590, 5), trouble('hung-task', 2, 400, 9)],
      [{ task: 'runc:[2:INIT]', count: 31 }],
    );
    const finding = find(snapshotOf({ more: log }), 'SW402');
    assert.equal(finding?.severity, 'warning');
    assert.match(
      finding?.why ?? '',
      /^The kernel reported 1,191 expedited RCU stalls, 2 hung tasks .* 5 s ago; 1,193 an hour/,
    );
    assert.ok(finding?.evidence.some((each) => each.text === 'tasks in the dumps: runc:[2:INIT] (31)'));
  });

  test('one stall, or many that ended long ago, explain and warn not; OOM kills are no stalls', () => {
    assert.equal(find(snapshotOf({ more: kernel([trouble('rcu-stall', 1, 60, 60)]) }), 'SW402')?.severity, 'info');
    assert.equal(find(snapshotOf({ more: kernel([trouble('soft-lockup', 1, 60, 60)]) }), 'SW402')?.severity, 'warning');
    assert.equal(find(snapshotOf({ more: kernel([trouble('oom-kill', 50, 60, 6)]) }), 'SW402'), undefined);
    assert.equal(find(snapshotOf({}), 'SW402'), undefined);
  });
});

describe('the chain', () => {
  const storm = loops(pods, 10);
  const linkOf = (more: Partial<Snapshot>, code: string) =>
    diagnose(snapshotOf({ ...storm, more })).chain.find((each) => each.code === code);

  test('stalls come of the churn where the dumps name runc', () => {
    const link = linkOf(kernel([trouble('rcu-expedited', 90, 300, 5)], [{ task: 'runc:[2:INIT]', count: 9 }]), 'SW402');
    assert.match(link?.because ?? '', /^SW401: each start of a container .* \(shared: task runc/);
    assert.equal(link?.others, undefined);
  });

  test('both are there and nothing ties them: no cause is named', () => {
    const link = linkOf(kernel([trouble('rcu-expedited', 90, 300, 5)], [{ task: 'kworker/1:2', count: 9 }]), 'SW402');
    assert.ok(link);
    assert.equal(link.because, undefined);
  });

  test('two candidates: both are shown, the one that shares an object first, with what decides', () => {
    const troubles = [
      trouble('hung-task', 9, 200, 5),
      trouble('nfs-silent', 3, 250, 10),
      trouble('undervoltage', 1, 220, 220),
    ];
    const link = linkOf(kernel(troubles, [{ task: 'runc:[2:INIT]', count: 9 }]), 'SW402');
    const codes = [link?.because?.split(':')[0], ...(link?.others ?? []).map((each) => each.code)];
    assert.deepEqual(codes, ['nfs-silent', 'SW401', 'undervoltage']);
    assert.ok(link?.others?.every((each) => each.decidedBy !== ''));
  });

  test('what began after the effect is no cause of it', () => {
    const log = kernel([trouble('hung-task', 9, 500, 5), trouble('nfs-silent', 3, 100, 10)], []);
    assert.equal(linkOf(log, 'SW402')?.because, undefined);
  });
});

describe('volumes as the cause of churn', () => {
  const sidecars = loops(['csi-attacher', 'csi-resizer', 'csi-snapshotter'], 10);
  const facts = buildFacts(snapshotOf(sidecars));
  const finding = (pod: string): Finding => ({
    // As it is found without the API: the pod is known by its registrar, its driver is not.
    ...{ code: 'SW302', severity: 'error', object: { kind: 'driver', name: pod }, why: 'blocked' },
    ...{ evidence: [], remedy: { tier: 'none', text: '', noCommand: '' }, pods: [pod] },
  });
  const storm = sw401.examine(facts);
  const because = (pod: string) => {
    const findings = [...storm, finding(pod)];
    return stormLinks(facts, findings, causeNodes(facts, findings))[0]?.because;
  };

  test("sidecars beside a driver's plugin that cannot start", () => {
    assert.match(
      because('default/longhorn-csi-plugin-x') ?? '',
      /^SW302: the sidecars of the driver .*shared: sidecars default/,
    );
  });
  test('a plugin of another namespace is none of theirs', () => {
    assert.equal(because('kube-system/ebs-csi-node-x'), undefined);
  });
});

describe('causesOf', () => {
  const node = fc.record({
    id: fc.uuid(),
    code: fc.constantFrom('SW101', 'SW201', 'SW302', 'SW401', 'SW402', 'freeze', 'nfs-silent'),
    startNs: fc.option(fc.bigInt({ min: 0n, max: 10n ** 14n })),
    endNs: fc.constant(null),
    objects: fc.uniqueArray(fc.constantFrom('pod:a/b', 'driver:x', 'task:runc', 'hung:tasks')).map((a) => new Set(a)),
  });

  test('always a rule that names both, never backwards, what is shared is on both sides, and shared goes first', () => {
    fc.assert(
      fc.property(fc.array(node, { maxLength: 12 }), (nodes: CauseNode[]) => {
        for (const effect of nodes) {
          const held = causesOf(effect, nodes);
          for (const { cause, rule, shared, lagNs } of held) {
            assert.ok(
              causeRules.includes(rule) && rule.causes.includes(cause.code) && rule.effects.includes(effect.code),
            );
            assert.ok(lagNs === null || lagNs >= -120_000_000_000n);
            const [object] = shared === undefined ? [] : [shared.replace(' ', ':')];
            assert.ok(object === undefined || (cause.objects.has(object) && effect.objects.has(object)));
            assert.ok(rule.shares.length === 0 || shared !== undefined);
          }
          const ranks = held.map((each) => (each.shared === undefined ? 1 : 0));
          assert.deepEqual(ranks, ranks.toSorted());
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('reasonsOf', () => {
  test('hundreds of dead sandboxes are one candidate, and are not compared with each other', () => {
    let looks = 0;
    const nodes = Array.from(
      { length: 300 },
      (_, n): CauseNode => ({
        ...{ id: `SW101 ${n}`, code: 'SW101', startNs: 0n, endNs: null },
        get objects() {
          looks += 1;
          return new Set([`sandbox:${n}`]);
        },
      }),
    );
    const effect: CauseNode = {
      ...{ id: 'refused', code: 'refused', startNs: 9n, endNs: null },
      objects: new Set(nodes.map((_, n) => `sandbox:${n}`)),
    };
    const { because, others } = reasonsOf(effect, nodes);
    assert.match(because ?? '', /^SW101: a name is reserved .*shared: sandbox 0/);
    assert.equal(others, undefined);
    assert.ok(looks < 20 * nodes.length, `${looks} looks`);
  });
});

describe('SW403', () => {
  const { sandboxes, containers } = loops(pods, 10);
  const ghost = sandbox('csi-plugin', 0, 'notready', -5_000);
  // What makes it a node plugin, where the API does not say.
  const registrar = container(ghost, { name: 'node-driver-registrar' });
  const stalling = kernel([trouble('rcu-expedited', 90, 300, 5)], [{ task: 'runc:[2:INIT]', count: 9 }]);
  const looping = (more: Partial<Snapshot>) =>
    snapshotOf({
      sandboxes: [...sandboxes, ghost],
      containers: [...containers, registrar],
      errors: [nameHeld('csi-plugin', 0, ghost.id)],
      more: { boots: known([unclean, current]), ...stalling, ...more },
    });

  test('all links are there: the loop, what comes next, and what ends it', () => {
    const { findings, chain } = diagnose(looping({}));
    const finding = findings.find((each) => each.code === 'SW403');
    assert.ok(finding, findings.map((each) => each.code).join(' '));
    assert.deepEqual(
      finding.evidence.map((each) => each.text.split(':')[0]),
      ['reset', 'dead sandboxes', 'volumes', 'crash loops', 'stalls', 'what comes next'],
    );
    assert.equal(finding.remedy.command, 'sandwarden heal');
    assert.deepEqual(finding.pods, ['default/csi-plugin']);
    const codes = chain.flatMap((each) => each.code ?? []);
    assert.deepEqual(codes.slice(-2), ['SW401', 'SW402']);
  });

  test('without one of them there is no loop', () => {
    const none = (snapshot: Snapshot) => assert.equal(find(snapshot, 'SW403'), undefined);
    none(looping({ boots: known([{ ...unclean, end: 'clean' }, current]) }));
    none(
      looping({
        kernelLog: known({ from: 'kmsg', since: null, lines: 0, lost: 0, troubles: [], hours: [], tasks: [] }),
      }),
    );
    none(snapshotOf({ sandboxes, containers, more: { boots: known([unclean, current]), ...stalling } }));
    none(looping({ containers: known([]) }));
  });

  describe('all of it is there, and one link does not hold', () => {
    const told = (more: Partial<Snapshot>) => assert.equal(find(looping(more), 'SW403'), undefined);

    test('the dead sandbox is of a pod that serves no driver', () => {
      told({ containers: known(containers) });
    });

    test('what loops are pods of their own, and the hung tasks wait for an NFS server', () => {
      const apps = loops(['blog', 'shop', 'wiki'], 10);
      const stuck = kernel(
        [trouble('hung-task', 90, 599, 5), trouble('nfs-silent', 90, 599, 5)],
        [{ task: 'kworker/u8:2', count: 90 }],
      );
      const unrelated = sandbox('unrelated', 0, 'notready', -5_000);
      const snapshot = snapshotOf({
        sandboxes: [...apps.sandboxes, unrelated],
        containers: apps.containers,
        errors: [nameHeld('unrelated', 0, unrelated.id)],
        more: { boots: known([unclean, current]), ...stuck },
      });
      const codes = diagnose(snapshot).findings.map((each) => each.code);
      for (const code of ['SW101', 'SW201', 'SW401', 'SW402']) assert.ok(codes.includes(code), code);
      assert.ok(!codes.includes('SW403'));
    });

    test('what loops beside the blocked plugin are no sidecars', () => {
      const apps = containers.map((each) => ({ ...each, name: 'web' }));
      told({ containers: known([...apps, registrar]) });
    });

    test('a controller that has its driver beside its sidecars has a socket of its own', () => {
      const own = sandboxes.map((of) => container(of, { id: idOf(`own ${of.name}`), name: 'ebs-plugin' }));
      told({ containers: known([...containers, ...own, registrar]) });
    });

    test('the kernel names other tasks where it stalls', () => {
      told(kernel([trouble('rcu-expedited', 90, 300, 5)], [{ task: 'kworker/u8:2', count: 90 }]));
    });

    test('the dead sandbox is of this boot', () => {
      const young = { ...ghost, createdAtNs: nowNs - seconds(300) };
      told({ sandboxes: known([...sandboxes, young]) });
    });
  });

  test('of a storm of others it is no cause; where a few others loop, it does not promise their end', () => {
    const beside = (names: readonly string[]) => {
      const apps = loops(names, 10);
      return find(
        looping({
          sandboxes: known([...sandboxes, ghost, ...apps.sandboxes]),
          containers: known([...containers, registrar, ...apps.containers]),
        }),
        'SW403',
      );
    };
    assert.equal(beside(['a', 'b', 'c', 'd', 'e']), undefined);
    assert.match(
      beside(['a'])?.why ?? '',
      /Without the dead sandboxes the crash loops end, but for those of 1 other pod\.$/,
    );
  });

  test('where the stalls may come of something else too, it does not promise their end', () => {
    const both = kernel(
      [trouble('hung-task', 9, 300, 5), trouble('nfs-silent', 3, 310, 10)],
      [{ task: 'runc:[2:INIT]', count: 9 }],
    );
    const finding = find(looping(both), 'SW403');
    assert.match(finding?.why ?? '', /the stalls may also come of other things \(nfs-silent\)\.$/);
    assert.match(find(looping({}), 'SW403')?.why ?? '', /Without the dead sandboxes it ends now\.$/);
  });
});
