// Goal: a node without SSH is looked at and mended as if one sat at it, and nothing of ours stays behind.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, test } from 'node:test';
import { addNode } from '../../lab/kube-api/fleet.ts';
import { type KubeObject, listAt, textAt } from '../../lab/kube-api/objects.ts';
import type { KubeServer } from '../../lab/kube-api/server.ts';
import { remotePermissions } from '../helpers/remote-permissions.ts';
import { commandOf, left, rig, says } from './remote-rig.ts';

describe('sandwarden --node', () => {
  test('runs the command as the node’s own program and gives its output and exit code; nothing is left', async () => {
    const main = resolve(import.meta.dirname, '../../src/main.ts');
    await using it = await rig(async function* (pod) {
      const env = listAt(listAt(pod, 'spec', 'containers')[0], 'env') as { name: string; value: string }[];
      const own = Object.fromEntries(env.map(({ name, value }) => [name, value]));
      yield execFileSync(process.execPath, [main, ...commandOf(pod).slice(3)], { env: own, encoding: 'utf8' });
      return 20;
    });
    assert.equal(await it.sandwarden('--node', 'n1', 'findings', '-o', 'json'), 20, it.out.stderr);
    assert.ok(it.out.stdout.includes('"SW101"'));
    assert.notEqual(JSON.parse(it.out.stdout), undefined);
    assert.equal(it.out.stderr, '');
    assert.deepEqual(left(it.api), []);
  });

  test('the pod is that of kubectl debug, on any taint, with an end of its own; no token lies in it', async () => {
    await using it = await rig(says(''));
    await it.sandwarden('--node', 'n1', 'check');
    const [pod] = it.pods;
    assert.match(pod?.metadata.name ?? '', /^sandwarden-n1-\w{5}$/);
    assert.equal(pod?.metadata.namespace, 'kube-system');
    const { spec } = pod as unknown as { spec: Record<string, unknown> };
    const { nodeName, hostPID, hostNetwork, hostIPC, tolerations, restartPolicy, activeDeadlineSeconds } = spec;
    assert.deepEqual([nodeName, hostPID, hostNetwork, hostIPC, restartPolicy], ['n1', true, true, true, 'Never']);
    assert.deepEqual(tolerations, [{ operator: 'Exists' }]);
    assert.deepEqual([activeDeadlineSeconds, spec.automountServiceAccountToken], [3_600, false]);
    assert.deepEqual((spec.volumes as unknown[])[0], { name: 'host-root', hostPath: { path: '/' } });
    const [container] = spec.containers as Record<string, unknown>[];
    assert.deepEqual(container?.securityContext, { privileged: true });
    assert.deepEqual(listAt(container, 'volumeMounts')[0], { name: 'host-root', mountPath: '/host' });
    assert.equal(container?.imagePullPolicy, 'Never');
    assert.deepEqual(commandOf(pod), ['/usr/sbin/chroot', '/host', '/usr/local/bin/sandwarden', 'check']);
  });

  test('arguments arrive as they were typed', async () => {
    await using it = await rig(says(''));
    const typed = ['explain', 'pod', "it's; $(rm -rf /) `x`", '--snapshot', '$HOME/a b'];
    await it.sandwarden('--node=n1', '--program=/opt/sw', ...typed);
    // Kubernetes reads `$$(` as a plain `$(`.
    const expected = ['/opt/sw', ...typed].map((each) => each.replace('$(', '$$('));
    assert.deepEqual(commandOf(it.pods[0]).slice(2), expected);
  });

  test('it needs these permissions and no others', async () => {
    await using it = await rig(says(''));
    await it.sandwarden('--node', 'n1', 'check');
    assert.deepEqual(it.api.permissions(), remotePermissions);
  });

  test('a log that breaks off goes on where it was: each byte once, also within a character', async () => {
    const steps = Array.from({ length: 6 }, () => Promise.withResolvers<void>());
    await using it = await rig(async function* () {
      for (const [index, step] of steps.entries()) {
        yield `Zeile ${index}: ü–…\n`;
        await step.promise;
      }
      return 0;
    });
    const ended = it.sandwarden('--node', 'n1', 'check');
    for (const [index, step] of steps.entries()) {
      await it.written(new RegExp(`Zeile ${index}: ü–…`));
      if (index % 2 === 0) it.cutLogs();
      step.resolve();
    }
    assert.equal(await ended, 0, it.out.stderr);
    assert.equal(it.out.stdout, steps.map((_, index) => `Zeile ${index}: ü–…\n`).join(''));
  });

  test('Ctrl-C: the program gets SIGTERM, its last words are shown, its exit code is given, the pod is gone', async () => {
    await using it = await rig(async function* (_pod, ending) {
      yield 'step in hand\n';
      await new Promise((wake) => ending.addEventListener('abort', wake));
      yield 'stopped after the step in hand\n';
      return 130;
    });
    const ended = it.sandwarden('--node', 'n1', 'heal', '--yes');
    await it.written(/in hand/);
    it.interrupt();
    assert.equal(await ended, 130);
    assert.equal(it.out.stdout, 'step in hand\nstopped after the step in hand\n');
    assert.deepEqual(left(it.api), []);
  });

  test('Ctrl-C before the program is there to heed it, and while its pod is being made: the pod is gone', async () => {
    await using early = await rig(async function* (_pod, ending) {
      yield 'starting\n';
      await new Promise((wake) => ending.addEventListener('abort', wake));
      return 143;
    });
    const ended = early.sandwarden('--node', 'n1', 'check');
    await early.written(/starting/);
    early.interrupt();
    assert.equal(await ended, 130);

    const press = { now: () => {} };
    await using made = await rig(says(''), {
      refuses: () => {
        press.now();
        return { waiting: { reason: 'ContainerCreating' } };
      },
    });
    press.now = () => made.interrupt();
    assert.equal(await made.sandwarden('--node', 'n1', 'check'), 130);
    assert.match(made.out.stderr, /interrupted; the debug pod is removed/);
    assert.equal(made.pods.length, 1);
    assert.deepEqual([...left(early.api), ...left(made.api)], []);
  });

  test('a second Ctrl-C does not wait for a program that does not end; kubelet was told', async () => {
    const never = Promise.withResolvers<void>();
    await using it = await rig(async function* () {
      yield 'deaf\n';
      await never.promise;
      return 0;
    });
    const ended = it.sandwarden('--node', 'n1', 'heal', '--yes');
    await it.written(/deaf/);
    it.interrupt();
    it.interrupt();
    assert.equal(await ended, 130);
    const [name = ''] = left(it.api);
    const pod = it.api.store.get(it.api.resource('pods'), 'kube-system', name);
    assert.notEqual(textAt(pod, 'metadata', 'deletionTimestamp'), '');
    never.resolve();
  });

  test('an image that cannot be had: the next one that is on the node is taken; none of them', async () => {
    const refused = (reason: string) => ({ waiting: { reason, message: 'no such host' } });
    const refuses = (pod: KubeObject) => {
      return textAt(listAt(pod, 'spec', 'containers')[0], 'image') === 'mine:1' ? refused('ErrImagePull') : undefined;
    };
    await using it = await rig(says('done\n'), { refuses });
    assert.equal(await it.sandwarden('--node', 'n1', '--image', 'mine:1', 'check'), 0);
    assert.equal(it.out.stdout, 'done\n');
    assert.match(it.out.stderr, /mine:1: ErrImagePull: no such host/);
    assert.equal(it.pods.length, 2);
    assert.deepEqual(left(it.api), []);

    await using none = await rig(says(''), { refuses: () => refused('ErrImageNeverPull') });
    assert.equal(await none.sandwarden('--node', 'n1', 'check'), 30);
    assert.match(none.out.stderr, /no image for the debug pod is on n1/);
    assert.deepEqual(left(none.api), []);
  });

  /** What is said where an event refuses the debug pod's sandbox, whose name `holder` holds. */
  async function refusedBy(holder: string, node: object = {}): Promise<string> {
    const api: { now?: KubeServer } = {};
    const held = `name "x_y_z_0" is reserved for "${holder}"`;
    const message = `Failed to create pod sandbox: failed to reserve sandbox name "x_y_z_0": ${held}`;
    await using it = await rig(says(''), {
      prepare: (server) => {
        const [nodes, was] = [server.resource('nodes'), server.store.get(server.resource('nodes'), undefined, 'n1')];
        const metadata = { ...was.metadata, ...('metadata' in node ? (node.metadata as object) : {}) };
        server.store.update(nodes, undefined, 'n1', { ...was, ...node, metadata });
      },
      refuses: (pod) => {
        const event = {
          node: 'n1',
          reason: 'FailedCreatePodSandBox',
          message,
          firstMs: Date.now(),
          lastMs: Date.now(),
          count: 3,
        };
        api.now?.add({
          kind: 'Event',
          metadata: { name: `${pod.metadata.name}.1`, namespace: 'kube-system' },
          involvedObject: { kind: 'Pod', name: pod.metadata.name, namespace: 'kube-system' },
          ...event,
        });
        return { waiting: { reason: 'ContainerCreating' } };
      },
    });
    api.now = it.api;
    assert.equal(await it.sandwarden('--node', 'n1', '--start-timeout', '0.3', 'heal', '--only', "SW101/it's"), 30);
    assert.deepEqual(left(it.api), []);
    return it.out.stderr.replace(/\s+/g, ' ');
  }

  test('where not even the debug pod’s sandbox is made, that is said with the commands for the console', async () => {
    const id = 'ab'.repeat(32);
    const said = await refusedBy(id);
    assert.match(said, /n1 refuses the sandbox even of the debug pod because a sandbox of before holds its name/);
    assert.match(said, /At the console of n1 .*`sandwarden heal --only 'SW101\/it'\\''s'`/);
    assert.match(said, /`crictl pods --state NotReady`/);
    assert.ok(
      said.includes(`\`crictl inspectp ${id}\` shows what holds the name; unless its state is SANDBOX_READY, `),
    );
    assert.ok(said.includes(`\`crictl stopp ${id} && crictl rmp ${id}\` removes it.`), said);
  });

  test('the runtime’s socket stands in these commands where the API tells it; no id of an event is an option', async () => {
    const annotations = { 'kubeadm.alpha.kubernetes.io/cri-socket': 'unix:///run/my runtime.sock' };
    for (const [node, socket] of [
      [{ metadata: { annotations: { 'kubeadm.alpha.kubernetes.io/cri-socket': '/run/x.sock' } } }, '/run/x.sock'],
      [{ status: { nodeInfo: { kubeletVersion: 'v1.31.2+k3s1' } } }, '/run/k3s/containerd/containerd.sock'],
      [{ status: { nodeInfo: { containerRuntimeVersion: 'cri-o://1.31' } } }, '/var/run/crio/crio.sock'],
    ] as const) {
      const [crictl, id] = [`crictl --runtime-endpoint unix://${socket}`, 'cd'.repeat(32)];
      const said = await refusedBy(id, node);
      for (const each of [`${crictl} stopp ${id} && ${crictl} rmp ${id}`, `${crictl} pods --state NotReady`]) {
        assert.ok(said.includes(`\`${each}\``), said);
      }
    }
    assert.doesNotMatch(await refusedBy('--all', { metadata: { annotations } }), /rmp|runtime-endpoint/);
  });

  test('a node whose kubelet is silent, one that is not there, and a program that is not there', async () => {
    await using silent = await rig(says(''), {
      refuses: () => ({}),
      prepare: (api) => addNode(api, 'dead', Date.now(), 'Unknown'),
    });
    assert.equal(await silent.sandwarden('--node', 'dead', '--start-timeout', '0.2', 'check'), 30);
    assert.match(
      silent.out.stderr.replace(/\s+/g, ' '),
      /did not start on dead within 0.2 s.*the cluster does not hear of its kubelet/,
    );
    assert.equal(await silent.sandwarden('--node', 'none', 'check'), 69);
    assert.match(silent.out.stderr, /the cluster has no node 'none'/);

    await using bare = await rig(
      says("chroot: failed to run command '/usr/local/bin/sandwarden': No such file\n", 127),
    );
    assert.equal(await bare.sandwarden('--node', 'n1', '--program', '/usr/local/bin/sandwarden', 'check'), 30);
    assert.match(bare.out.stderr.replace(/\s+/g, ' '), /cannot be run on n1.*--copy COMMAND.*--program PATH/);
    assert.match(bare.out.stdout, /^chroot: failed/);
    assert.deepEqual(left(bare.api), []);
  });

  test('a namespace with restricted Pod Security is recognised, also by who may not read namespaces', async () => {
    const prepare = (api: KubeServer) => {
      const namespaces = api.resource('namespaces');
      const system = api.store.get(namespaces, undefined, 'kube-system');
      const labels = { 'pod-security.kubernetes.io/enforce': 'restricted' };
      api.store.update(namespaces, undefined, 'kube-system', { ...system, metadata: { ...system.metadata, labels } });
    };
    for (const blind of [false, true]) {
      await using it = await rig(says(''), {
        prepare,
        allows: ({ resource }) => !blind || resource.name !== 'namespaces',
      });
      assert.equal(await it.sandwarden('--node', 'n1', 'check'), 30);
      assert.match(
        it.out.stderr.replace(/\s+/g, ' '),
        /Pod Security \(restricted\) keeps debug pods out of the namespace 'kube-system'/,
      );
      assert.match(it.out.stderr, /--namespace NAME/);
      assert.equal(it.pods.length, 0);
    }
  });

  test('a pod that somebody else removes, and one that may not be made', async () => {
    await using removed = await rig(async function* (_pod, ending) {
      yield 'working\n';
      await new Promise((wake) => ending.addEventListener('abort', wake));
      return 143;
    });
    const ended = removed.sandwarden('--node', 'n1', 'check');
    await removed.written(/working/);
    const [name = ''] = left(removed.api);
    removed.api.store.delete(removed.api.resource('pods'), 'kube-system', name);
    assert.equal(await ended, 143);

    await using refused = await rig(says(''), { allows: ({ verb }) => verb !== 'create' });
    assert.equal(await refused.sandwarden('--node', 'n1', 'check'), 77);
    assert.match(refused.out.stderr.replace(/\s+/g, ' '), /may create pods in kube-system/);
  });
});
