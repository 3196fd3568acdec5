import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { catalogue, ruleOf } from '../../src/diagnose/catalogue.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { makePlan } from '../../src/heal/plan.ts';
import type { Tier } from '../../src/model/finding.ts';
import type { HolderProcess } from '../../src/model/node.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import {
  bootId,
  container,
  idOf,
  lostAtPowerCut,
  nameHeld,
  nowNs,
  pod,
  sandbox,
  seconds,
  snapshotOf,
  uptimeNs,
} from './build.ts';

const codesOf = (snapshot: Snapshot) => diagnose(snapshot).findings.map((each) => `${each.code} ${each.severity}`);
const planned = (
  snapshot: Snapshot,
  allow: readonly Tier[] = ['safe'],
  only: readonly { code: string; object?: string }[] = [],
) => makePlan(snapshot, { allow, only }).actions.map((each) => `${each.kind} ${each.object}`);
const refusalOf = (snapshot: Snapshot, object: string) =>
  makePlan(snapshot, { allow: ['safe'], only: [] }).refusals.find((each) => each.object === object);
const at = (agoS: number) => ({
  wallNs: nowNs - seconds(agoS),
  bootId,
  monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n,
});
const span = (firstAgoS: number, lastAgoS: number, count = 5) => ({ count, first: at(firstAgoS), last: at(lastAgoS) });

describe('SW101 ghost-holds-name', () => {
  const old = sandbox('web', 0, 'notready', -4_000);
  const errors = [nameHeld('web', 0, old.id)];

  test('a listed NotReady holder that kubelet is refused for goes', () => {
    const snapshot = snapshotOf({ sandboxes: [old], errors });
    assert.deepEqual(codesOf(snapshot), ['SW101 error']);
    assert.deepEqual(planned(snapshot), ['remove-sandbox default/web/0']);
  });

  test('also where the version of kubelet is not known: the error is evidence enough', () => {
    assert.deepEqual(planned(snapshotOf({ sandboxes: [old], errors, kubelet: null })), [
      'remove-sandbox default/web/0',
    ]);
  });

  test('one refusal is not enough, an old one neither, nor one that a newer attempt has overtaken', () => {
    assert.deepEqual(planned(snapshotOf({ sandboxes: [old], errors: [nameHeld('web', 0, old.id, { count: 1 })] })), []);
    assert.deepEqual(
      planned(snapshotOf({ sandboxes: [old], errors: [nameHeld('web', 0, old.id, span(900, 300))] })),
      [],
    );
    assert.deepEqual(planned(snapshotOf({ sandboxes: [old, sandbox('web', 1, 'ready', -2)], errors })), []);
  });

  test('a READY holder is never touched', () => {
    const ready = sandbox('web', 0, 'ready', -100);
    assert.deepEqual(planned(snapshotOf({ sandboxes: [ready], errors: [nameHeld('web', 0, ready.id)] })), []);
  });

  test('--only chooses by code, name, pod or id', () => {
    const other = sandbox('be', 0, 'notready', -4_000);
    const both = snapshotOf({ sandboxes: [old, other], errors: [...errors, nameHeld('be', 0, other.id)] });
    assert.equal(planned(both).length, 2);
    for (const object of ['default/web/0', 'default/web', old.id.slice(0, 13)]) {
      assert.deepEqual(planned(both, ['safe'], [{ code: 'SW101', object }]), ['remove-sandbox default/web/0']);
    }
    assert.deepEqual(planned(both, ['safe'], [{ code: 'SW104' }]), []);
  });
});

describe('SW102 ghost-from-the-future', () => {
  const ghost = sandbox('web', 0, 'notready', 7_000);
  const living = sandbox('web', 1, 'ready', -12);

  test('kubelet 1.34: the ghost goes, the living one stays', () => {
    const snapshot = snapshotOf({ sandboxes: [ghost, living], containers: [container(living)] });
    assert.deepEqual(codesOf(snapshot), ['SW102 error', 'SW202 info']);
    assert.deepEqual(planned(snapshot), ['remove-sandbox default/web/0']);
  });

  test('the holder that the error names is not the ghost and is not removed', () => {
    const killed = sandbox('web', 1, 'notready', -12);
    const snapshot = snapshotOf({ sandboxes: [ghost, killed], errors: [nameHeld('web', 1, killed.id)] });
    assert.deepEqual(planned(snapshot), ['remove-sandbox default/web/0']);
  });

  test('kubelet 1.35: nothing is blocked, it is only said', () => {
    const snapshot = snapshotOf({ sandboxes: [ghost, living], containers: [container(living)], kubelet: 'v1.35.0' });
    assert.deepEqual(codesOf(snapshot), ['SW102 info', 'SW108 info', 'SW202 info']);
    assert.deepEqual(planned(snapshot, ['safe', 'disruptive']), []);
  });

  test('version unknown: a warning and no removal', () => {
    const snapshot = snapshotOf({ sandboxes: [ghost, living], containers: [container(living)], kubelet: null });
    assert.deepEqual(codesOf(snapshot), ['SW102 warning', 'SW202 info']);
    assert.deepEqual(planned(snapshot, ['safe', 'disruptive']), []);
    assert.match(refusalOf(snapshot, 'default/web/0')?.reason ?? '', /version is not known/);
  });

  test('without the API: containers that were lost at the power cut may run again, finished ones only by a person', () => {
    const errors = [nameHeld('web', 1, idOf('gone'))];
    const lost = container(ghost, { exit: lostAtPowerCut() });
    const done = container(ghost, { exit: { ...lostAtPowerCut(), exitCode: 0 } });
    assert.deepEqual(planned(snapshotOf({ sandboxes: [ghost], containers: [lost], errors })), [
      'remove-sandbox default/web/0',
    ]);
    const finished = snapshotOf({ sandboxes: [ghost], containers: [done], errors });
    assert.deepEqual(planned(finished), []);
    assert.equal(refusalOf(finished, 'default/web/0')?.lift, '--allow=disruptive');
    assert.deepEqual(planned(finished, ['safe', 'disruptive']), ['remove-sandbox default/web/0']);
  });

  test('the sandbox of a finished Job stays, with or without the API, at any tier', () => {
    const job = sandbox('job', 0, 'notready', 7_000);
    const containers = [container(job, { exit: { ...lostAtPowerCut(), exitCode: 0 } })];
    for (const pods of [undefined, [pod('job', { phase: 'Succeeded', restartPolicy: 'Never' })]]) {
      const snapshot = snapshotOf({ sandboxes: [job], containers, ...(pods === undefined ? {} : { pods }) });
      assert.deepEqual(planned(snapshot, ['safe', 'disruptive', 'destructive']), []);
      assert.match(refusalOf(snapshot, 'default/job/0')?.reason ?? '', /logs live here/);
    }
  });

  test('a request that may be in flight stops the removal', () => {
    const asked = { name: 'web', namespace: 'default', uid: 'uid-web', attempt: 1 };
    const refusalAfter = (agoS: number) => {
      const runtimeLog = { running: [{ pod: asked, at: at(agoS) }] };
      const errors = [nameHeld('web', 1, idOf('gone'))];
      return refusalOf(snapshotOf({ sandboxes: [ghost], errors, runtimeLog }), 'default/web/0');
    };
    assert.match(refusalAfter(20)?.reason ?? '', /right now/);
    assert.equal(refusalAfter(20)?.passes, undefined);
    // A refusal comes back within milliseconds: another look will tell.
    assert.match(refusalAfter(1)?.reason ?? '', /right now/);
    assert.equal(refusalAfter(1)?.passes, true);
  });

  test('the chain begins with the power cut and ends with the pods', () => {
    const boots = known([
      {
        bootId: 'a'.repeat(32),
        firstNs: nowNs - seconds(9_000),
        lastNs: nowNs + seconds(7_100),
        end: 'unclean' as const,
      },
      { bootId, firstNs: nowNs - uptimeNs, lastNs: nowNs, end: 'running' as const },
    ]);
    const errors = [nameHeld('web', 1, living.id)];
    const diagnosis = diagnose(snapshotOf({ sandboxes: [ghost], errors, more: { boots } }));
    assert.match(
      diagnosis.verdict,
      /^1 pod does not run: the node booted with its clock 2 h 8 min behind, so kubelet v1\.34\.9/,
    );
    assert.match(diagnosis.chain[0]?.text ?? '', /without a shutdown/);
    assert.match(diagnosis.chain[1]?.text ?? '', /clock at least 2 h 8 min behind/);
    assert.match(diagnosis.chain.at(-1)?.text ?? '', /1 pod does not run/);
  });
});

describe('SW103 reservation-in-flight', () => {
  const errors = [nameHeld('web', 0, idOf('hidden'), span(400, 4))];
  const cni: HolderProcess = {
    pid: 4_711,
    ppid: 1,
    comm: 'ptp',
    role: 'cni',
    state: 'S',
    startedUptimeNs: uptimeNs - seconds(410),
    cniCommand: 'ADD',
    cniContainerId: idOf('hidden'),
  };
  const hanging = (more: Partial<Snapshot>) => snapshotOf({ errors, more });

  test('says which process holds it and ends that one only if allowed', () => {
    const snapshot = hanging({ processes: known({ holders: [cni] }) });
    assert.deepEqual(codesOf(snapshot), ['SW103 error']);
    assert.match(diagnose(snapshot).findings[0]?.why ?? '', /ptp \(pid 4711/);
    assert.deepEqual(planned(snapshot), []);
    assert.deepEqual(planned(snapshot, ['safe', 'disruptive']), ['kill-cni default/web/0']);
  });

  test('without a process to blame the runtime is restarted, once for all pods', () => {
    const unit = known({ name: 'containerd.service', activeState: 'active', subState: 'running' });
    const two = [...errors, nameHeld('be', 0, idOf('hidden2'), span(400, 4))];
    const snapshot = snapshotOf({ errors: two, runtimeLog: null, more: { runtimeUnit: unit } });
    assert.deepEqual(planned(snapshot, ['safe', 'disruptive']), ['restart-runtime containerd.service']);
  });

  test('younger than four minutes: wait', () => {
    const young = snapshotOf({
      errors: [nameHeld('web', 0, idOf('hidden'), span(60, 4))],
      more: { processes: known({ holders: [cni] }) },
    });
    assert.deepEqual(planned(young, ['safe', 'disruptive']), []);
    assert.match(makePlan(young, { allow: ['safe'], only: [] }).refusals[0]?.reason ?? '', /4 minutes/);
  });

  test('a holder that the runtime has finished or removed since hangs nowhere', () => {
    assert.deepEqual(codesOf(snapshotOf({ errors, runtimeLog: { settledIds: [idOf('hidden')] } })), []);
    assert.deepEqual(
      codesOf(snapshotOf({ errors: [nameHeld('web', 0, idOf('hidden'), span(400, 60))], runtimeLog: null })),
      [],
    );
  });
});

describe('SW104 half-created', () => {
  test('the half-created one goes, not the old one that has records', () => {
    const old = sandbox('web', 0, 'notready', -4_000);
    const half = { ...sandbox('web', 1, 'notready', 0), createdAtNs: -6_795_364_578_871_345_152n };
    const snapshot = snapshotOf({
      sandboxes: [old, half],
      containers: [container(old, { exit: lostAtPowerCut() })],
      errors: [nameHeld('web', 1, half.id)],
    });
    assert.deepEqual(codesOf(snapshot), ['SW104 error', 'SW108 info']);
    assert.deepEqual(planned(snapshot), ['remove-sandbox default/web/1']);
  });
});

describe('SW105, SW701: the runtime is down', () => {
  const down = {
    runtime: unknown('ERR_SOCKET_REFUSED', 'nobody listens at the socket'),
    sandboxes: unknown('ERR_SOCKET_REFUSED', 'x'),
  };
  const name = 'web_default_uid-web_0';
  const duplicate = {
    kind: 'sandbox' as const,
    name,
    holderId: idOf('first'),
    text: 'failed to recover state',
    ...span(50, 5),
  };

  test('duplicates are reported and not touched', () => {
    const snapshot = snapshotOf({ runtimeLog: { duplicates: [duplicate] }, more: down });
    assert.deepEqual(codesOf(snapshot), ['SW105 error', 'SW701 error']);
    assert.match(diagnose(snapshot).verdict, /two records on its disk have one name/);
    assert.deepEqual(planned(snapshot, ['safe', 'disruptive', 'destructive']), []);
  });

  test('a runtime that answers has recovered: old fatal lines are history', () => {
    assert.deepEqual(codesOf(snapshotOf({ runtimeLog: { duplicates: [duplicate] } })), []);
  });

  test('refused, hung and initialising are errors; no socket on a machine without kubelet is nothing to observe', () => {
    for (const code of ['ERR_SOCKET_REFUSED', 'ERR_SOCKET_HUNG', 'ERR_RUNTIME_NOT_READY'] as const) {
      assert.deepEqual(codesOf(snapshotOf({ more: { ...down, runtime: unknown(code, 'why') } })), ['SW701 error']);
    }
    const missing = { ...down, runtime: unknown('ERR_SOCKET_MISSING', 'no socket') };
    assert.equal(diagnose(snapshotOf({ kubeletRunning: false, more: missing })).state, 'unobservable');
    assert.equal(diagnose(snapshotOf({ kubeletRunning: true, more: missing })).state, 'errors');
  });
});

describe('SW106, SW107: stopping fails', () => {
  const dead = sandbox('web', 0, 'notready', -4_000);
  const error = 'failed to destroy network for sandbox "x": plugin type="multus" failed (delete): boom';

  test('a stop that fails in the sync of a pod blocks it; nothing is removed', () => {
    const stopFailed = [{ during: 'sync' as const, sandboxId: dead.id, podUid: dead.uid, error, ...span(60, 5) }];
    const snapshot = snapshotOf({ sandboxes: [dead], log: { stopFailed } });
    assert.deepEqual(codesOf(snapshot), ['SW106 error', 'SW108 info']);
    assert.match(diagnose(snapshot).findings[0]?.why ?? '', /The CNI plugin multus fails at DEL/);
    assert.deepEqual(planned(snapshot, ['safe', 'disruptive']), []);
  });

  test("CNI's note that a power cut left empty: the file is named", () => {
    // As containerd 1.7 said it in the virtual machine, after a cut within seconds of the pod's start.
    const cutOff =
      `rpc error: code = Unknown desc = failed to destroy network for sandbox "${dead.id}": failed to get network "lab" ` +
      'cached result: decoding version from network config: unexpected end of JSON input';
    const stopFailed = [
      { during: 'sync' as const, sandboxId: dead.id, podUid: dead.uid, error: cutOff, ...span(60, 5) },
    ];
    const [finding] = diagnose(snapshotOf({ sandboxes: [dead], log: { stopFailed } })).findings;
    assert.match(finding?.why ?? '', /note of the pod's address was cut off/);
    assert.equal(finding?.remedy.command, `find /var/lib/cni/results -name '*-${dead.id}-*' -delete`);
  });

  test('garbage that stays for more than two cycles, with its reason', () => {
    const next = sandbox('web', 1, 'ready', -500);
    const stopFailed = [{ during: 'gc' as const, sandboxId: dead.id, error, ...span(300, 20) }];
    const snapshot = snapshotOf({ sandboxes: [dead, next], containers: [container(next)], log: { stopFailed } });
    assert.deepEqual(codesOf(snapshot), ['SW107 warning', 'SW108 info']);
  });

  test('not while it holds containers, not within two cycles, not where it is the newest', () => {
    const next = sandbox('web', 1, 'ready', -500);
    const cases = [
      snapshotOf({ sandboxes: [dead, next], containers: [container(next), container(dead)] }),
      snapshotOf({ sandboxes: [dead, sandbox('web', 1, 'ready', -100)], containers: [] }),
      snapshotOf({ sandboxes: [dead] }),
    ];
    for (const snapshot of cases) assert.deepEqual(codesOf(snapshot), ['SW108 info']);
  });
});

describe('SW109 container-name-held', () => {
  const asked = { container: 'c', name: 'web', namespace: 'default', uid: 'uid-web', attempt: 1 };

  test('a dead container from the future makes kubelet ask for a count that is taken', () => {
    const ghost = sandbox('web', 0, 'notready', 7_000);
    const living = sandbox('web', 1, 'ready', -50);
    const old = container(ghost, { attempt: 0, exit: lostAtPowerCut() });
    const now = container(living, { attempt: 1, state: 'exited', id: idOf('holder') });
    const errors = [nameHeld('web', 1, now.id, { kind: 'container', asked } as never)];
    const snapshot = snapshotOf({ sandboxes: [ghost, living], containers: [old, now], errors, kubelet: 'v1.35.0' });
    assert.deepEqual(codesOf(snapshot), ['SW109 error', 'SW102 info', 'SW202 info']);
    assert.deepEqual(planned(snapshot), ['remove-sandbox default/web/0']);
  });

  test('a holder that no list shows is a CreateContainer that hangs: nothing is removed', () => {
    const living = sandbox('web', 1, 'ready', -50);
    const errors = [nameHeld('web', 1, idOf('hidden'), { kind: 'container', asked } as never)];
    const snapshot = snapshotOf({ sandboxes: [living], errors, kubelet: 'v1.35.0' });
    assert.deepEqual(codesOf(snapshot), ['SW109 error']);
    assert.deepEqual(planned(snapshot, ['safe', 'disruptive']), []);
  });
});

describe('SW702, SW703 and the healthy node', () => {
  const runtime = (more: object) => {
    const base = snapshotOf({}).runtime;
    if (!base.known) throw new Error('the builder gives a runtime');
    return known({ ...base.value, ...more });
  };

  test('slow calls', () => {
    assert.deepEqual(codesOf(snapshotOf({ more: { runtime: runtime({ latencyMs: { ListPodSandbox: 3_000 } }) } })), [
      'SW702 warning',
    ]);
    assert.deepEqual(codesOf(snapshotOf({ more: { runtime: runtime({ latencyMs: { ListPodSandbox: 9_000 } }) } })), [
      'SW702 error',
    ]);
  });

  test('network not ready', () => {
    const snapshot = snapshotOf({
      more: { runtime: runtime({ networkReady: false, networkMessage: 'cni plugin not initialized' }) },
    });
    assert.deepEqual(codesOf(snapshot), ['SW703 error']);
  });

  test('a power cut with a right clock: nothing wrong, nothing done', () => {
    const old = sandbox('web', 0, 'notready', -4_000);
    const living = sandbox('web', 1, 'ready', -500);
    const snapshot = snapshotOf({ sandboxes: [old, living], containers: [container(old), container(living)] });
    const diagnosis = diagnose(snapshot);
    assert.equal(diagnosis.state, 'healthy');
    assert.equal(diagnosis.verdict, 'Healthy: 1 pod has its sandbox; 1 NotReady sandbox is a normal leftover.');
    assert.deepEqual(planned(snapshot, ['safe', 'disruptive']), []);
  });

  test('unknown is never healthy', () => {
    const log = unknown('ERR_COMMAND_MISSING', 'journalctl is not there', 'pass --kubelet-log');
    assert.equal(diagnose(snapshotOf({ more: { kubeletLog: log } })).state, 'warnings');
    assert.equal(diagnose(snapshotOf({ more: { sandboxes: unknown('ERR_CRI_FAILED', 'x') } })).state, 'unobservable');
  });
});

describe('the catalogue', () => {
  test('codes are unique, in order, and found in any writing', () => {
    const codes = catalogue.map((each) => each.code);
    assert.deepEqual(codes, [...new Set(codes)].sort());
    assert.equal(ruleOf('sw102')?.name, 'ghost-from-the-future');
    assert.equal(ruleOf('ghost-from-the-future')?.code, 'SW102');
    assert.equal(ruleOf('SW999'), undefined);
  });

  test('each has its words', () => {
    for (const each of catalogue) {
      assert.match(each.code, /^SW\d{3}$/);
      assert.match(each.name, /^[a-z]+(-[a-z]+)*$/);
      assert.ok(each.explanation.length > 100 && each.says && each.evidence && each.sources.length > 0, each.code);
    }
  });
});

describe('a creation that a crash cut short', () => {
  const old = sandbox('web', 0, 'notready', -4_000);
  const cut = { ...sandbox('web', 1, 'notready', 0), createdAtNs: -6_795_364_578_871_345_152n };
  const on = (version: string) => {
    const base = snapshotOf({ sandboxes: [old, cut], pods: [pod('web')] });
    return base.runtime.known ? { ...base, runtime: known({ ...base.runtime.value, version }) } : base;
  };

  test('holds its name on containerd 1.6, and not on 2.1, where nothing is blocked', () => {
    assert.deepEqual(planned(on('1.6.20~ds1')), ['remove-sandbox default/web/1']);
    assert.deepEqual(planned(on('2.1.9'), ['safe', 'disruptive']), []);
  });
});
