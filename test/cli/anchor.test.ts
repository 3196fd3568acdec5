// Goal: `anchor` names exactly what was asked for, refuses what cannot be held with what to do, and says what is held.
// Method: a systemd in memory beside made-up trees; the program itself for what needs no node.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { type AnchorNode, anchor } from '../../src/cli/anchoring.ts';
import { commands } from '../../src/cli/frame/commands.ts';
import type { Io } from '../../src/cli/frame/io.ts';
import { readCommandLine } from '../../src/cli/frame/parse.ts';
import type { NamedPod } from '../../src/cli/pod-name.ts';
import { anchorsText, type ListedAnchor } from '../../src/cli/render/anchor-text.ts';
import { columnsOf } from '../../src/cli/render/layout.ts';
import type { CgroupFacts } from '../../src/model/cgroups.ts';
import { SandwardenError } from '../../src/model/errors.ts';
import { isSafeText } from '../../src/model/safe-text.ts';
import { readCgroups } from '../../src/observe/cgroup/cgroups.ts';
import { Rooted } from '../../src/observe/installed/rooted.ts';
import { type FakeTree, fakeTree, uidOf } from '../helpers/fake-node-tree.ts';
import { tempDir } from '../helpers/temp.ts';
import { FakeBus } from '../systemd/fake-bus.ts';
import { assertGolden } from './golden.ts';
import { sandwarden } from './spawn.ts';

const burstable = '/kubepods.slice/kubepods-burstable.slice';
const vm: NamedPod = { uid: uidOf(1), namespace: 'default', name: 'vm' };
const podSlice = `kubepods-burstable-pod${uidOf(1).replaceAll('-', '_')}.slice`;
const hollow: FakeTree = { pods: [{ uid: uidOf(1), qos: 'burstable', scopes: [] }] };
const slices = ['/kubepods.slice', burstable, '/kubepods.slice/kubepods-besteffort.slice', `${burstable}/${podSlice}`];

interface Here {
  readonly tree?: FakeTree | CgroupFacts;
  readonly bus?: FakeBus | SandwardenError;
  readonly pods?: readonly NamedPod[];
}

/** A command line on a node of the test's own. */
async function typed(
  line: string,
  files: Rooted,
  { tree = hollow, bus = new FakeBus(...slices), pods = [vm] }: Here = {},
) {
  const request = readCommandLine(line.split(' '), commands);
  assert.equal(request.kind, 'run');
  if (request.kind !== 'run') throw new Error('unreachable');
  let stdout = '';
  const output = { isTerminal: false, columns: 100, takesColour: false };
  const io: Io = {
    env: { LC_ALL: 'C.UTF-8' },
    stdout: {
      ...output,
      write: (text) => {
        stdout += text;
      },
    },
    stderr: { ...output, write: () => undefined },
    stdinIsTerminal: false,
    confirm: async () => false,
    onInterrupt: () => () => undefined,
  };
  const node: AnchorNode = {
    files,
    clock: { uptimeNs: () => 3_600_000_000_000n },
    openSystemd: async () => {
      if (bus instanceof SandwardenError) throw bus;
      return bus;
    },
    readTree: async () => ('required' in tree ? tree : readCgroups(fakeTree(tree))),
    listPods: async () => pods,
  };
  const code = await anchor(node, request.args, io);
  return { code, stdout };
}

describe('holding', () => {
  test('a pod by its name, by its uid, and its slice by name: the same anchor', async () => {
    for (const by of [
      '--pod default/vm',
      `--pod ${uidOf(1)}`,
      `--slice ${podSlice}`,
      `--slice ${burstable}/${podSlice}`,
    ]) {
      const bus = new FakeBus(...slices);
      const { code, stdout } = await typed(`anchor ${by}`, new Rooted(), { bus });
      assert.equal(code, 0);
      assert.match(stdout, new RegExp(`^Held: ${podSlice};`), by);
      assert.equal((await bus.unit(`sandwarden-anchor-${uidOf(1)}.scope`))?.slice, podSlice);
      assert.ok(bus.closed);
    }
  });
  test('the node: the slices of the three classes, there or not, below any cgroup root', async () => {
    await using folder = await tempDir();
    const files = new Rooted(folder.path);
    const bare = await typed('anchor --node --dry-run', files).catch((error: unknown) => error);
    assert.ok(bare instanceof SandwardenError && bare.code === 'ERR_COMMAND_MISSING');
    const script = (await typed('anchor --node --dry-run', new Rooted())).stdout;
    const roots = await typed('anchor --node -n', new Rooted(), { tree: { ...hollow, root: ['foo'] } });
    for (const [text, stem] of [
      [script, 'kubepods'],
      [roots.stdout, 'foo-kubepods'],
    ] as const) {
      for (const [name, slice] of [
        ['guaranteed', stem],
        ['burstable', `${stem}-burstable`],
        ['besteffort', `${stem}-besteffort`],
      ]) {
        assert.match(text, new RegExp(`^Slice=${slice}\\.slice$`, 'm'));
        assert.match(text, new RegExp(`^ln -sfn \\.\\./sandwarden-anchor-${name}\\.service `, 'm'));
      }
    }
  });
  test('a controller that is missing all the same: said, and exit 10', async () => {
    const tree = {
      ...hollow,
      subtree: { '/': 'cpu memory pids', '/kubepods.slice': 'cpu memory pids', [burstable]: 'cpu memory pids' },
    };
    const { code, stdout } = await typed('anchor --pod default/vm', new Rooted(), { tree });
    assert.equal(code, 10);
    assert.match(stdout, /Still missing: cpuset, hugetlb;/);
  });
  test('a class without a pod lacks nothing: kubelet hands hugetlb down with the first one', async () => {
    const tree = { ...hollow, subtree: { '/kubepods.slice/kubepods-besteffort.slice': 'cpu cpuset memory pids' } };
    const { code, stdout } = await typed('anchor --slice kubepods-besteffort.slice', new Rooted(), { tree });
    assert.deepEqual([code, /missing/.test(stdout)], [0, false]);
    const besteffort = { uid: uidOf(2), qos: 'besteffort' as const };
    const more = { ...tree, pods: [...(hollow.pods ?? []), besteffort] };
    const { code: lacks } = await typed('anchor --slice kubepods-besteffort.slice', new Rooted(), { tree: more });
    assert.equal(lacks, 10);
  });
  test('as JSON', async () => {
    const { stdout } = await typed(`anchor --slice ${podSlice} -o json`, new Rooted());
    assert.deepEqual(JSON.parse(stdout), {
      format: 'sandwarden.anchors/1',
      held: [
        { name: `sandwarden-anchor-${uidOf(1)}.scope`, slice: podSlice, result: 'held', lasts: 'slice', missing: [] },
      ],
    });
  });
});

describe('what cannot be held', () => {
  const v1: CgroupFacts = { ...readCgroups(fakeTree(hollow)), mode: 'v1' };
  const noPods: CgroupFacts = { ...readCgroups(fakeTree(hollow)), slices: [], pods: [] };
  const refusals: readonly (readonly [string, string, Here, RegExp])[] = [
    ['anchor --pod default/web', 'ERR_USAGE', {}, /there is no pod 'default\/web'/],
    ['anchor --pod default/vm', 'ERR_PRECONDITION', { tree: { pods: [] } }, /no cgroup now/],
    ['anchor --pod default/vm', 'ERR_NOT_SUPPORTED', { tree: { ...hollow, driver: 'cgroupfs' } }, /cgroupfs driver/],
    ['anchor --node', 'ERR_NOT_SUPPORTED', { tree: { ...hollow, driver: 'cgroupfs' } }, /below \/kubepods:/],
    ['anchor --node', 'ERR_NOT_SUPPORTED', { tree: v1 }, /cgroup v1/],
    ['anchor --node', 'ERR_PRECONDITION', { tree: noPods }, /no slices here yet/],
    ['anchor --pod default/vm', 'ERR_NOT_SUPPORTED', { tree: v1 }, /cgroup v1/],
    ['anchor --slice kubepods-gone.slice', 'ERR_PRECONDITION', {}, /there is no slice/],
    ['anchor --slice=-.slice', 'ERR_USAGE', {}, /no slice/],
    ['anchor --slice containerd.service', 'ERR_USAGE', {}, /no slice/],
    ['anchor', 'ERR_USAGE', {}, /nothing to hold/],
    ['anchor --node --pod a/b', 'ERR_USAGE', {}, /'--pod' and '--node' contradict/],
    ['anchor --pod a/b --until-reboot', 'ERR_USAGE', {}, /belongs to '--node'/],
    ['anchor --all', 'ERR_USAGE', {}, /belongs to 'anchor release'/],
    ['anchor list --node', 'ERR_USAGE', {}, /does not take '--node'/],
    ['anchor list --all', 'ERR_USAGE', {}, /does not take '--all'/],
    ['anchor release', 'ERR_USAGE', {}, /needs a NAME/],
    ['anchor release x --all', 'ERR_USAGE', {}, /needs a NAME/],
    ['anchor release --all --dry-run', 'ERR_USAGE', {}, /does not take '--dry-run'/],
    ['anchor release x', 'ERR_USAGE', {}, /there is no anchor 'x'/],
    ['anchor hold', 'ERR_USAGE', {}, /does not take 'hold'/],
  ];
  for (const [line, code, here, message] of refusals) {
    test(`${line}: ${message.source}`, async () => {
      await using folder = await tempDir();
      const bus = new FakeBus(...slices);
      await assert.rejects(typed(line, new Rooted(folder.path), { bus, ...here }), (error) => {
        assert.ok(error instanceof SandwardenError);
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.ok(error.hint.length > 10);
        return true;
      });
      assert.deepEqual(bus.did, []);
    });
  }
  test('no systemd: what it says is what is said', async () => {
    const bus = new SandwardenError('ERR_SYSTEMD_UNREACHABLE', 'systemd does not run this machine', {
      hint: 'OpenRC …',
    });
    await assert.rejects(typed('anchor --node', new Rooted(), { bus }), { code: 'ERR_SYSTEMD_UNREACHABLE' });
  });
});

describe('list and release', () => {
  test('what is held, by any of its names; then nothing', async () => {
    const bus = new FakeBus(...slices);
    await using folder = await tempDir();
    const files = new Rooted(folder.path);
    for (const by of [
      podSlice,
      'default/vm',
      uidOf(1),
      `sandwarden-anchor-${uidOf(1)}`,
      `sandwarden-anchor-${uidOf(1)}.scope`,
    ]) {
      await typed(by === uidOf(1) ? `anchor --slice ${podSlice}` : 'anchor --pod default/vm', new Rooted(), { bus });
      const { stdout } = await typed('anchor list', files, { bus });
      assert.match(stdout, /^sandwarden-anchor-\S+\n +holds \S+ \(slice\), active, for 59min/);
      if (by === podSlice) {
        const { stdout: json } = await typed('anchor list -o json', files, { bus });
        assert.equal(JSON.parse(json).format, 'sandwarden.anchors/1');
        assertGolden('json/anchor-list.json', json);
      }
      const { stdout: said } = await typed(`anchor release ${by}`, files, { bus });
      assert.equal(said, `Released: sandwarden-anchor-${uidOf(1)}.scope.\n`);
    }
    assert.equal((await typed('anchor list', files, { bus })).stdout, 'Nothing is held here.\n');
    assert.equal((await typed('anchor release --all', files, { bus })).stdout, 'Nothing is held here.\n');
    assert.deepEqual(JSON.parse((await typed('anchor list -o json', files, { bus })).stdout).anchors, []);
  });
  test('the table: goes into any width, and nothing of others obeys', () => {
    const anchors: ListedAnchor[] = [
      {
        name: 'sandwarden-anchor-burstable.service',
        slice: 'kubepods-burstable.slice',
        kind: 'node',
        holds: 'burstable',
        lasts: 'always',
        state: 'active',
        delegated: true,
        sinceUs: 60_000_000n,
        memoryBytes: 184_320n,
      },
      {
        name: 'sandwarden-anchor-x.scope',
        slice: 'x.slice',
        kind: 'pod',
        holds: 'evil\u001b[31m\u202e/vm',
        lasts: 'slice',
        state: 'active',
        delegated: false,
        sinceUs: 0n,
        memoryBytes: undefined,
      },
      {
        name: 'sandwarden-anchor-guaranteed.service',
        slice: 'kubepods.slice',
        kind: 'node',
        holds: 'guaranteed',
        lasts: 'boot',
        state: 'waiting',
      },
    ];
    for (const width of [30, 60, 80, 120, 200]) {
      const text = anchorsText(anchors, 3_600_000_000_000n, { width, colour: false, unicode: true });
      for (const line of text.trimEnd().split('\n')) {
        assert.ok(columnsOf(line) <= width, `${width}: ${line}`);
        assert.ok(isSafeText(line));
      }
      assert.match(text.replace(/\s+/g, ' '), /not delegated: holds nothing/);
      assert.match(text.replace(/\s+/g, ' '), /180 KiB/);
    }
  });
});

describe('as a program', () => {
  test('without root: 77 and nothing is asked; list and --dry-run need none', async () => {
    for (const args of [
      ['anchor', '--node'],
      ['anchor', 'release', '--all'],
    ]) {
      const { code, stderr, stdout } = await sandwarden(args, { uid: 65_534 });
      assert.deepEqual([code, stdout], [77, '']);
      assert.match(stderr, /needs root/);
    }
    const dry = await sandwarden(['anchor', '--slice', podSlice, '--dry-run'], { uid: 65_534 });
    assert.equal(dry.code, 0);
    assert.match(dry.stdout, /StartTransientUnit 'ssa\(sv\)a\(sa\(sv\)\)'/);
  });
});
