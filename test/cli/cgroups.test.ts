// Goal: the tree that people read, and the one for scripts, are what was read. Method: goldens of recorded nodes and of
// one with everything in it, in each width; laws over hostile names.
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { podNames } from '../../src/cli/cgroups.ts';
import { cgroupData } from '../../src/cli/render/cgroup-json.ts';
import { cgroupText } from '../../src/cli/render/cgroup-text.ts';
import { jsonText } from '../../src/cli/render/json.ts';
import { columnsOf } from '../../src/cli/render/layout.ts';
import type { CgroupFacts } from '../../src/model/cgroups.ts';
import { unknown } from '../../src/model/observed.ts';
import { isSafeText } from '../../src/model/safe-text.ts';
import { readCgroups } from '../../src/observe/cgroup/cgroups.ts';
import { encodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { fakeTree, uidOf } from '../helpers/fake-node-tree.ts';
import { readRecording } from '../helpers/recording.ts';
import { tempDir } from '../helpers/temp.ts';
import { assertGolden } from './golden.ts';
import { sandwarden } from './spawn.ts';
import { styles } from './styles.ts';

function recorded(name: 'cgroup-flapping' | 'normal-reboot') {
  const snapshot = readRecording(name, { allCgroups: true });
  assert.ok(snapshot.cgroups?.known);
  return { tree: snapshot.cgroups.value, names: podNames(snapshot) };
}

/** Anchors, both drivers' leftovers, a hostile process name, an unknown pod. */
function everything(): { tree: CgroupFacts; names: ReturnType<typeof podNames> } {
  const anchor = '/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/sandwarden-anchor-burstable.scope';
  const files = {
    [`${anchor}/cgroup.procs`]: '77\n',
    '/proc/77/comm': 'anchor\n',
    '/sys/fs/cgroup/kubepods/burstable/podold/cgroup.events': 'populated 0\n',
    '/proc/1001/comm': '\u001b[31mevil\u202e\n',
  };
  const pods = [
    { uid: uidOf(1), qos: 'burstable' as const },
    { uid: uidOf(2), qos: 'guaranteed' as const, scopes: [] },
  ];
  const tree = readCgroups(fakeTree({ pods, files, cmdline: 'x cgroup_no_v1=all' }), { all: true });
  return { tree, names: [{ uid: uidOf(1), namespace: 'kube-system', name: 'proxy' }] };
}

const nodes = { flapping: recorded('cgroup-flapping'), normal: recorded('normal-reboot'), everything: everything() };

for (const [name, { tree, names }] of Object.entries(nodes)) {
  describe(name, () => {
    for (const [styleName, style] of Object.entries(styles)) {
      test(`text, ${styleName}`, () => {
        const text = cgroupText(tree, names, style);
        assertGolden(`cgroups-${name}.${styleName}.txt`, text);
        for (const line of text.split('\n')) assert.ok(columnsOf(line) <= style.width, line);
        if (!style.unicode) assert.match(text, /^[\x20-\x7e\n]*$/);
        if (!style.colour) assert.ok(isSafeText(text.replaceAll('\n', '')));
      });
    }
    test('json', () => {
      assertGolden(`cgroups-${name}.json`, jsonText(cgroupData(tree, names)));
    });
  });
}

describe('as a program', () => {
  test('a recorded node, whole and one pod of it; a pod that is not there', async () => {
    await using folder = await tempDir();
    const path = folder.join('node.json');
    await writeFile(path, encodeSnapshot(readRecording('cgroup-flapping', { allCgroups: true })));
    const whole = await sandwarden(['cgroups', '--snapshot', path]);
    assert.equal(whole.code, 10);
    assert.match(whole.stdout, /not cpuset/);
    const one = await sandwarden(['cgroups', '--snapshot', path, '--pod', 'default/web', '-o', 'json']);
    const data = JSON.parse(one.stdout) as { format: string; pods: { name: string; missing: string[] }[] };
    assert.equal(data.format, 'sandwarden.cgroups/1');
    assert.deepEqual(
      data.pods.map((each) => [each.name, each.missing]),
      [['web', []]],
    );
    const none = await sandwarden(['cgroups', '--snapshot', path, '--pod', 'default/weeb']);
    assert.equal(none.code, 64);
    assert.match(none.stderr, /default\/web/);
  });
  test('where nobody knows the names of the pods: why, and no pod is said not to be there', async () => {
    await using dir = await tempDir();
    const silent = unknown('ERR_SOCKET_HUNG', 'the runtime does not answer', 'See what it waits for.');
    const snapshot = readRecording('cgroup-flapping', { allCgroups: true });
    await writeFile(dir.join('node.json'), encodeSnapshot({ ...snapshot, sandboxes: silent, pods: silent }));
    const whole = await sandwarden(['cgroups', '--snapshot', dir.join('node.json')]);
    assert.equal(whole.code, 10);
    assert.match(
      whole.stderr,
      /^sandwarden: the names of pods are not known: the runtime does not answer\n {2}See what/,
    );
    const one = await sandwarden(['cgroups', '--snapshot', dir.join('node.json'), '--pod', 'default/web']);
    assert.deepEqual([one.code, one.stdout], [69, '']);
    assert.match(one.stderr, /^sandwarden: the runtime does not answer\n {2}See what it waits for\.\n$/);
  });
});
