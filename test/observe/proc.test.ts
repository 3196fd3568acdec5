// Goal: of the processes the right ones are found, nothing of their environment but CNI's is kept, and
// what vanishes while one looks is no error. Method: a /proc of the test's own.
import assert from 'node:assert/strict';
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { known } from '../../src/model/observed.ts';
import type { Run } from '../../src/observe/child.ts';
import { observeClock, parseUptime, systemClock } from '../../src/observe/clock.ts';
import { cniFacts, listeningInode, observeProcesses } from '../../src/observe/holders.ts';
import {
  findKubelet,
  kubeletVersionOfBinary,
  listProcesses,
  observeNode,
  parseStat,
  versionIn,
} from '../../src/observe/proc.ts';
import { parseUnit } from '../../src/observe/unit.ts';
import { runs } from '../helpers/fuzz.ts';
import { tempDir } from '../helpers/temp.ts';

interface Fake {
  readonly pid: number;
  readonly ppid?: number;
  readonly comm: string;
  readonly ticks?: number;
  readonly state?: string;
  readonly environ?: string;
  readonly fd?: string;
  readonly mnt?: string;
}

describe('parseStat', () => {
  it('reads names with spaces and brackets', () => {
    const text = statLine({ pid: 7, ppid: 3, comm: 'a) S 1 (b', ticks: 250, state: 'D' });
    assert.deepEqual(parseStat(text), {
      pid: 7,
      ppid: 3,
      comm: 'a) S 1 (b',
      state: 'D',
      startedUptimeNs: 2_500_000_000n,
    });
  });

  it('gives nothing for what is none', () => {
    for (const text of ['', '7', '7 (x', ') (', '0 (x) S 1', '7 (x) S 1 2 3'])
      assert.equal(parseStat(text), undefined, text);
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => void parseStat(text)),
      runs(500),
    );
  });
});

describe('processes that may hold a reservation', () => {
  const socket = '/run/containerd/containerd.sock';
  const environ = [
    'PATH=/bin',
    'SECRET=hunter2',
    'CNI_COMMAND=ADD',
    'CNI_CONTAINERID=abc',
    'CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web;X=1',
  ];
  const table: Fake[] = [
    { pid: 1, comm: 'systemd' },
    { pid: 10, comm: 'containerd', ticks: 500, fd: 'socket:[777]' },
    { pid: 11, comm: 'containerd', ticks: 400, fd: 'socket:[1]' },
    { pid: 20, ppid: 10, comm: 'ptp', ticks: 900, environ: environ.join('\0') },
    { pid: 21, ppid: 20, comm: 'sleep', ticks: 901, environ: environ.join('\0') },
    { pid: 22, ppid: 1, comm: 'orphan', ticks: 902, environ: environ.join('\0') },
    { pid: 23, ppid: 1, comm: 'older', ticks: 100, environ: environ.join('\0') },
    { pid: 24, ppid: 10, comm: 'other', ticks: 903, environ: 'PATH=/bin' },
    { pid: 30, ppid: 1, comm: 'containerd-shim', ticks: 800 },
    { pid: 31, ppid: 30, comm: 'app', ticks: 801, environ: environ.join('\0') },
    { pid: 40, ppid: 30, comm: 'runc:[2:INIT]', ticks: 802, state: 'D' },
  ];

  it('are the plugins, what they left behind, runc and shims; never what a container runs', async () => {
    await using dir = await fakeProc(table);
    const unix = `Num RefCount Protocol Flags Type St Inode Path\n0000: 00000002 00000000 00000000 0001 03 778 ${socket}\n0000: 00000002 00000000 00010000 0001 01 777 ${socket}\n`;
    await mkdir(dir.join('proc/net'));
    await writeFile(dir.join('proc/net/unix'), unix);
    const facts = await observeProcesses(known(await listProcesses(dir.path)), socket, dir.path);
    assert.ok(facts.known);
    assert.deepEqual([facts.value.runtimePid, facts.value.runtimeStartedUptimeNs], [10, 5_000_000_000n]);
    assert.deepEqual(
      facts.value.holders.map((each) => [each.pid, each.role, each.state]),
      [
        [20, 'cni', 'S'],
        [21, 'cni', 'S'],
        [22, 'cni', 'S'],
        [30, 'shim', 'S'],
        [40, 'runc', 'D'],
      ],
    );
    const [plugin] = facts.value.holders;
    assert.deepEqual(
      [plugin?.cniCommand, plugin?.cniContainerId, plugin?.pod],
      ['ADD', 'abc', { namespace: 'default', name: 'web' }],
    );
    assert.doesNotMatch(
      JSON.stringify(facts, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)),
      /hunter2|PATH/,
    );
  });

  it('without the socket’s owner name a runtime only where there is one', async () => {
    await using two = await fakeProc(table);
    const both = await observeProcesses(known(await listProcesses(two.path)), socket, two.path);
    assert.ok(both.known && both.value.runtimePid === undefined);
    await using one = await fakeProc(table.filter((each) => each.pid !== 11));
    const single = await observeProcesses(known(await listProcesses(one.path)), undefined, one.path);
    assert.ok(single.known && single.value.runtimePid === 10);
  });

  it('read tables and environments of any kind', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        listeningInode(text, '/x');
        cniFacts(text);
        parseUnit(text, undefined);
        versionIn(text);
        parseUptime(text);
      }),
      runs(500),
    );
  });
});

describe('findKubelet', () => {
  it('prefers the process that is surely one', async () => {
    await using dir = await fakeProc([
      { pid: 5, comm: 'k3s' },
      { pid: 6, comm: 'kubelet', ticks: 9 },
      { pid: 7, comm: 'kubelet', state: 'Z', ticks: 1 },
    ]);
    const found = await findKubelet(known(await listProcesses(dir.path)), dir.path);
    assert.deepEqual(found, known({ running: true, pid: 6, comm: 'kubelet', startedUptimeNs: 90_000_000n }));
  });

  it('says no only where all processes can be seen', async () => {
    for (const [link, expected] of [
      ['pid:[4026531836]', true],
      ['pid:[4026532000]', false],
    ] as const) {
      await using dir = await fakeProc([{ pid: 1, comm: 'init' }]);
      await mkdir(dir.join('proc/self/ns'), { recursive: true });
      await symlink(link, dir.join('proc/self/ns/pid'));
      const found = await findKubelet(known(await listProcesses(dir.path)), dir.path);
      assert.equal(found.known, expected);
      if (found.known) assert.equal(found.value.running, false);
    }
  });

  it('asks a binary for its version only where it is root’s and of the host’s file system', async () => {
    const asked: string[] = [];
    const runner: Run = (argv) => {
      asked.push(argv[0]);
      return Promise.resolve({ stdout: 'k3s version v1.31.6+k3s1 (6ab750f9)\n', stderr: '' });
    };
    await using dir = await fakeProc([
      { pid: 1, comm: 'init', mnt: 'mnt:[1]' },
      { pid: 6, comm: 'k3s-server', mnt: 'mnt:[1]' },
      { pid: 7, comm: 'kubelet', mnt: 'mnt:[2]' },
    ]);
    for (const pid of [6, 7]) await writeFile(dir.join(`proc/${pid}/exe`), '', { mode: 0o755 });
    const version = (pid: number, comm: string) =>
      kubeletVersionOfBinary({ running: true, pid, comm }, dir.path, runner);
    assert.deepEqual(await version(6, 'k3s-server'), { version: 'v1.31.6+k3s1', versionFrom: 'k3s-server --version' });
    assert.equal(await version(7, 'kubelet'), undefined, 'a container’s binary');
    await chmod(dir.join('proc/6/exe'), 0o777);
    assert.equal(await version(6, 'k3s-server'), undefined, 'anybody may write it');
    assert.equal(await version(99, 'kubelet'), undefined, 'gone');
    assert.deepEqual(asked, [dir.join('proc/6/exe')]);
  });
});

describe('the machine', () => {
  it('is told by the kernel; without a boot id it is unknown', async () => {
    await using dir = await tempDir();
    const clock = { ...systemClock(), wallNs: () => 5n, uptimeNs: () => 7n };
    assert.equal((await observeNode(clock, dir.path)).known, false);
    await mkdir(dir.join('proc/sys/kernel/random'), { recursive: true });
    await writeFile(dir.join('proc/sys/kernel/random/boot_id'), 'b79c4359-b11e-48b9-8992-4690bec1142b\n');
    await writeFile(dir.join('proc/sys/kernel/hostname'), 'node-1\n');
    const node = await observeNode(clock, dir.path);
    assert.ok(node.known);
    const { hostname, bootId, wallNs, uptimeNs } = node.value;
    assert.deepEqual([hostname, bootId, wallNs, uptimeNs], ['node-1', 'b79c4359b11e48b989924690bec1142b', 5n, 7n]);
  });

  it('has a clock that only goes forward since its boot', () => {
    const clock = systemClock();
    const [first, second] = [clock.uptimeNs(), clock.uptimeNs()];
    assert.ok(first > 0n && second >= first);
    assert.equal(parseUptime('97.25 180.00\n'), 97_250_000_000n);
  });

  it('has a real-time clock or none, and says who keeps the time where somebody does', async () => {
    await using dir = await tempDir();
    const none: Run = () => Promise.resolve({ stdout: '', stderr: '' });
    assert.deepEqual(await observeClock(dir.path, none), known({ hasRtc: false }));
    await mkdir(dir.join('sys/class/rtc/rtc0'), { recursive: true });
    await writeFile(dir.join('sys/class/rtc/rtc0/since_epoch'), '1795284081\n');
    const said: Run = () => Promise.resolve({ stdout: 'NTPSynchronized=no\n', stderr: '' });
    const facts = await observeClock(dir.path, said);
    assert.deepEqual(facts, known({ synchronized: false, hasRtc: true, rtcNs: 1_795_284_081_000_000_000n }));
  });

  it('runs the runtime in the unit that is active, else in one that is there', () => {
    const block = (id: string, load: string, active: string) =>
      `Id=${id}\nLoadState=${load}\nActiveState=${active}\nSubState=x\nStateChangeTimestampMonotonic=5000000\n`;
    const node = {
      hostname: '',
      kernel: '',
      arch: '',
      bootId: 'b',
      wallNs: 100_000_000_000n,
      uptimeNs: 10_000_000_000n,
    };
    const shown = [
      block('a.service', 'not-found', 'inactive'),
      block('b.service', 'loaded', 'failed'),
      block('c.service', 'loaded', 'active'),
    ];
    assert.deepEqual(parseUnit(shown.join('\n'), node), {
      name: 'c.service',
      activeState: 'active',
      subState: 'x',
      since: { wallNs: 95_000_000_000n, bootId: 'b', monotonicUs: 5_000_000n },
    });
    assert.equal(parseUnit(shown.slice(0, 2).join('\n'), node)?.name, 'b.service');
    assert.equal(parseUnit(shown[0] ?? '', node), undefined);
  });
});

function statLine({ pid, ppid = 1, comm, ticks = 100, state = 'S' }: Fake): string {
  return `${pid} (${comm}) ${state} ${ppid} ${'0 '.repeat(17)}${ticks} 0 0\n`;
}

async function fakeProc(processes: readonly Fake[]) {
  const dir = await tempDir();
  for (const each of processes) {
    const at = (name: string) => dir.join(`proc/${each.pid}/${name}`);
    await mkdir(at('fd'), { recursive: true });
    await mkdir(at('ns'));
    await writeFile(at('stat'), statLine(each));
    if (each.environ !== undefined) await writeFile(at('environ'), each.environ);
    if (each.fd !== undefined) await symlink(each.fd, at('fd/3'));
    if (each.mnt !== undefined) await symlink(each.mnt, at('ns/mnt'));
  }
  // A process that vanished between the listing and the look.
  await mkdir(dir.join('proc/4242'));
  return dir;
}
