// Goal: pods below a nested `--cgroup-root` are seen by each command, from kubelet's own configuration. Method: a
// machine's files in a directory: a kubelet process, its configuration, and a tree below /a.slice/a-b.slice.
import assert from 'node:assert/strict';
import { mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import { watchFor } from '../../../src/cli/watching.ts';
import { diagnose } from '../../../src/diagnose/diagnose.ts';
import { explainPod } from '../../../src/diagnose/explain-pod.ts';
import { buildFacts } from '../../../src/diagnose/facts.ts';
import { cgroupPath, podCgroupPath } from '../../../src/model/cgroup-names.ts';
import type { Clock } from '../../../src/model/clock.ts';
import { SandwardenError } from '../../../src/model/errors.ts';
import { known } from '../../../src/model/observed.ts';
import { observe } from '../../../src/observe/node.ts';
import type { WatchEvent } from '../../../src/watch/controllers/watch.ts';
import { container, nowNs, pod, sandbox } from '../../diagnose/build.ts';
import { type FakePod, fakeTreeFiles } from '../../helpers/fake-node-tree.ts';
import { silentIo } from '../../helpers/silent-io.ts';
import { tempDir } from '../../helpers/temp.ts';

const root = ['a', 'b'];
const pods: FakePod[] = [{ uid: 'uid-web', qos: 'burstable' }];
const kubepods = cgroupPath('systemd', [...root, 'kubepods']);
const burstable = cgroupPath('systemd', [...root, 'kubepods', 'burstable']);
const clock: Clock = { wallNs: () => nowNs, uptimeNs: () => 600_000_000_000n, sleep: () => Promise.resolve() };

/** A machine whose kubelet has its root in `/k.yaml`. */
async function machine(made: readonly FakePod[] = pods) {
  const dir = await tempDir();
  const files = fakeTreeFiles({ root, pods: made, subtree: { [kubepods]: 'cpu memory', [burstable]: 'cpu memory' } });
  for (const path of ['/a.slice', '/a.slice/a-b.slice']) {
    files.set(`/sys/fs/cgroup${path}/cgroup.subtree_control`, 'cpuset cpu io memory hugetlb pids\n');
  }
  files.set('/k.yaml', 'kind: KubeletConfiguration\ncgroupDriver: systemd\ncgroupRoot: /a/b\n');
  files.set('/proc/376/cmdline', 'kubelet\0--config=/k.yaml\0');
  files.set('/proc/376/stat', `376 (kubelet) S 1 ${'0 '.repeat(17)}376 0\n`);
  for (const [path, text] of files) {
    await mkdir(dirname(dir.join(path)), { recursive: true });
    await writeFile(dir.join(path), text);
  }
  await mkdir(dir.join('/proc/376'), { recursive: true });
  await symlink('/', dir.join('/proc/376/cwd'));
  return dir;
}

async function look(at: string) {
  const snapshot = await observe({
    root: at,
    clock,
    env: {},
    version: '0.0.0',
    pods: known([pod('web', { qos: 'burstable' })]),
    run: () => Promise.reject(new SandwardenError('ERR_COMMAND_MISSING', 'it is not installed', { hint: '-' })),
  });
  const web = sandbox('web', 0, 'ready', -300);
  return { ...snapshot, sandboxes: known([web]), containers: known([container(web)]) };
}

describe("a nested cgroup root, by kubelet's configuration", () => {
  test('check and cgroups see the pods and what they lack', async () => {
    await using dir = await machine();
    const snapshot = await look(dir.path);
    assert.ok(snapshot.cgroups?.known);
    assert.deepEqual(
      snapshot.cgroups.value.pods.map((each) => [each.path, each.missing, each.lostAt]),
      [[podCgroupPath('systemd', 'burstable', 'uid-web', root), ['cpuset', 'hugetlb', 'pids'], kubepods]],
    );
    assert.ok(snapshot.cgroups.value.slices.some((each) => each.path === '/a.slice/a-b.slice'));
    const codes = diagnose(snapshot).findings.map((each) => each.code);
    assert.ok(codes.includes('SW501'), codes.join());
  });

  test('explain pod expects it below that root, under both drivers', async () => {
    await using dir = await machine([]);
    const facts = buildFacts(await look(dir.path));
    const [view] = facts.pods.values();
    assert.ok(view);
    assert.deepEqual(
      explainPod(facts, view).cgroups.map((each) => each.path),
      [
        '/a.slice/a-b.slice/a-b-kubepods.slice/a-b-kubepods-burstable.slice/a-b-kubepods-burstable-poduid_web.slice',
        '/a/b/kubepods/burstable/poduid-web',
      ],
    );
  });

  test('watch controllers watches its slices, and hears of new ones in them', async () => {
    await using dir = await machine();
    const armed: string[] = [];
    const listened: string[] = [];
    const silent = () => ({
      by: 'inotify' as const,
      arm: (path: string) => armed.push(path) > 0,
      close: () => Promise.resolve(),
    });
    const kernel = {
      fanotify: silent,
      inotify: silent,
      watchDirectory: (path: string) => {
        listened.push(path);
        return { close: () => {} };
      },
    };
    const events: WatchEvent[] = [];
    const onEvent = (event: WatchEvent) => events.push(event);
    const { missing } = await watchFor({ clock, io: silentIo(), forMs: 1, root: dir.path, kernel, onEvent });
    assert.ok(armed.includes('/a.slice/a-b.slice'), armed.join());
    assert.ok(armed.includes(kubepods), armed.join());
    assert.ok(listened.includes(`/sys/fs/cgroup${kubepods}`), listened.join());
    assert.deepEqual(missing, [{ path: burstable, controllers: ['cpuset', 'hugetlb', 'pids'], pods: ['uid-web'] }]);
    assert.deepEqual(events, []);
  });
});
