import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';
import { SandwardenError } from '../../../src/model/errors.ts';
import { known, unknown } from '../../../src/model/observed.ts';
import { run } from '../../../src/observe/child.ts';
import { observeKubeletConfig } from '../../../src/observe/config/kubelet.ts';
import { flagValue } from '../../../src/observe/config/process-files.ts';
import { observeRuntimeConfig } from '../../../src/observe/config/runtime.ts';
import { observeWriters, orderedBefore, parseUnits } from '../../../src/observe/config/writers.ts';
import { KubeletLogReader } from '../../../src/observe/kubelet-log.ts';
import { tempDir } from '../../helpers/temp.ts';

/** The sources over a made-up root: a process with its command line, and its files. */

async function rootWith(files: Readonly<Record<string, string>>, links: Readonly<Record<string, string>> = {}) {
  const root = await tempDir();
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(root.join(path)), { recursive: true });
    await writeFile(root.join(path), text);
  }
  for (const [path, to] of Object.entries(links)) {
    await mkdir(dirname(root.join(path)), { recursive: true });
    await symlink(to, root.join(path));
  }
  return root;
}

const noRun = async () => Promise.reject(new Error('nothing is run here'));
const kubelet = known({ running: true, pid: 376, comm: 'kubelet' });

describe('flagValue', () => {
  test('the forms of Go', () => {
    assert.equal(flagValue(['containerd', '-c', '/a'], 'config', 'c'), '/a');
    assert.equal(flagValue(['containerd', '--config=/a', '-config', '/b'], 'config', 'c'), '/b');
    assert.equal(flagValue(['/c', '--', '-c', '/a'], 'c'), undefined);
    assert.equal(flagValue(['x', '-c'], 'c'), undefined);
  });
});

describe('kubelet', () => {
  test('default, file, drop-in, flag: the last one counts', async () => {
    await using root = await rootWith(
      {
        '/proc/376/cmdline': 'kubelet\0--config=/k.yaml\0--config-dir\0/k.d\0--cgroup-driver=cgroupfs\0',
        '/k.yaml':
          'kind: KubeletConfiguration\ncgroupDriver: systemd\nfeatureGates:\n  KubeletCgroupDriverFromCRI: false\n',
        '/k.d/10.conf': 'cgroupRoot: /foo-x\n',
        '/k.d/20.conf': '# last\n\ncgroupDriver: systemd\n',
        '/k.d/README': 'cgroupDriver: nonsense\n',
        '/sys/fs/cgroup/foo_x.slice/foo_x-kubepods.slice/x': '',
      },
      { '/proc/376/cwd': '/' },
    );
    const seen = await observeKubeletConfig(kubelet, root.path);
    assert.ok(seen.known);
    assert.deepEqual(seen.value.drivers, [
      { driver: 'cgroupfs', from: 'default' },
      { driver: 'systemd', from: 'file', at: { file: '/k.yaml', line: 2 } },
      { driver: 'systemd', from: 'drop-in', at: { file: '/k.d/20.conf', line: 3 } },
      { driver: 'cgroupfs', from: 'flag' },
    ]);
    assert.equal(seen.value.asksRuntime, false);
    assert.deepEqual(seen.value.onDisk, ['systemd']);
  });

  test('a kubelet that is not seen: the tree alone tells', async () => {
    await using root = await rootWith({ '/sys/fs/cgroup/kubepods/x': '' });
    const seen = await observeKubeletConfig(unknown('ERR_NOT_SUPPORTED', 'no'), root.path);
    assert.deepEqual(seen, known({ files: [], drivers: [], onDisk: ['cgroupfs'] }));
  });

  test('k3s: only the flags it hands on', async () => {
    const argv = 'k3s server\0--kubelet-arg=cgroup-driver=systemd\0';
    await using root = await rootWith({ '/proc/9/cmdline': argv });
    const seen = await observeKubeletConfig(known({ running: true, pid: 9, comm: 'k3s-server' }), root.path);
    assert.ok(seen.known);
    assert.deepEqual(seen.value.drivers, [{ driver: 'systemd', from: 'flag' }]);
  });

  test('k3s hides its command line: what it gave to kubelet is in the log', async () => {
    await using root = await rootWith({
      '/proc/9/cmdline': '/usr/local/bin/k3s server\0\0\0',
      '/var/lib/rancher/k3s/agent/etc/kubelet.conf.d/00-k3s-defaults.conf': 'cgroupDriver: systemd\n',
    });
    const collector = new KubeletLogReader(0n);
    const line = (text: string) => `time="2026-05-06T11:05:07Z" level=info msg="${text}"`;
    const folder = '/var/lib/rancher/k3s/agent/etc/kubelet.conf.d';
    for (const flags of ['--cgroup-driver=cgroupfs', `--config-dir=${folder} --kubeconfig=/k --node-labels=`])
      collector.add({ text: line(`Running kubelet --cloud-provider=external ${flags}`) });
    const log = known(collector.result(false));
    assert.deepEqual(log.value.flags, [`--config-dir=${folder}`], 'the last start, and no more than is needed');
    const k3s = known({ running: true, pid: 9, comm: 'k3s-server' });
    const seen = await observeKubeletConfig(k3s, root.path, async () => log);
    assert.ok(seen.known);
    const at = { file: `${folder}/00-k3s-defaults.conf`, line: 1 };
    assert.deepEqual(seen.value.drivers, [{ driver: 'systemd', from: 'drop-in', at }]);
  });

  test('a file that is gone or no YAML is unknown, not the default', async () => {
    for (const text of [undefined, 'cgroupDriver: [', '']) {
      const files = {
        '/proc/376/cmdline': 'kubelet\0--config=/k.yaml\0',
        ...(text === undefined ? {} : { '/k.yaml': text }),
      };
      await using root = await rootWith(files);
      const seen = await observeKubeletConfig(kubelet, root.path);
      assert.equal(seen.known, false, text);
    }
  });
});

describe('runtime', () => {
  const containerd = { name: 'containerd', version: '1.7.24', pid: 360 };

  test('the file of its command line, with no secret of it', async () => {
    const secret = 'hunter2';
    await using root = await rootWith({
      '/proc/360/cmdline': 'containerd\0--config\0/opt/c.toml\0',
      '/opt/c.toml':
        'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\nSystemdCgroup = true\n' +
        `[plugins."io.containerd.grpc.v1.cri".registry.configs."r".auth]\npassword = "${secret}"\n`,
    });
    const seen = await observeRuntimeConfig(containerd, root.path, noRun);
    assert.ok(seen.known);
    assert.equal(seen.value.file, '/opt/c.toml');
    assert.deepEqual(seen.value.settings?.handlers, [
      { name: 'runc', systemdCgroup: true, at: { file: '/opt/c.toml', line: 3 } },
    ]);
    const json = JSON.stringify(seen, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
    assert.ok(!json.includes(secret) && !json.includes('registry'));
  });

  test('without a file: the defaults; k3s: its own place and the template', async () => {
    await using none = await rootWith({ '/proc/360/cmdline': 'containerd\0' });
    const seen = await observeRuntimeConfig(containerd, none.path, noRun);
    assert.ok(seen.known);
    assert.deepEqual([seen.value.file, seen.value.files], ['/etc/containerd/config.toml', []]);
    const folder = '/var/lib/rancher/k3s/agent/etc/containerd';
    await using k3s = await rootWith({
      '/proc/360/cmdline': 'containerd\0',
      [`${folder}/config.toml`]: 'version = 3\n',
      [`${folder}/config-v3.toml.tmpl`]: '',
    });
    const socket = '/run/k3s/containerd/containerd.sock';
    const other = await observeRuntimeConfig(
      { name: 'containerd', version: '2.0.5', socket, pid: 360 },
      k3s.path,
      noRun,
    );
    assert.ok(other.known);
    assert.deepEqual(
      [other.value.file, other.value.template],
      [`${folder}/config.toml`, `${folder}/config-v3.toml.tmpl`],
    );
  });

  test('a runtime that answers from a process nobody can see: the files of another one are not taken for its own', async () => {
    await using root = await rootWith({ '/etc/containerd/config.toml': 'version = 2\n' });
    const seen = await observeRuntimeConfig({ name: 'containerd', version: '1.7.24' }, root.path, noRun);
    assert.equal(seen.known ? '' : seen.code, 'ERR_NOT_SUPPORTED');
  });

  test('a runtime that is down, without a version: its merge is not guessed', async () => {
    await using root = await rootWith({});
    const seen = await observeRuntimeConfig({ name: '', version: '' }, root.path, noRun);
    assert.equal(seen.known ? '' : seen.code, 'ERR_NOT_SUPPORTED');
  });

  test('its own program is asked only where the files give something else, and only root’s', async () => {
    const exe = { '/bin/containerd': 'a program' };
    const text =
      'version = 2\n[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]\nSystemdCgroup = true\n';
    await using root = await rootWith(
      { ...exe, '/proc/360/cmdline': 'containerd\0', '/etc/containerd/config.toml': text },
      { '/proc/360/ns/mnt': 'mnt:[1]', '/proc/1/ns/mnt': 'mnt:[1]', '/proc/self/ns/mnt': 'mnt:[1]' },
    );
    await symlink(root.join('/bin/containerd'), root.join('/proc/360/exe'));
    const asked: string[][] = [];
    const record = async (argv: readonly string[]) => {
      asked.push([...argv]);
      return { stdout: text, stderr: '' };
    };
    const live = (systemdCgroup: boolean) => ({ handlers: [{ name: 'runc', systemdCgroup }], defaultHandler: 'runc' });
    await observeRuntimeConfig({ ...containerd, live: live(true) }, root.path, record);
    assert.deepEqual(asked, []);
    await chmod(root.join('/bin/containerd'), 0o777);
    await observeRuntimeConfig({ ...containerd, live: live(false) }, root.path, record);
    assert.deepEqual(asked, []);
    await chmod(root.join('/bin/containerd'), 0o755);
    const isRoot = process.getuid?.() === 0;
    const seen = await observeRuntimeConfig({ ...containerd, live: live(false) }, root.path, record);
    const argv = [root.join('/proc/360/exe'), '-c', '/etc/containerd/config.toml', 'config', 'dump'];
    assert.deepEqual(asked, isRoot ? [argv] : []);
    assert.ok(seen.known);
    if (isRoot) assert.deepEqual(seen.value.dump, { settings: live(true) });
    const refuses = async () => {
      throw new SandwardenError('ERR_COMMAND_FAILED', 'x -c y failed: containerd: no', { hint: '' });
    };
    const refused = await observeRuntimeConfig({ ...containerd, live: live(false) }, root.path, refuses);
    assert.ok(refused.known);
    if (isRoot) assert.deepEqual(refused.value.dump, { refusal: 'containerd: no' });
    const hangs = (argv: readonly [string, ...string[]]) => run(['sleep', '60', argv[0]], { timeoutMs: 1 });
    const hung = await observeRuntimeConfig({ ...containerd, live: live(false) }, root.path, hangs);
    assert.ok(hung.known);
    assert.equal(hung.value.dump, undefined, 'what does not end in time refuses nothing');
  });

  test('CRI-O: its file, its drop-ins by name', async () => {
    await using root = await rootWith({
      '/etc/crio/crio.conf': '[crio.runtime]\ncgroup_manager = "systemd"\n',
      '/etc/crio/crio.conf.d/10.conf': '[crio.runtime]\n\ncgroup_manager = "cgroupfs"\n',
      '/etc/crio/crio.conf.d/20.conf': '[crio.image]\n',
    });
    const seen = await observeRuntimeConfig({ name: 'cri-o', version: '1.31.0' }, root.path, noRun);
    assert.ok(seen.known);
    assert.deepEqual(seen.value.settings?.handlers, [
      { name: 'crio', systemdCgroup: false, at: { file: '/etc/crio/crio.conf.d/10.conf', line: 3 } },
    ]);
  });
});

describe('units that write', () => {
  const file = '/etc/containerd/config.toml';
  const configured = { unit: 'containerd.service', file, files: [file] };
  const shown = (id: string, more: Readonly<Record<string, string>>) =>
    [`Id=${id}`, 'LoadState=loaded', ...Object.entries(more).map(([key, value]) => `${key}=${value}`)].join('\n');
  const exec = (command: string) => `{ path=${command.split(' ')[0]} ; argv[]=${command} ; ignore_errors=no ; pid=0 }`;

  test('by name, by command, by script; ordered by way of a target', async () => {
    const fragment = '/etc/systemd/system/mine.service';
    await using root = await rootWith({
      [fragment]: '[Service]\nExecStart=/usr/local/bin/setup.sh\n',
      '/usr/local/bin/setup.sh': '#!/bin/sh\n# says nothing\ncp /srv/c.toml /etc/containerd/config.toml\n',
    });
    const units = [
      shown('containerd.service', { After: 'network.target', ExecMainStartTimestampMonotonic: '15000000' }),
      shown('network.target', { After: 'early.service' }),
      shown('early.service', { ExecStart: exec('/bin/sh -c "containerd config default > /x"'), FragmentPath: '/x' }),
      shown('nodeadm-config.service', { InactiveExitTimestampMonotonic: '16', ActiveEnterTimestampMonotonic: '18' }),
      shown('mine.service', { ExecStart: exec('/usr/local/bin/setup.sh'), FragmentPath: fragment }),
      shown('cloud-final.service', { ExecStart: exec('/usr/bin/cloud-init modules --mode=final') }),
      shown('kubelet.service', { ExecStart: exec('/usr/bin/kubelet --config=/k') }),
    ].join('\n\n');
    const run = async () => ({ stdout: units, stderr: '' });
    const answer = await observeWriters(configured, root.path, run);
    assert.ok(answer.known);
    const writers = answer.value;
    assert.deepEqual(
      writers.map((each) => `${each.unit} ${each.orderedBefore} ${each.at?.file ?? ''}:${each.at?.line ?? ''}`),
      ['early.service true :', 'mine.service false /usr/local/bin/setup.sh:3', 'nodeadm-config.service false :'],
    );
    assert.deepEqual(
      [writers[2]?.startedUs, writers[2]?.doneUs, writers[2]?.runtimeStartedUs],
      [16n, 18n, 15_000_000n],
    );
  });

  test('a systemd that does not answer in time is not one without writers', async () => {
    await using root = await rootWith({});
    const answer = await observeWriters(configured, root.path, async () => {
      throw new SandwardenError('ERR_COMMAND_FAILED', 'systemctl show failed: no end after 40 s', { hint: 'look' });
    });
    assert.deepEqual(answer, unknown('ERR_COMMAND_FAILED', 'systemctl show failed: no end after 40 s', 'look'));
  });

  test('a recorded systemd: containerd before kubelet, and nobody writes', async () => {
    const recording = join(import.meta.dirname, '../../recordings/cgroup-flapping/systemctl-show.txt');
    const units = parseUnits(readFileSync(recording, 'utf8'));
    const kubeletUnit = units.find((each) => each.id === 'kubelet.service');
    assert.ok(kubeletUnit && orderedBefore(kubeletUnit, units).has('containerd.service'));
    await using root = await rootWith({});
    const run = async () => ({ stdout: readFileSync(recording, 'utf8'), stderr: '' });
    const answer = await observeWriters(configured, root.path, run);
    assert.deepEqual(answer, known([]));
  });
});
