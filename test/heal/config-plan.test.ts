// Goal: what heal --allow=disruptive plans for the runtime's configuration, the boot's order and empty slices, and what
// it leaves to a person. Method: snapshots by hand, with files in memory.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { sha256Of } from '../../src/heal/backups.ts';
import { type Material, orderPath } from '../../src/heal/material.ts';
import type { FileNow } from '../../src/heal/node-changes.ts';
import { makePlan, type PlanOptions } from '../../src/heal/plan.ts';
import { known, valueOr } from '../../src/model/observed.ts';
import type { Plan } from '../../src/model/plan.ts';
import type { ConfigWriter, KubeletConfigFacts, RuntimeConfigFacts } from '../../src/model/runtime-config.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { readCgroups } from '../../src/observe/cgroup/cgroups.ts';
import { container, sandbox, seconds, snapshotOf } from '../diagnose/build.ts';
import { fakeTree } from '../helpers/fake-node-tree.ts';
import { configOfFiles } from '../helpers/recorded-config.ts';

const main = '/etc/containerd/config.toml';
const cri2 = 'plugins."io.containerd.grpc.v1.cri"';
const off = `version = 2\n[${cri2}.containerd.runtimes.runc.options]\n  SystemdCgroup = false\n`;
const on = off.replace('false', 'true');
const disruptive: PlanOptions = { allow: ['safe', 'disruptive'], only: [] };
const safe: PlanOptions = { allow: ['safe'], only: [] };

interface Spec {
  readonly live: boolean;
  readonly config: RuntimeConfigFacts;
  readonly unit?: string;
  readonly kubelet?: Partial<KubeletConfigFacts>;
}

function node({ live, config, unit = 'containerd.service', kubelet = {} }: Spec): Snapshot {
  const pod = sandbox('web', 0, 'ready', -100);
  const plain = snapshotOf({ sandboxes: [pod], containers: [container(pod)], kubelet: 'v1.30.1' });
  const runtime = valueOr(plain.runtime, undefined);
  assert.ok(runtime);
  const handlers = [{ name: 'runc', runtimeType: 'io.containerd.runc.v2', systemdCgroup: live }];
  const drivers = [{ driver: 'systemd', from: 'file' as const }];
  return {
    ...plain,
    runtime: known({ ...runtime, handlers, defaultHandler: 'runc' }),
    runtimeUnit: known({ name: unit, activeState: 'active', subState: 'running' }),
    runtimeConfig: known(config),
    kubeletConfig: known({ files: [], drivers, onDisk: ['systemd'], ...kubelet }),
    processes: known({ holders: [], runtimePid: 360, runtimeStartedUptimeNs: seconds(15) }),
  };
}

function file(text: string): FileNow {
  const content = Buffer.from(text);
  return { kind: 'file', content, identity: { sha256: sha256Of(content), mode: 0o640, uid: 1, gid: 2 } };
}

function material(files: Readonly<Record<string, string | FileNow>>, more: Partial<Material> = {}): Material {
  const entries = Object.entries(files).map(
    ([path, now]) => [path, typeof now === 'string' ? file(now) : now] as const,
  );
  return { files: new Map(entries), kubeletUnit: 'kubelet.service', allowedCpus: new Map(), ...more };
}

const done = ({ actions }: Plan) => actions.map((each) => `${each.kind} ${each.target} ${each.code} ${each.tier}`);
const refused = ({ refusals }: Plan) =>
  refusals
    .filter((each) => each.code !== 'SW108')
    .map((each) => `${each.object}: ${each.reason} ${each.lift ?? ''}`.trim());

describe('SystemdCgroup', () => {
  test('the file, then the runtime, then kubelet, with the diff and what it does to the pods', async () => {
    const config = await configOfFiles({ [main]: off }, '1.7.24');
    const plan = makePlan(node({ live: false, config }), disruptive, material({ [main]: off }));
    assert.deepEqual(done(plan), [
      `write-config ${main} SW503 disruptive`,
      'restart-runtime containerd.service SW503 disruptive',
      'restart-kubelet kubelet.service SW503 disruptive',
    ]);
    const [write, runtime, kubelet] = plan.actions;
    assert.match(write?.diff ?? '', /\n- {2}SystemdCgroup = false\n\+ {2}SystemdCgroup = true\n/);
    assert.match(runtime?.expects ?? '', /the 1 running pod stays up, outside of their slices/);
    assert.match(kubelet?.expects ?? '', /killed and made anew once more/);
    assert.deepEqual(plan.pods, ['default/web']);
    const guard = write?.guard;
    assert.ok(guard?.kind === 'write-config');
    const before = { sha256: sha256Of(off), mode: 0o640, uid: 1, gid: 2 };
    assert.deepEqual(guard.files, [{ path: main, before, after: { ...before, sha256: sha256Of(on) }, folders: [] }]);
    assert.deepEqual(
      [guard.dump, guard.restarts],
      [{ file: main, on: ['runc'] }, ['containerd.service', 'kubelet.service']],
    );
    assert.equal(write?.contents?.get(main), on);
  });

  test('not allowed: it says what it would do', async () => {
    const config = await configOfFiles({ [main]: off }, '1.7.24');
    const plan = makePlan(node({ live: false, config }), safe, material({ [main]: off }));
    assert.deepEqual(done(plan), []);
    const would = `would write SystemdCgroup = true into ${main} and restart containerd.service, then kubelet.service`;
    assert.deepEqual(refused(plan), [`${main}: ${would} --allow=disruptive`]);
    assert.deepEqual(
      done(makePlan(node({ live: false, config }), disruptive)),
      [],
      'without material nothing is planned',
    );
  });

  test('right in the files: the restarts alone; in force and off in the files: the file alone', async () => {
    const right = await configOfFiles({ [main]: on }, '1.7.24');
    const restarts = makePlan(node({ live: false, config: right }), disruptive, material({ [main]: on }));
    assert.deepEqual(
      restarts.actions.map((each) => each.kind),
      ['restart-runtime', 'restart-kubelet'],
    );
    const wrong = await configOfFiles({ [main]: off }, '1.7.24');
    const write = makePlan(node({ live: true, config: wrong }), disruptive, material({ [main]: off }));
    assert.deepEqual(done(write), [`write-config ${main} SW505 disruptive`]);
    assert.match(write.actions[0]?.expects ?? '', /nothing is restarted/);
  });

  test('--only names another finding: nothing', async () => {
    const config = await configOfFiles({ [main]: off }, '1.7.24');
    const only = { ...disruptive, only: [{ code: 'SW102' }] };
    assert.deepEqual(makePlan(node({ live: false, config }), only, material({ [main]: off })).actions, []);
  });

  test('k3s: the template is changed and its one unit restarted; no dump can be asked', async () => {
    const folder = '/var/lib/rancher/k3s/agent/etc/containerd';
    const [generated, template] = [`${folder}/config.toml`, `${folder}/config.toml.tmpl`];
    const config = { ...(await configOfFiles({ [generated]: off }, '1.7.24', generated)), template };
    const files = material(
      { [generated]: off, [template]: `{{ template "base" . }}\n${off}` },
      { kubeletUnit: 'k3s.service' },
    );
    const plan = makePlan(node({ live: false, config, unit: 'k3s.service' }), disruptive, files);
    assert.deepEqual(done(plan), [
      `write-config ${generated} SW503 disruptive`,
      'restart-runtime k3s.service SW503 disruptive',
    ]);
    const guard = plan.actions[0]?.guard;
    assert.ok(guard?.kind === 'write-config' && guard.dump === undefined);
    assert.equal(plan.actions[0]?.contents?.get(template), `{{ template "base" . }}\n${on}`);
  });

  test('left to a person', async () => {
    const config = await configOfFiles({ [main]: off }, '1.7.24');
    const spec = { live: false, config };
    const reason = (snapshot: Snapshot, files = material({ [main]: off })) => {
      const plan = makePlan(snapshot, disruptive, files);
      assert.deepEqual(done(plan), []);
      return refused(plan).join();
    };
    const link: FileNow = { kind: 'other', why: 'it is a link to /nix/store/x' };
    assert.match(reason(node(spec), material({ [main]: link })), /left to a person|only a person/);
    const { kubeletUnit: _, ...nobody } = material({ [main]: off });
    assert.match(reason(node(spec), nobody), /the unit kubelet runs in is not known/);
    const crio = { ...config, rule: 'cri-o' as const };
    assert.match(reason(node({ ...spec, config: crio })), /CRI-O has no way to try a file/);
    const refusedFiles = { ...config, dump: { refusal: 'no such table' } };
    assert.match(reason(node({ ...spec, config: refusedFiles })), /would not start with its files as they are/);
    const drivers = [{ driver: 'cgroupfs', from: 'file' as const }];
    assert.match(reason(node({ ...spec, kubelet: { drivers } })), /its restart would change it/);
  });

  test('a kubelet that was not restarted after the runtime, by a run that was cut off', async () => {
    const config = await configOfFiles({ [main]: on }, '1.7.24');
    const owed = { unit: 'kubelet.service', code: 'SW503', sinceUptimeNs: seconds(30) };
    const healthy = node({ live: true, config });
    assert.deepEqual(done(makePlan(healthy, disruptive, material({ [main]: on }, { owed }))), [
      'restart-kubelet kubelet.service SW503 disruptive',
    ]);
    const restarted = { ...owed, sinceUptimeNs: seconds(10) };
    assert.deepEqual(done(makePlan(healthy, disruptive, material({ [main]: on }, { owed: restarted }))), []);
  });
});

describe('the order at boot', () => {
  const nothing: FileNow = { kind: 'nothing', missing: ['/etc/systemd/system/containerd.service.d'] };
  const path = orderPath('containerd.service');
  const writer: ConfigWriter = {
    unit: 'setup.service',
    how: 'its command names it',
    orderedBefore: false,
    orderedAfter: false,
    startsUnits: false,
    runtimeUnit: 'containerd.service',
    startedUs: 9_000_000n,
    doneUs: 12_000_000n,
    runtimeStartedUs: 8_000_000n,
  };
  const planFor = async (
    writers: readonly ConfigWriter[],
    options: PlanOptions = disruptive,
    drop: string | FileNow = nothing,
    live = true,
  ) => {
    const config = { ...(await configOfFiles({ [main]: on }, '1.7.24')), writers };
    return makePlan(node({ live, config }), options, material({ [main]: on, [path]: drop }));
  };

  test('a drop-in with After=, its folder made with it, and nothing restarted', async () => {
    const plan = await planFor([writer, { ...writer, unit: 'tool.service' }]);
    assert.deepEqual(done(plan), [`order-unit ${path} SW507 disruptive`]);
    const [action] = plan.actions;
    assert.match(action?.contents?.get(path) ?? '', /^\[Unit\]\nAfter=setup\.service tool\.service\n$/m);
    const guard = action?.guard;
    assert.ok(guard?.kind === 'order-unit');
    assert.deepEqual(guard.files[0]?.folders, ['/etc/systemd/system/containerd.service.d']);
    assert.deepEqual(guard.reload, { unit: 'containerd.service', after: ['setup.service', 'tool.service'] });
    assert.match(action?.diff ?? '', /\+After=setup\.service tool\.service/);
  });

  test('what our own drop-in orders already stays in it', async () => {
    const plan = await planFor([writer], disruptive, '[Unit]\nAfter=earlier.service\n');
    assert.match(plan.actions[0]?.contents?.get(path) ?? '', /After=earlier\.service setup\.service\n/);
  });

  test('with the restarts where the old values are in force: the order first', async () => {
    const config = { ...(await configOfFiles({ [main]: on }, '1.7.24')), writers: [writer] };
    const files = material({ [main]: on, [path]: nothing });
    assert.deepEqual(
      makePlan(node({ live: false, config }), disruptive, files).actions.map((each) => each.kind),
      ['order-unit', 'restart-runtime', 'restart-kubelet'],
    );
  });

  test('a race that was won by chance is ordered where it is named', async () => {
    const won = { ...writer, startedUs: 1n, doneUs: 2n };
    assert.deepEqual(done(await planFor([won])), []);
    const named = { ...disruptive, only: [{ code: 'SW507' }] };
    assert.deepEqual(done(await planFor([won], named)), [`order-unit ${path} SW507 disruptive`]);
  });

  test('no circle, and nobody waits for one that waits for it', async () => {
    const circle = [{ ...writer, orderedAfter: true }];
    assert.match(refused(await planFor(circle, disruptive, nothing, false)).join(), /would close a circle/);
    assert.deepEqual(refused(await planFor(circle)), [], 'it made no difference');
    assert.match(refused(await planFor([{ ...writer, startsUnits: true }])).join(), /each could wait for the other/);
    const { startsUnits: _, ...unknown } = writer;
    assert.match(refused(await planFor([unknown])).join(), /nobody can say whether it starts containerd\.service/);
    assert.match(refused(await planFor([writer], safe)).join(), /would order containerd\.service .*--allow=disruptive/);
  });
});

describe('slices that hold nothing', () => {
  const pods = [
    { uid: 'uid-web', qos: 'burstable' as const, populated: false, scopes: [] },
    { uid: 'uid-be', qos: 'burstable' as const, populated: false, scopes: [] },
  ];
  const empty = (): Snapshot => {
    const [web, be] = [sandbox('web', 0, 'ready', -300), sandbox('be', 0, 'ready', -300)];
    const cgroups = known(readCgroups(fakeTree({ pods })));
    return snapshotOf({ sandboxes: [web, be], containers: [container(web), container(be)], more: { cgroups } });
  };

  test('one anchor in the slice above them, for both', () => {
    const plan = makePlan(empty(), disruptive, material({}, { canAnchor: true }));
    assert.deepEqual(done(plan), ['hold-slice kubepods-burstable.slice SW508 disruptive']);
    assert.deepEqual(plan.pods, ['default/be', 'default/web']);
    assert.match(
      refused(makePlan(empty(), safe, material({}, { canAnchor: true }))).join(),
      /hold it with an anchor, for 2/,
    );
  });

  test('a systemd before 244: neither, though its CPUs were told; and where it has no AllowedCPUs, not those', () => {
    const slice = 'kubepods-burstable-poduid_web.slice';
    const old = empty();
    assert.ok(old.cgroups?.known);
    const before = { ...old, cgroups: known({ ...old.cgroups.value, systemdCpuset: false }) };
    const told = material({}, { cpus: '0-3', allowedCpus: new Map([[slice, '']]), canAnchor: true });
    const plan = makePlan(before, disruptive, told);
    assert.deepEqual([done(plan), plan.pods], [[], []]);
    assert.match(refused(plan).join(), /this systemd does not manage cpuset/);
    const untold = makePlan(empty(), disruptive, material({}, { cpus: '0-3', allowedCpus: new Map() }));
    assert.deepEqual(done(untold), []);
    assert.match(refused(untold).join(), /AllowedCPUs needs systemd 244/);
  });

  test('where no anchor can be made: all CPUs for each pod, unless somebody chose some', () => {
    const slices = ['uid_web', 'uid_be'].map((uid) => `kubepods-burstable-pod${uid}.slice`);
    const allowedCpus = new Map(slices.map((slice) => [slice, '']));
    const plan = makePlan(empty(), disruptive, material({}, { cpus: '0-3', allowedCpus }));
    assert.deepEqual(done(plan).sort(), slices.map((slice) => `set-allowed-cpus ${slice} SW508 disruptive`).sort());
    const chosen = makePlan(
      empty(),
      disruptive,
      material({}, { cpus: '0-3', allowedCpus: new Map([[slices[0] ?? '', '1']]) }),
    );
    assert.deepEqual(done(chosen), []);
    assert.match(
      refused(chosen).join(),
      /has AllowedCPUs=1 already.*systemd did not tell|systemd did not tell.*has AllowedCPUs=1/,
    );
  });
});
