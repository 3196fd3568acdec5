// Goal: a real containerd takes the image of our own, and the debug pod's very command runs the program out of it on
// the node, over images that have no libc and no shell. Method: the archive is imported as docs/cluster.md says; what
// the pod's specification asks for is handed to ctr, in the place of kubelet, which has no part in what is proved here.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { labAvailable } from '../../lab/available.ts';
import { layout } from '../../lab/daemon.ts';
import { pauseImage } from '../../lab/flavours.ts';
import { installed } from '../../lab/install.ts';
import { type RealRig, realRig } from '../../lab/rig.ts';
import { hasCode } from '../../lab/run.ts';
import { debugPod } from '../../src/cli/remote/pod.ts';
import { type Origin, podCommand } from '../../src/cli/remote/put.ts';
import { bundle } from '../../tools/build.ts';
import { programImage } from '../../tools/image.ts';
import { until } from './node.ts';

const lab = await labAvailable(['1.7']);
const skip = lab.ok ? false : lab.why;
const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
const name = 'sandwarden:1.2.3';
const own: Origin = { from: 'image', image: name };

describe('the image of our own on a real containerd', { skip }, () => {
  let rig: RealRig;
  let ctr = '';
  /** A command on the node. */
  const onNode = (...argv: readonly string[]) => {
    const [nsenter = '', ...prefix] = rig.enter;
    return spawn(nsenter, [...prefix, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
  };
  const ctrOf = (...args: readonly string[]) => onNode(ctr, '-a', layout(rig.home).socket, '-n', 'k8s.io', ...args);
  const pod = (image: string, origin: Origin, ...argv: readonly string[]) => {
    return ctrOf(...runArgs(rig.home, image, podCommand(origin, argv, architecture)));
  };

  before(async () => {
    rig = await realRig('1.7');
    const started = await rig.start();
    assert.ok(started.ok, JSON.stringify(started));
    ctr = join((await installed('1.7'))?.bin ?? assert.fail(), 'ctr');
    const dist = join(rig.home, 'dist');
    await mkdir(dist);
    await bundle(dist);
    const node = dirname(dirname(process.execPath));
    // Compressing 140 MB is not what is tried here.
    const { archive } = programImage({ name, dist, node, gzip: false });
    await writeFile(join(rig.home, 'image.tar'), archive);
    const imported = await ended(ctrOf('images', 'import', join(rig.home, 'image.tar')));
    assert.equal(imported.code, 0, imported.stderr);
  });
  after(() => rig?.close());

  test('the runtime knows it by the name that a pod would give', async () => {
    const sandbox = { name: 'p', namespace: 'default', uid: '1f6e1d8c-0000-4000-8000-000000000001', attempt: 0 };
    const sandboxId = await rig.cri.runSandbox(sandbox);
    const spec = { sandboxId, sandbox, name: 'c', attempt: 0, command: ['/sandwarden/node'] };
    assert.match(await rig.cri.createContainer({ ...spec, image: name }), /^[0-9a-f]{64}$/);
    await assert.rejects(rig.cri.createContainer({ ...spec, name: 'd', image: 'sandwarden:9' }), /not found|resolve/);
  });

  test('the program out of it runs in the node’s root, and leaves nothing there', async () => {
    const before = marks();
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string };
    const told = await ended(pod(name, own, '--version'));
    assert.deepEqual([told.stdout, told.code], [`sandwarden ${version}\n`, 0], told.stderr);
    const endpoint = `unix://${layout(rig.home).socket}`;
    const checked = await ended(pod(name, own, 'check', '-o', 'json', '--runtime-endpoint', endpoint));
    const { findings } = JSON.parse(checked.stdout) as { findings: { code: string }[] };
    const blind = findings.filter(({ code }) => code === 'SW701');
    assert.deepEqual([blind, [0, 10, 20].includes(checked.code ?? -1)], [[], true], checked.stderr);
    assert.deepEqual(marks(), before);
  });

  test('SIGTERM reaches it, and its folder goes', async () => {
    const before = marks();
    const told = ended(pod(name, own, 'watch', 'kernel'));
    await until('it reads the ring of the kernel', () => readsKmsg('watch kernel'), 30);
    assert.equal(marks().length, before.length + 1);
    const killed = await ended(ctrOf('tasks', 'kill', '--signal', 'SIGTERM', 'debugger'));
    assert.equal(killed.code, 0, killed.stderr);
    assert.match((await told).stdout, /^\d+ lines of the kernel/, JSON.stringify(await told));
    assert.deepEqual(marks(), before);
  });

  test('the node’s own programs run over an image that has none', async () => {
    const node: Origin = { from: 'node', path: '/bin/cat' };
    const { stdout, stderr } = await ended(pod(pauseImage, node, '/etc/os-release'));
    assert.equal(stdout, await readFile('/etc/os-release', 'utf8'), stderr);
  });

  test('a wrong image is told of by what the pod ends with', async () => {
    const command = (wanted: string) => runArgs(rig.home, pauseImage, podCommand(own, ['check'], wanted));
    assert.equal((await ended(ctrOf(...command(architecture)))).code, 123);
    const other = runArgs(rig.home, name, podCommand(own, ['check'], 'riscv64'));
    assert.equal((await ended(ctrOf(...other))).code, 124);
  });
});

/** Folders of programs on the node. */
const marks = () => readdirSync('/var/tmp').filter((each) => each.startsWith('sandwarden.'));

/** Whether a program of ours out of such a folder, with these arguments, has got as far as to the kernel's ring. */
function readsKmsg(words: string): boolean {
  return readdirSync('/proc').some((pid) => {
    try {
      const command = /^\d+$/.test(pid) ? readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ') : '';
      if (!command.startsWith('/var/tmp/sandwarden.') || !command.includes(words)) return false;
      return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`).endsWith('/dev/kmsg'));
    } catch (error) {
      // It ended, or closed the file, while it was looked at.
      if (hasCode(error, 'ENOENT', 'ESRCH')) return false;
      throw error;
    }
  });
}

/** What kubelet and the runtime make of the debug pod's specification, for `ctr run`. */
function runArgs(home: string, image: string, command: readonly string[]): string[] {
  const parts = { node: 'n1', namespace: 'kube-system', image, pull: 'Never', command, stdin: false } as const;
  const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };
  const { spec } = debugPod({ ...parts, architecture, env });
  const [container] = spec.containers;
  assert.ok(container?.securityContext.privileged && spec.hostPID && spec.hostNetwork && spec.hostIPC);
  const mounts = container.volumeMounts.map((mount) => {
    const volume = spec.volumes.find((each) => each.name === mount.name) ?? assert.fail();
    const way = 'readOnly' in mount ? 'ro' : 'rw';
    return `type=bind,src=${volume.hostPath.path},dst=${mount.mountPath},options=rbind:${way}`;
  });
  return [
    ...['run', '--rm', '--privileged', '--net-host', '--cgroup', `/${basename(home)}/pod`],
    ...['pid', 'ipc'].flatMap((each) => ['--with-ns', `${each}:/proc/1/ns/${each}`]),
    ...mounts.flatMap((each) => ['--mount', each]),
    ...container.env.flatMap((each) => ['--env', `${each.name}=${each.value}`]),
    ...[image === name ? `docker.io/library/${name}` : image, container.name],
    ...container.command.map((each) => each.replaceAll('$$(', '$(')),
  ];
}

async function ended(child: ChildProcess): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const code = new Promise<number | null>((done, fail) => {
    child.once('error', fail);
    child.once('close', done);
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
  const read = (stream: NodeJS.ReadableStream | null) => (stream === null ? '' : text(stream));
  const [stdout, stderr, status] = await Promise.all([read(child.stdout), read(child.stderr), code]);
  clearTimeout(timer);
  return { code: status, stdout, stderr };
}
