// Goal: the reader tells of each pod what kubelet's own check would, and reads no more for more pods. Method: trees in
// memory and on a disk, and recorded ones.
import assert from 'node:assert/strict';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { podCgroupPath, qosPath, uidOfPodDirectory } from '../../../src/model/cgroup-names.ts';
import { cgroupDrivers, qosClasses } from '../../../src/model/cgroups.ts';
import { isSandwardenError } from '../../../src/model/errors.ts';
import { observeCgroups, readCgroups } from '../../../src/observe/cgroup/cgroups.ts';
import { applyDelegation } from '../../../src/observe/cgroup/delegation.ts';
import { cgroupTree } from '../../helpers/cgroup-tree.ts';
import { allControllers, fakeTree, fakeTreeFiles, uidOf } from '../../helpers/fake-node-tree.ts';
import { tempDir } from '../../helpers/temp.ts';

const pods = qosClasses.map((qos, index) => ({ uid: uidOf(index), qos }));
const staticUid = '0123456789abcdef0123456789abcdef';

describe('the unified tree', () => {
  for (const driver of cgroupDrivers) {
    for (const root of [[], ['kubelet'], ['a', 'b']]) {
      test(`pods of the ${driver} driver below /${root.join('/')}`, () => {
        const spec = { driver, root, pods: [...pods, { uid: staticUid, qos: 'burstable' as const }] };
        const facts = readCgroups(fakeTree(spec), root.length > 1 ? { cgroupRoot: `/${root.join('/')}` } : {});
        assert.deepEqual(facts.pods.map((pod) => [pod.uid, pod.qos, pod.driver, pod.missing]).sort(), [
          [staticUid, 'burstable', driver, []],
          ...pods.map((pod) => [pod.uid, pod.qos, driver, []]),
        ]);
        for (const pod of facts.pods) assert.equal(pod.path, podCgroupPath(driver, pod.qos, pod.uid, root));
        assert.deepEqual(facts.required, ['cpu', 'cpuset', 'memory', 'hugetlb', 'pids']);
      });
    }
  }
  test('what a QoS slice does not hand down, each of its pods lacks, and no other', () => {
    const lacking = qosPath('systemd', 'besteffort');
    const facts = readCgroups(fakeTree({ pods, subtree: { [lacking]: 'cpu memory hugetlb' } }));
    const sick = facts.pods.filter((pod) => pod.missing.length > 0);
    assert.deepEqual(
      sick.map((pod) => [pod.qos, pod.missing, pod.lostAt]),
      [['besteffort', ['cpuset', 'pids'], lacking]],
    );
  });
  test('the highest directory that withholds a controller is the one that is named', () => {
    const lacks = 'cpu memory hugetlb pids';
    const subtree = { '/kubepods.slice': lacks, [qosPath('systemd', 'burstable')]: lacks };
    const facts = readCgroups(fakeTree({ pods, subtree }));
    const places = Object.fromEntries(facts.pods.map((pod) => [pod.qos, pod.lostAt]));
    assert.deepEqual(places, { guaranteed: '/kubepods.slice', burstable: '/kubepods.slice', besteffort: undefined });
  });
  test('kubelet requires nothing that the root does not offer', () => {
    const without = 'cpuset cpu io pids';
    const subtree = Object.fromEntries(qosClasses.map((qos) => [qosPath('systemd', qos), without]));
    const facts = readCgroups(
      fakeTree({ pods, rootControllers: without, subtree, cmdline: 'quiet cgroup_disable=memory' }),
    );
    assert.deepEqual(facts.required, ['cpu', 'cpuset', 'pids']);
    assert.ok(facts.pods.every((pod) => pod.missing.length === 0));
    assert.deepEqual(facts.kernelWords, ['cgroup_disable=memory']);
  });
  test('a bare pod is looked into, and a few neighbours of it, one that is not is only counted', () => {
    const many = Array.from({ length: 20 }, (_, index) => ({ uid: uidOf(index + 10), qos: 'burstable' as const }));
    const bare = { uid: uidOf(1), qos: 'burstable' as const, scopes: [] };
    const facts = readCgroups(fakeTree({ pods: [bare, ...many, { uid: uidOf(2), qos: 'besteffort' }] }));
    assert.equal(facts.pods.find((pod) => pod.uid === bare.uid)?.populated, false);
    assert.equal(facts.pods.filter((pod) => pod.scopes?.length === 1).length, 4);
    assert.ok(facts.pods.filter((pod) => pod.qos === 'besteffort').every((pod) => pod.scopes === undefined));
  });
  test('all: each scope with its processes; what is delegated by what systemd says', () => {
    const facts = readCgroups(fakeTree({ pods }), { all: true });
    const [scope] = facts.pods[0]?.scopes ?? [];
    assert.equal(scope?.processes?.[0]?.comm, 'sleep');
    assert.equal(scope?.delegated, undefined);
    const shown = `Id=x.scope\nControlGroup=${scope?.path}\nDelegate=yes\n\nControlGroup=/other\nDelegate=no\n`;
    assert.equal(applyDelegation(facts, shown).pods[0]?.scopes?.[0]?.delegated, true);
  });
  test('a scope beside the pods is an anchor or something like it', () => {
    const path = `${qosPath('systemd', 'burstable')}/sandwarden-anchor-burstable.scope`;
    const files = { [`/sys/fs/cgroup${path}/cgroup.procs`]: '7\n', '/proc/7/comm': 'anchor\n' };
    const facts = readCgroups(fakeTree({ pods, files }), { all: true });
    const slice = facts.slices.find((each) => each.level === 'burstable');
    assert.deepEqual(slice?.scopes, [{ path, processes: [{ pid: 7, comm: 'anchor' }] }]);
  });
});

describe('directories where no pod should be', () => {
  test('they are found in slices, with their pod and their processes', () => {
    const name = 'kubepods-burstable-poda83ec6b0_821b_4e6c_8279_000000000001.slice:cri-containerd:0a1b';
    const files = {
      [`/sys/fs/cgroup/system.slice/${name}/cgroup.procs`]: '41\n42\n',
      '/proc/41/comm': 'pause\n',
      '/sys/fs/cgroup/runtime.slice/kubepods-pod0123.slice:crio:77/cgroup.procs': '',
    };
    const { odd } = readCgroups(fakeTree({ pods, files }));
    assert.deepEqual(odd, [
      { path: '/runtime.slice/kubepods-pod0123.slice:crio:77', uid: '0123', containerId: '77', processes: [] },
      {
        path: `/system.slice/${name}`,
        uid: uidOf(1),
        containerId: '0a1b',
        processes: [
          { pid: 41, comm: 'pause' },
          { pid: 42, comm: '' },
        ],
      },
    ]);
  });
});

describe('how much is read', () => {
  test('250 healthy pods cost as many files and listings as 10', () => {
    const asked = [10, 250].map((count) => {
      const tree = fakeTree({
        pods: Array.from({ length: count }, (_, index) => ({
          uid: uidOf(index),
          qos: qosClasses[index % 3] ?? 'burstable',
        })),
      });
      assert.equal(readCgroups(tree).pods.length, count);
      return tree.asked;
    });
    assert.equal(asked[1]?.reads, asked[0]?.reads);
    assert.equal(asked[1]?.listings, asked[0]?.listings);
    assert.ok((asked[1]?.reads ?? 99) <= 12, `${asked[1]?.reads} files`);
  });
});

describe('cgroup v1', () => {
  const controllers = ['cpu,cpuacct', 'cpuset', 'memory', 'pids', 'name=systemd', 'devices'];
  const mounts = controllers
    .map((each) => `3 2 0:2 / /sys/fs/cgroup/${each.replace('name=', '')} rw - cgroup cgroup rw,xattr,${each}\n`)
    .join('');
  const lines = (without: string) =>
    controllers
      .filter((each) => !each.includes('devices') && each !== without)
      .map((each) => `/sys/fs/cgroup/${each.replace('name=', '')}${podCgroupPath('cgroupfs', 'burstable', uidOf(1))}`);
  test('a pod is missing where a controller has no directory of it', () => {
    const whole = readCgroups(cgroupTree(new Map([['/proc/self/mountinfo', mounts]]), lines('')));
    assert.equal(whole.mode, 'v1');
    assert.deepEqual(whole.required, ['cpu', 'cpuacct', 'cpuset', 'memory', 'systemd', 'pids']);
    assert.deepEqual(whole.pods[0]?.missing, []);
    const broken = readCgroups(cgroupTree(new Map([['/proc/self/mountinfo', mounts]]), lines('cpuset')));
    assert.deepEqual(broken.pods[0]?.missing, ['cpuset']);
    assert.equal(broken.pods[0]?.lostAt, '/sys/fs/cgroup/cpuset');
  });
  test('a unified tree beside it is hybrid, and counts as v1', () => {
    const both = `${mounts}4 2 0:9 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n`;
    const facts = readCgroups(cgroupTree(new Map([['/proc/self/mountinfo', both]]), lines('')));
    assert.equal(facts.mode, 'hybrid');
    assert.deepEqual(facts.pods[0]?.missing, []);
  });
});

describe('what cannot be seen', () => {
  const refusal = (fs: Parameters<typeof readCgroups>[0]) => {
    try {
      readCgroups(fs);
    } catch (error) {
      if (isSandwardenError(error, 'ERR_NOT_SUPPORTED')) return error;
      throw error;
    }
    return assert.fail('it was read');
  };
  test('no tree at all', () => {
    assert.match(refusal(cgroupTree(new Map())).message, /no cgroup tree/);
  });
  test('a cgroup namespace of its own: it says so, and how to run it', () => {
    const files = fakeTreeFiles({});
    for (const path of files.keys()) if (path.includes('kubepods')) files.delete(path);
    const error = refusal(cgroupTree(files, [], { '/proc/self/ns/cgroup': 'cgroup:[4026532500]' }));
    assert.match(error.message, /only its own part/);
    assert.match(error.hint, /nsenter/);
    const host = readCgroups(cgroupTree(files, [], { '/proc/self/ns/cgroup': 'cgroup:[4026531835]' }));
    assert.deepEqual(host.pods, []);
  });
  test('a node in a container (kind) has its own namespace and its own pods', () => {
    assert.equal(readCgroups(fakeTree({ pods }, { '/proc/self/ns/cgroup': 'cgroup:[4026532500]' })).pods.length, 3);
  });
  test('whatever vanishes while it is read, nothing is thrown', () => {
    const files = [...fakeTreeFiles({ pods: [...pods, { uid: uidOf(9), qos: 'burstable', scopes: [] }] })];
    fc.assert(
      fc.property(fc.nat({ max: 80 }), fc.boolean(), (after, all) => {
        const tree = cgroupTree(new Map(files));
        let left = after;
        const there = <T>(value: T) => (left-- > 0 ? value : undefined);
        const vanishing = {
          ...tree,
          read: (path: string) => (path.startsWith('/proc/') ? tree.read(path) : there(tree.read(path))),
          directories: (path: string) => there(tree.directories(path)),
          countDirectories: (path: string) => there(tree.countDirectories(path)),
        };
        const facts = readCgroups(vanishing, { all });
        assert.ok(facts.pods.every((pod) => pod.missing.length === 0));
      }),
      { numRuns: 300 },
    );
  });
});

describe('on a disk', () => {
  test('the same as in memory; links are not followed; systemctl is asked once', async () => {
    await using folder = await tempDir();
    for (const [path, text] of fakeTreeFiles({ pods: [...pods, { uid: uidOf(9), qos: 'burstable', scopes: [] }] })) {
      await mkdir(dirname(folder.join(path.slice(1))), { recursive: true });
      await writeFile(folder.join(path.slice(1)), text);
    }
    await mkdir(folder.join('proc/self/ns'), { recursive: true });
    await symlink('cgroup:[4026531835]', folder.join('proc/self/ns/cgroup'));
    const calls: string[][] = [];
    const observed = await observeCgroups({
      root: folder.path,
      run: async (argv) => {
        calls.push([...argv]);
        return { stdout: '', stderr: '' };
      },
    });
    assert.ok(observed.known);
    const inMemory = readCgroups(fakeTree({ pods: [...pods, { uid: uidOf(9), qos: 'burstable', scopes: [] }] }));
    assert.deepEqual(observed.value.required, inMemory.required);
    assert.deepEqual(observed.value.pods.map((each) => each.uid).sort(), inMemory.pods.map((each) => each.uid).sort());
    assert.equal(observed.value.pods.find((each) => each.uid === uidOf(9))?.populated, false);
    assert.equal(calls.length, 1);
    assert.ok((await readdir(folder.join('sys/fs/cgroup'))).includes('kubepods.slice'));
  });
});

test('a pod directory is read back as the uid it was named by', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...cgroupDrivers),
      fc.constantFrom(...qosClasses),
      fc.oneof(fc.uuid(), fc.constant(staticUid)),
      fc.array(fc.stringMatching(/^[a-z]{1,8}$/), { maxLength: 2 }),
      (driver, qos, uid, root) => {
        const path = podCgroupPath(driver, qos, uid, root);
        const cut = path.lastIndexOf('/');
        assert.equal(path.slice(0, cut), qosPath(driver, qos, root));
        assert.equal(uidOfPodDirectory(path.slice(cut + 1), driver, path.slice(0, cut)), uid);
      },
    ),
    { numRuns: 200 },
  );
  assert.equal(uidOfPodDirectory('kubepods-burstable.slice', 'systemd', '/kubepods.slice'), undefined);
  assert.ok(allControllers.includes('cpuset'));
});
