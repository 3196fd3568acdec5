// Goal: one look gives all that could be seen, and says of the rest why not; it never throws for a sick node.
// Method: fake runtimes, fake programs, a root directory of the test's own.
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, it } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { connectCri } from '../../src/cri/connect.ts';
import type { CriReader } from '../../src/cri/types.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { Clock } from '../../src/model/clock.ts';
import { isSandwardenError, SandwardenError } from '../../src/model/errors.ts';
import { limits } from '../../src/model/limits.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { KubeletLog } from '../../src/model/records.ts';
import type { Sandbox } from '../../src/model/sandbox.ts';
import { snapshotSources } from '../../src/model/snapshot.ts';
import type { Run } from '../../src/observe/child.ts';
import { needsDetail } from '../../src/observe/cri.ts';
import { k3sData } from '../../src/observe/k3s-data.ts';
import { layoutOf } from '../../src/observe/layout.ts';
import { type ObserveOptions, observe } from '../../src/observe/node.ts';
import { decodeSnapshot, encodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { leaveDeadSocket } from '../helpers/dead-socket.ts';
import { fakeCri, type Handlers } from '../helpers/fake-cri.ts';
import { tempDir } from '../helpers/temp.ts';

const nowNs = 1_795_284_081_000_000_000n;
const clock: Clock = { wallNs: () => nowNs, uptimeNs: () => 97_000_000_000n, sleep: () => Promise.resolve() };
const nothing: Run = (argv) =>
  Promise.reject(new SandwardenError('ERR_COMMAND_MISSING', `${argv[0]} is not installed`, { hint: 'Install it.' }));

describe('observe', () => {
  it('on a machine with nothing says of each source why', async () => {
    await using dir = await tempDir();
    const snapshot = await look({ root: dir.path });
    for (const source of snapshotSources) {
      const answer = snapshot[source];
      if (source === 'clock') continue;
      assert.ok(!answer.known && answer.message !== '', source);
      if (source !== 'pods') assert.ok(answer.hint !== '', source);
    }
    assert.ok(!snapshot.runtime.known && snapshot.runtime.code === 'ERR_SOCKET_MISSING');
    assert.deepEqual(decodeSnapshot(encodeSnapshot(snapshot)), snapshot);
  });

  it('says who named a dead socket', async () => {
    await using dir = await tempDir();
    await leaveDeadSocket(dir.join('dead.sock'));
    const snapshot = await look({
      root: dir.path,
      env: { CONTAINER_RUNTIME_ENDPOINT: `unix://${dir.join('dead.sock')}` },
    });
    assert.ok(!snapshot.runtime.known);
    assert.equal(snapshot.runtime.code, 'ERR_SOCKET_REFUSED');
    assert.match(snapshot.runtime.message, /CONTAINER_RUNTIME_ENDPOINT/);
    assert.ok(!snapshot.sandboxes.known);
  });

  it('says that the socket is forbidden (injected: root is never refused)', async () => {
    const refuse = () =>
      Promise.reject(new SandwardenError('ERR_SOCKET_FORBIDDEN', 'no permission', { hint: 'Be root.' }));
    const cri = {
      version: refuse,
      status: refuse,
      cgroupDriver: refuse,
      listSandboxes: refuse,
      listContainers: refuse,
    };
    const snapshot = await look({ cri: cri as unknown as CriReader, root: '/nonexistent' });
    assert.ok(!snapshot.runtime.known && snapshot.runtime.code === 'ERR_SOCKET_FORBIDDEN');
  });

  it("asks for kubelet's events only where its log cannot be read", async () => {
    await using dir = await tempDir();
    const log = dir.join('kubelet.log');
    await writeFile(log, 'I1122 10:00:00.000000     376 server.go:529] "Kubelet version" kubeletVersion="v1.34.9"\n');
    const asked: string[] = [];
    const refused = unknown('ERR_KUBE_UNREACHABLE', 'no answer', 'look');
    const askRefusals = async (hostname: string) => {
      asked.push(hostname);
      return refused;
    };
    const read = await look({ root: dir.path, kubeletLogFile: log, askRefusals });
    assert.deepEqual([read.kubeletLog.known, read.refusals, asked], [true, undefined, []]);
    const blind = await look({ root: dir.path, askRefusals });
    assert.deepEqual([blind.kubeletLog.known, blind.refusals, asked.length], [false, refused, 1]);
  });

  it('throws only for a configuration that is wrong', async () => {
    await using dir = await tempDir();
    await mkdir(dir.join('etc'));
    await writeFile(dir.join('etc/crictl.yaml'), 'runtime-endpoint: [');
    await assert.rejects(look({ root: dir.path }), (error) => isSandwardenError(error, 'ERR_CONFIG'));
  });

  it('of a CRI that answers one call and not the next loses only that part', async () => {
    const list = () => ({ items: [{ id: 'a', metadata: { name: 'p', namespace: 'n', uid: 'u' } }] });
    const status = () => ({
      status: { conditions: [{ type: 'RuntimeReady', status: true }] },
      info: { config: '{"stateDir":"/s"}' },
    });
    const all: Handlers = {
      version: () => ({ runtimeName: 'fake' }),
      status,
      listPodSandbox: list,
      listContainers: () => ({}),
    };
    const broken = () => {
      throw new ConnectError('boom', Code.Internal);
    };
    const parts = {
      version: [],
      status: ['runtime'],
      listPodSandbox: ['sandboxes'],
      listContainers: ['containers'],
    } as const;
    for (const [call, lost] of Object.entries(parts)) {
      await using dir = await tempDir();
      await using _ = await fakeCri(dir.join('s'), { ...all, [call]: broken });
      const snapshot = await look({ root: dir.path, endpoint: dir.join('s') });
      const seen = (['runtime', 'sandboxes', 'containers'] as const).filter((source) => !snapshot[source].known);
      assert.deepEqual(seen, lost, call);
      if (snapshot.runtime.known) {
        assert.deepEqual([snapshot.runtime.value.runtimeReady, snapshot.runtime.value.stateDir], [true, '/s']);
        assert.ok('ListPodSandbox' in snapshot.runtime.value.latencyMs);
      }
    }
  });

  it('of a node of ten thousand sandboxes asks only for what a decision hangs on, eight at once', async () => {
    await using dir = await tempDir();
    const items = Array.from({ length: 10_000 }, (_, i) => ({
      id: `s${i}`,
      metadata: { name: `p${i}`, namespace: 'n', uid: `u${i}` },
      state: 1 as const,
      createdAt: i < 20 ? nowNs + 1n : 1n,
    }));
    let [now, most, asked] = [0, 0, 0];
    await using _ = await fakeCri(dir.join('s'), {
      status: () => ({}),
      listPodSandbox: () => ({ items }),
      listContainers: () => ({
        containers: [{ id: 'c', podSandboxId: 's3', state: 2, labels: { 'io.kubernetes.pod.uid': 'u3' } }],
      }),
      async podSandboxStatus({ podSandboxId }) {
        asked++;
        most = Math.max(most, ++now);
        await new Promise((resolve) => setImmediate(resolve));
        now--;
        if (podSandboxId === 's7')
          throw new ConnectError('an error occurred when try to find sandbox: not found', Code.NotFound);
        return { status: { id: podSandboxId }, info: { info: '{"pid":0}' } };
      },
      containerStatus: () => ({ status: { id: 'c', state: 2, exitCode: 137, finishedAt: 9n } }),
    });
    const snapshot = await look({ root: dir.path, endpoint: dir.join('s') });
    assert.ok(snapshot.sandboxes.known && snapshot.sandboxes.value.length === 10_000);
    assert.equal(asked, 20);
    assert.ok(most > 1 && most <= limits.criReadsInFlight, String(most));
    assert.deepEqual(snapshot.details.s3, known({ pid: 0 }));
    assert.ok(snapshot.details.s7 && !snapshot.details.s7.known && snapshot.details.s7.code === 'ERR_CRI_NOT_FOUND');
    assert.ok(snapshot.containers.known);
    assert.equal(snapshot.containers.value[0]?.exit?.exitCode, 137);
  });

  it('takes what others supply: a connected client, sources, pods', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('s'), { status: () => ({}), version: () => ({ runtimeName: 'fake' }) });
    const cri = connectCri(dir.join('s'));
    const snapshot = await look({
      root: dir.path,
      cri,
      criEndpointInfo: { endpoint: 'embedded', from: 'demo', others: [] },
      pods: known([]),
      sources: { kubelet: () => Promise.resolve(known({ running: true, version: 'v1.34.0' })) },
    });
    assert.ok(snapshot.runtime.known && snapshot.runtime.value.endpointFrom === 'demo');
    assert.deepEqual([snapshot.pods, snapshot.kubelet], [known([]), known({ running: true, version: 'v1.34.0' })]);
    assert.equal((await cri.version()).runtimeName, 'fake', 'a client that was given is not closed');
    cri.close();
  });

  it('reads logs from files that are named', async () => {
    await using dir = await tempDir();
    const line = 'I1121 18:00:01.981377     367 server.go:529] "Kubelet version" kubeletVersion="v1.34.9"';
    await writeFile(dir.join('kubelet.log'), `${line}\n`);
    await writeFile(dir.join('containerd.log'), 'time="2026-11-21T18:00:00Z" level=info msg="starting containerd"\n');
    const snapshot = await look({
      root: dir.path,
      kubeletLogFile: dir.join('kubelet.log'),
      runtimeLogFile: dir.join('containerd.log'),
      sources: { kubelet: () => Promise.resolve(known({ running: true })) },
    });
    assert.ok(snapshot.kubelet.known);
    assert.deepEqual([snapshot.kubelet.value.version, snapshot.kubelet.value.versionFrom], ['v1.34.9', 'its log']);
    assert.ok(snapshot.runtimeLog.known && snapshot.runtimeLog.value.startedAt);
  });

  it('takes no log for read of which nothing counts: the node is not called healthy by it', async () => {
    await using dir = await tempDir();
    await using _ = await fakeCri(dir.join('s'), {
      version: () => ({ runtimeName: 'containerd' }),
      status: () => ({
        status: { conditions: ['RuntimeReady', 'NetworkReady'].map((type) => ({ type, status: true })) },
      }),
      listPodSandbox: () => ({ items: [] }),
      listContainers: () => ({ containers: [] }),
    });
    const verdict = async (log: string) => {
      await writeFile(dir.join('kubelet.log'), log);
      const snapshot = await look({
        root: dir.path,
        endpoint: dir.join('s'),
        kubeletLogFile: dir.join('kubelet.log'),
        sources: { kubelet: () => Promise.resolve(known({ running: true, version: 'v1.34.9' })) },
      });
      const { state, gaps } = diagnose(snapshot);
      return [state, gaps.some((each) => each.source === 'kubeletLog')];
    };
    assert.deepEqual(await verdict('I1121 18:00:01.981377     367 server.go:1268] "Started kubelet"\n'), [
      'healthy',
      false,
    ]);
    assert.deepEqual(await verdict(''), ['warnings', true]);
  });
});

describe('the log files of k3s and RKE2', () => {
  const exists =
    (...paths: string[]) =>
    (path: string) =>
      Promise.resolve(paths.some((each) => path.startsWith(each)));
  const socket = '/run/k3s/containerd/containerd.sock';

  it('are chosen by what is there', async () => {
    const usual = () => k3sData(undefined, '/no-such-root');
    assert.deepEqual((await layoutOf(socket, exists(), usual)).logFile, undefined);
    assert.match((await layoutOf(socket, exists('/var/lib/rancher/k3s'), usual)).logFile ?? '', /k3s\/agent/);
    const rke2 = await layoutOf(socket, exists('/var/lib/rancher/rke2'), usual);
    assert.match(`${rke2.logFile} ${rke2.kubeletLogFile}`, /rke2.*rke2.*kubelet\.log/);
    assert.deepEqual((await layoutOf('/run/containerd/containerd.sock', exists(), usual)).units, [
      'containerd.service',
    ]);
  });

  it('are read of this boot only', async () => {
    await using dir = await tempDir();
    const file = 'var/lib/rancher/k3s/agent/containerd/containerd.log';
    await mkdir(dir.join('var/lib/rancher/k3s/agent/containerd'), { recursive: true });
    const fatal = (time: string, words: string) => `time="${time}" level=fatal msg="${words}"\n`;
    await writeFile(dir.join(file), fatal('2026-11-21T17:00:00Z', 'old') + fatal('2026-11-21T18:01:00Z', 'new'));
    const node = {
      hostname: 'n',
      kernel: '',
      arch: '',
      bootId: 'b'.repeat(32),
      wallNs: nowNs,
      uptimeNs: 97_000_000_000n,
    };
    const cri = connectCri(dir.join('none'));
    const snapshot = await look({
      root: dir.path,
      cri,
      criEndpointInfo: { endpoint: `unix://${socket}`, from: 'test', others: [] },
      sources: { node: () => Promise.resolve(known(node)) },
    });
    cri.close();
    assert.ok(snapshot.runtimeLog.known);
    assert.deepEqual(
      snapshot.runtimeLog.value.fatal.map((each) => each.text),
      ['new'],
    );
  });

  describe('of a k3s whose data directory was moved', () => {
    const start = '[Service]\nExecStart=/usr/local/bin/k3s server';
    const told = {
      "k3s' command line": { '/etc/systemd/system/k3s.service': `${start} --data-dir /srv/k3s\n` },
      'config.yaml': {
        '/etc/systemd/system/k3s.service': `${start}\n`,
        '/etc/rancher/k3s/config.yaml': 'data-dir: /srv/k3s/\n',
      },
      "RKE2's config.yaml": {
        '/usr/lib/systemd/system/rke2-agent.service': start,
        '/etc/rancher/rke2/config.yaml.d/9.yaml': 'data-dir: /srv/k3s\n',
      },
      'the containerd that runs': {
        '/proc/9/cmdline': 'containerd\0-c\0/srv/k3s/agent/etc/containerd/config.toml\0',
        '/proc/9/stat': `9 (containerd) S 1 ${'0 '.repeat(17)}9 0\n`,
      },
    };
    for (const [by, files] of Object.entries(told)) {
      it(`are read where ${by} says: SW105 is found`, async () => {
        await using dir = await tempDir();
        const words = 'failed to recover state: failed to reserve sandbox name \\"a_b_c_0\\": name \\"a_b_c_0\\"';
        const log = `time="2026-11-21T18:01:00Z" level=fatal msg="${words} is reserved for \\"${'f'.repeat(64)}\\""\n`;
        const all = { ...files, '/srv/k3s/agent/containerd/containerd.log': log };
        for (const [path, text] of Object.entries(all)) {
          await mkdir(dirname(dir.join(path)), { recursive: true });
          await writeFile(dir.join(path), text);
        }
        const cri = connectCri(dir.join('none'));
        const snapshot = await look({
          root: dir.path,
          cri,
          criEndpointInfo: { endpoint: `unix://${socket}`, from: 'test', others: [] },
        });
        cri.close();
        assert.ok(snapshot.runtimeLog.known);
        assert.equal(snapshot.runtimeLog.value.duplicates[0]?.name, 'a_b_c_0');
        assert.ok(diagnose(snapshot).findings.some((each) => each.code === 'SW105'));
      });
    }
  });
});

describe('needsDetail', () => {
  const sandbox = (id: string, more: Partial<Sandbox> = {}): Sandbox => ({
    id,
    name: id,
    namespace: 'n',
    uid: id,
    attempt: 0,
    state: 'notready',
    createdAtNs: 5n,
    runtimeHandler: '',
    configSource: 'api',
    ...more,
  });
  const moment = { wallNs: nowNs };
  const log = (more: Partial<KubeletLog>): KubeletLog => {
    return { since: null, lines: 1, truncated: false, nameHeld: [], stopFailed: [], runTimedOut: [], ...more };
  };
  const asked = { name: 'x', namespace: 'n', uid: 'held', attempt: 1 };
  const held = { kind: 'sandbox', asked, holderId: 'holder', text: '', count: 1, first: moment, last: moment } as const;
  const stop = { during: 'gc', sandboxId: 'stuck', error: '', count: 1, first: moment, last: moment } as const;

  it('takes NotReady ones of a held name, of a failed stop, without a date, from the future, out of order', () => {
    const sandboxes = [
      sandbox('plain'),
      sandbox('held'),
      sandbox('holder'),
      sandbox('stuck'),
      sandbox('zero', { createdAtNs: 0n }),
      sandbox('future', { createdAtNs: nowNs + 1n }),
      sandbox('ready', { uid: 'held', state: 'ready' }),
      sandbox('old', { uid: 'pod', attempt: 0, createdAtNs: 9n }),
      sandbox('new', { uid: 'pod', attempt: 1, createdAtNs: 7n }),
      sandbox('first', { uid: 'fine', attempt: 0, createdAtNs: 1n }),
      sandbox('second', { uid: 'fine', attempt: 1, createdAtNs: 2n }),
    ];
    const seen = needsDetail(sandboxes, known(log({ nameHeld: [held], stopFailed: [stop] })), nowNs);
    assert.deepEqual([...seen].sort(), ['future', 'held', 'holder', 'old', 'stuck', 'zero']);
    assert.deepEqual([...needsDetail([sandbox('held')], unknown('ERR_FILE', 'x'), nowNs)], []);
  });

  it('is linear for one pod with thousands of attempts', () => {
    const many = Array.from({ length: 10_000 }, (_, i) => sandbox(`s${i}`, { uid: 'one', attempt: i }));
    const start = performance.now();
    assert.equal(needsDetail(many, known(log({})), nowNs).size, 0);
    assert.ok(performance.now() - start < 10_000, 'a comparison of all pairs would take minutes');
  });
});

function look(options: Partial<ObserveOptions>) {
  return observe({ clock, env: {}, version: 'test', run: nothing, ...options });
}
