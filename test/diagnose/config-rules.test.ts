import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { CgroupDriver } from '../../src/model/cgroups.ts';
import type { Finding } from '../../src/model/finding.ts';
import { known, valueOr } from '../../src/model/observed.ts';
import type { ConfigWriter, KubeletConfigFacts, RuntimeConfigFacts } from '../../src/model/runtime-config.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { decodeSnapshot, encodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { configOfFiles, recordedConfig } from '../helpers/recorded-config.ts';
import { readRecording, recordings } from '../helpers/recording.ts';
import { container, sandbox, seconds, snapshotOf } from './build.ts';

/** SW503 to SW507: who makes the cgroups, by what is in force and by what the files give. */

const main = '/etc/containerd/config.toml';
const cri2 = 'plugins."io.containerd.grpc.v1.cri"';
const cri3 = "plugins.'io.containerd.cri.v1.runtime'";
const off = `version = 2\n[${cri2}.containerd.runtimes.runc.options]\n  SystemdCgroup = false\n`;
const on = off.replace('false', 'true');

interface Spec {
  /** In force, by handler; `runc` is the default. */
  readonly live: Readonly<Record<string, boolean>>;
  readonly config?: RuntimeConfigFacts;
  readonly kubelet: CgroupDriver;
  readonly kubeletConfig?: Partial<KubeletConfigFacts>;
  readonly kubeletVersion?: string;
  readonly told?: CgroupDriver;
  readonly handler?: string;
}

function node(spec: Spec): Snapshot {
  const pod = { ...sandbox('web', 0, 'ready', -100), runtimeHandler: spec.handler ?? '' };
  const plain = snapshotOf({
    sandboxes: [pod],
    containers: [container(pod)],
    kubelet: spec.kubeletVersion ?? 'v1.30.1',
  });
  const runtime = valueOr(plain.runtime, undefined);
  assert.ok(runtime);
  return {
    ...plain,
    runtime: known({
      ...runtime,
      handlers: Object.entries(spec.live).map(([name, systemdCgroup]) => {
        return { name, runtimeType: `io.containerd.${name === 'kata' ? 'kata' : 'runc'}.v2`, systemdCgroup };
      }),
      defaultHandler: 'runc',
      ...(spec.told ? { cgroupDriver: spec.told } : {}),
    }),
    kubeletConfig: known({
      files: [],
      drivers: [{ driver: spec.kubelet, from: 'file', at: { file: '/var/lib/kubelet/config.yaml', line: 7 } }],
      onDisk: [spec.kubelet],
      ...spec.kubeletConfig,
    }),
    ...(spec.config ? { runtimeConfig: known(spec.config) } : {}),
    processes: known({ holders: [], runtimePid: 360, runtimeStartedUptimeNs: seconds(15) }),
  };
}

function found(snapshot: Snapshot): Finding[] {
  return diagnose(snapshot).findings.filter((each) => /^SW50[3-7]$/.test(each.code));
}

function said(findings: readonly Finding[]): string[] {
  return findings.map((each) => `${each.code} ${each.severity} ${each.object.name} ${each.pods.join()}`.trim());
}

function evidence(finding: Finding | undefined): string {
  return (finding?.evidence ?? []).map((each) => each.text).join('\n');
}

describe('recordings', () => {
  test('cgroup-flapping: SW503 names the handler, the line, and the pods', async () => {
    const config = await recordedConfig('cgroup-flapping');
    const findings = found({ ...readRecording('cgroup-flapping'), runtimeConfig: known(config) });
    assert.deepEqual(said(findings), ['SW503 error runc default/be,default/web']);
    assert.match(evidence(findings[0]), /config\.toml:10: SystemdCgroup = false/);
  });

  for (const name of recordings.filter((each) => each !== 'cgroup-flapping')) {
    test(`${name}: no finding`, async () => {
      const config = await recordedConfig(name);
      assert.deepEqual(found({ ...readRecording(name), runtimeConfig: known(config) }), []);
    });
  }

  for (const name of recordings) {
    test(`${name}: our merge is what its own containerd dumped`, async () => {
      const config = await recordedConfig(name);
      assert.ok(config.settings && config.dump && 'settings' in config.dump);
      const plain = config.settings.handlers.map(({ at: _, ...rest }) => rest);
      assert.deepEqual(plain, config.dump.settings.handlers);
    });
  }
});

describe('SW503', () => {
  test('a handler nobody uses is no error, and one of a VM is none at all', async () => {
    const config = await configOfFiles({ [main]: on }, '1.7.24');
    const findings = found(node({ live: { runc: true, nvidia: false, kata: false }, config, kubelet: 'systemd' }));
    assert.deepEqual(said(findings), ['SW503 info nvidia']);
  });

  test('the handler of the pod counts, not the default', async () => {
    const config = await configOfFiles({ [main]: on }, '1.7.24');
    const findings = found(
      node({ live: { runc: true, nvidia: false }, config, kubelet: 'systemd', handler: 'nvidia' }),
    );
    assert.deepEqual(said(findings), ['SW503 error nvidia default/web']);
  });

  test('both cgroupfs: nothing', () => {
    assert.deepEqual(found(node({ live: { runc: false }, kubelet: 'cgroupfs' })), []);
  });

  test('without knowledge of kubelet nothing is said', () => {
    const { kubeletConfig: _, ...rest } = node({ live: { runc: false }, kubelet: 'systemd' });
    assert.deepEqual(found(rest), []);
  });
});

test('a systemd that did not tell who writes is among what was not seen', async () => {
  const config = await configOfFiles({ [main]: on }, '1.7.24');
  const writersUnknown = { message: 'systemctl show failed: no end after 40 s', hint: 'see what it says' };
  const gaps = (more: Partial<RuntimeConfigFacts>) => {
    const snapshot = node({ live: { runc: true }, config: { ...config, ...more }, kubelet: 'systemd' });
    assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot);
    return diagnose(snapshot).gaps.filter((each) => each.source === 'runtimeConfig');
  };
  assert.deepEqual(gaps({}), []);
  assert.deepEqual(gaps({ writers: [] }), []);
  const [gap] = gaps({ writersUnknown });
  assert.match(gap?.message ?? '', /^which units write .* \(SW507\): systemctl show failed/);
  assert.equal(gap?.hint, writersUnknown.hint);
});

test('a snapshot file keeps both sources', async () => {
  const config = await configOfFiles({ [main]: on }, '1.7.24');
  const writers = [{ unit: 'a', how: 'b', orderedBefore: false, runtimeUnit: 'c', startedUs: 1n }];
  const files = config.files.map((each) => ({ ...each, modifiedNs: 5n }));
  const snapshot = node({ live: { runc: false }, config: { ...config, files, writers }, kubelet: 'systemd' });
  assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot);
  const refused = await configOfFiles({ [main]: 'version = ' }, '2.1.9');
  const other = node({ live: {}, config: { ...refused, dump: { refusal: 'no' } }, kubelet: 'cgroupfs' });
  assert.deepEqual(decodeSnapshot(encodeSnapshot(other)), other);
});

describe('SW504', () => {
  test('kubelet cgroupfs, runtime systemd: every new pod is refused', () => {
    const findings = found(node({ live: { runc: true }, kubelet: 'cgroupfs' }));
    assert.deepEqual(said(findings), ['SW504 error cgroup driver']);
    assert.match(findings[0]?.remedy.text ?? '', /set cgroupDriver: systemd/);
  });

  test('kubelet would ask: its restart mends it', () => {
    const snapshot = node({ live: { runc: true }, kubelet: 'cgroupfs', kubeletVersion: 'v1.34.0', told: 'systemd' });
    assert.equal(found(snapshot)[0]?.remedy.command, 'systemctl restart kubelet.service');
  });

  test('kubelet would not ask before 1.31, or with the gate off: its files count', () => {
    for (const spec of [
      { kubeletVersion: 'v1.30.9' },
      { kubeletVersion: 'v1.32.1', kubeletConfig: { asksRuntime: false } },
    ]) {
      const snapshot = node({ live: { runc: true }, kubelet: 'systemd', told: 'cgroupfs', ...spec });
      assert.deepEqual(found(snapshot), []);
    }
    const asks = node({ live: { runc: true }, kubelet: 'systemd', told: 'cgroupfs', kubeletVersion: 'v1.32.1' });
    assert.deepEqual(said(found(asks)), ['SW504 warning cgroup driver']);
  });

  test("kubelet's file was changed under it", () => {
    const drivers = [{ driver: 'cgroupfs', from: 'file', at: { file: '/k.yaml', line: 3 } }] as const;
    const findings = found(node({ live: { runc: true }, kubelet: 'systemd', kubeletConfig: { drivers } }));
    assert.deepEqual(said(findings), ['SW504 warning cgroup driver']);
    assert.match(evidence(findings[0]), /cgroupDriver cgroupfs: its file \(\/k\.yaml:3\)/);
  });
});

describe('SW505', () => {
  test('right in the files, wrong in force: an error with the pods, beside SW503', async () => {
    const config = await configOfFiles({ [main]: on }, '1.7.24');
    const findings = found(node({ live: { runc: false }, config, kubelet: 'systemd' }));
    assert.deepEqual(said(findings), ['SW503 error runc default/web', 'SW505 error containerd.service default/web']);
    assert.match(evidence(findings[1]), /SystemdCgroup of runc: false in force, true by .*config\.toml:3/);
    assert.match(findings[0]?.remedy.text ?? '', /its files have it right by now/);
  });

  test('written again with the same content: nothing', async () => {
    const config = await configOfFiles({ [main]: on }, '1.7.24');
    const files = config.files.map((each) => ({ ...each, modifiedNs: 1n << 62n }));
    assert.deepEqual(found(node({ live: { runc: true }, config: { ...config, files }, kubelet: 'systemd' })), []);
  });

  test("the runtime's own view goes before ours", async () => {
    const config = await configOfFiles({ [main]: off }, '1.7.24');
    const dump = { settings: { handlers: [{ name: 'runc', systemdCgroup: true }], defaultHandler: 'runc' } };
    assert.deepEqual(found(node({ live: { runc: true }, config: { ...config, dump }, kubelet: 'systemd' })), []);
  });

  test('a file that would be refused', async () => {
    const config = await configOfFiles({ [main]: `${on}  SystemdCgroup = false\n` }, '1.7.24');
    const findings = found(node({ live: { runc: true }, config, kubelet: 'systemd' }));
    assert.deepEqual(said(findings), [`SW505 warning ${main}`]);
    assert.match(evidence(findings[0]), /config\.toml:4: it is no valid TOML/);
  });
});

describe('SW506', () => {
  test('1.7: an import that mentions the plugin wipes its table', async () => {
    const files = {
      [main]: on.replace('version = 2', 'version = 2\nimports = ["conf.d/*.toml"]'),
      '/etc/containerd/conf.d/registry.toml': `[${cri2}.registry]\n  config_path = "/etc/containerd/certs.d"\n`,
    };
    const config = await configOfFiles(files, '1.7.24');
    const findings = found(node({ live: { runc: false }, config, kubelet: 'systemd' }));
    assert.deepEqual(said(findings), [
      'SW503 error runc default/web',
      'SW506 warning /etc/containerd/conf.d/registry.toml:1',
    ]);
    assert.match(evidence(findings[1]), /config\.toml:4: runtimes\.runc\.options\.SystemdCgroup = true does not count/);
    const newer = await configOfFiles(files, '2.1.9');
    assert.deepEqual(newer.lost, []);
  });

  test('2.1: a version 2 section under version 3', async () => {
    const config = await configOfFiles({ [main]: on.replace('version = 2', 'version = 3') }, '2.1.9');
    const findings = found(node({ live: { runc: false }, config, kubelet: 'systemd' }));
    assert.deepEqual(said(findings), ['SW503 error runc default/web', `SW506 warning ${main}:1`]);
    assert.match(evidence(findings[1]), /config\.toml:3: .* does not count; false does/);
    const each = await configOfFiles({ [main]: on.replace('version = 2', 'version = 3') }, '2.3.0');
    assert.deepEqual(each.lost, []);
  });

  test('a later file that says it anew is no surprise', async () => {
    for (const version of ['1.7.24', '2.1.9']) {
      const first = on.replace('version = 2', 'version = 2\nimports = ["b.toml"]');
      const config = await configOfFiles({ [main]: first, '/etc/containerd/b.toml': off }, version);
      assert.deepEqual(config.lost, []);
      assert.equal(config.settings?.handlers[0]?.systemdCgroup, false);
    }
  });

  test('version 4 of 2.3 has the table of version 3, and 2.1 refuses it', async () => {
    const text = `version = 4\n[${cri3}.containerd.runtimes.runc.options]\nSystemdCgroup = true\n`;
    assert.equal((await configOfFiles({ [main]: text }, '2.3.1')).settings?.handlers[0]?.systemdCgroup, true);
    assert.match((await configOfFiles({ [main]: text }, '2.1.9')).refusal?.text ?? '', /reads up to 3/);
  });
});

describe('SW507', () => {
  const writer: ConfigWriter = {
    unit: 'nodeadm-config.service',
    how: 'nodeadm writes the configuration of containerd',
    orderedBefore: false,
    runtimeUnit: 'containerd.service',
    startedUs: 16_000_000n,
    doneUs: 18_000_000n,
    runtimeStartedUs: 15_000_000n,
  };
  const withWriter = async (more: Partial<ConfigWriter>, live: boolean) => {
    const config = { ...(await configOfFiles({ [main]: on }, '1.7.24')), writers: [{ ...writer, ...more }] };
    return found(node({ live: { runc: live }, config, kubelet: 'systemd' })).filter((each) => each.code === 'SW507');
  };

  test('lost, and it made a difference: an error', async () => {
    assert.deepEqual(said(await withWriter({}, false)), ['SW507 error nodeadm-config.service']);
  });
  test('lost without a difference: a warning; won by luck: said', async () => {
    assert.deepEqual(said(await withWriter({}, true)), ['SW507 warning nodeadm-config.service']);
    assert.deepEqual(said(await withWriter({ startedUs: 1n, doneUs: 9n }, true)), [
      'SW507 info nodeadm-config.service',
    ]);
  });
  test('ordered after the runtime: said only where it made a difference', async () => {
    assert.deepEqual(said(await withWriter({ orderedAfter: true }, false)), ['SW507 error nodeadm-config.service']);
    assert.deepEqual(said(await withWriter({ orderedAfter: true }, true)), []);
  });
  test('ordered, or not run in this boot: nothing', async () => {
    assert.deepEqual(await withWriter({ orderedBefore: true }, false), []);
    const { startedUs: _, doneUs: __, ...idle } = writer;
    const config = { ...(await configOfFiles({ [main]: on }, '1.7.24')), writers: [idle] };
    assert.deepEqual(found(node({ live: { runc: true }, config, kubelet: 'systemd' })), []);
  });
});
