// Goal: where writers cannot be named it says why and goes on, and where nothing can be watched it says so. Method:
// trees in memory of each kind of host, kernels that refuse, and the real inotify on plain files.
import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { isSandwardenError, SandwardenError } from '../../../src/model/errors.ts';
import { systemClock } from '../../../src/observe/clock.ts';
import { openInotify, watchDirectory } from '../../../src/watch/controllers/inotify.ts';
import { type Kernel, watchControllers } from '../../../src/watch/controllers/open.ts';
import type { KernelEvent, OpenWriteSource } from '../../../src/watch/controllers/ports.ts';
import { tempDir } from '../../helpers/temp.ts';
import { WatchedTree } from '../../helpers/watched-tree.ts';

const DEADLINE_MS = 20_000;
const quiet = { clock: systemClock(), onEvent: () => {}, onError: () => {} };
const silent: OpenWriteSource = () => ({ by: 'inotify', arm: () => true, close: () => Promise.resolve() });
const still: Kernel = { fanotify: silent, inotify: silent, watchDirectory: () => ({ close: () => {} }) };
const refusing: OpenWriteSource = () => {
  throw new SandwardenError('ERR_FORBIDDEN', 'fanotify needs CAP_SYS_ADMIN', { hint: 'Run it as root.' });
};

/** What it says where it refuses a host. */
function refusal(fs: WatchedTree, kernel: Kernel = still): string {
  try {
    watchControllers({ ...quiet, fs, kernel });
  } catch (error) {
    assert.ok(isSandwardenError(error));
    return `${error.code} ${error.message}; ${error.hint}`;
  }
  return 'it watches';
}

describe('a host', () => {
  const v1 = '30 23 0:26 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n';
  test('with cgroup v1, and with both', () => {
    const fs = new WatchedTree();
    fs.files.set('/proc/self/mountinfo', v1);
    assert.match(refusal(fs), /^ERR_NOT_SUPPORTED this node uses cgroup v1: .*sandwarden cgroups/);
    fs.files.set('/proc/self/mountinfo', `${v1}31 23 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n`);
    assert.match(refusal(fs), /hybrid/);
  });
  test('without a tree', () => {
    const fs = new WatchedTree();
    fs.files.set('/proc/self/mountinfo', '');
    assert.match(refusal(fs), /^ERR_NOT_SUPPORTED no cgroup tree is mounted here/);
  });
  test('that is a container with a cgroup namespace of its own', () => {
    const fs = new WatchedTree(['/']);
    fs.link = () => 'cgroup:[4026532207]' as never;
    assert.match(refusal(fs), /sees only its own part of the cgroup tree; .*nsenter/);
  });
  test('without kubelet: the root is watched until it comes', () => {
    assert.equal(refusal(new WatchedTree(['/'])), 'it watches');
  });
});

describe('a kernel', () => {
  test('that refuses fanotify: inotify, and why nobody is named', () => {
    const fs = new WatchedTree();
    const { watch, whyNoNames } = watchControllers({ ...quiet, fs, kernel: { ...still, fanotify: refusing } });
    assert.equal(watch.by, 'inotify');
    assert.match(whyNoNames ?? '', /^fanotify needs CAP_SYS_ADMIN\. Run it as root\. .*inotify's queue overflows/);
  });
  test('that refuses fanotify on cgroup files only: the same', () => {
    let isClosed = false;
    const fanotify: OpenWriteSource = () => ({
      by: 'fanotify',
      arm: () => {
        throw new SandwardenError('ERR_NOT_SUPPORTED', 'the kernel refuses fanotify on cgroup files', { hint: '.' });
      },
      close: async () => {
        isClosed = true;
      },
    });
    const { watch } = watchControllers({ ...quiet, fs: new WatchedTree(), kernel: { ...still, fanotify } });
    assert.equal(watch.by, 'inotify');
    assert.ok(isClosed, 'the group was left open');
  });
  test('that refuses both', () => {
    assert.match(refusal(new WatchedTree(), { ...still, fanotify: refusing, inotify: refusing }), /^ERR_FORBIDDEN/);
  });
});

describe('inotify', () => {
  /** The first event for which `is` holds. */
  function first<T>(begin: (told: (each: T) => void) => void, is: (each: T) => boolean): Promise<T> {
    return new Promise((done, reject) => {
      const late = AbortSignal.timeout(DEADLINE_MS);
      late.addEventListener('abort', () => reject(new Error('nothing was told')));
      begin((each) => is(each) && done(each));
    });
  }
  test('tells a write without a name, and arms no slice that is gone', async () => {
    await using folder = await tempDir();
    await mkdir(folder.join('s'));
    await writeFile(folder.join('s/cgroup.subtree_control'), '');
    let told: (event: KernelEvent) => void = () => {};
    const source = openInotify(folder.path, {
      onEvents: (events) => {
        for (const each of events) told(each);
      },
      onError: (error) => assert.fail(error),
    });
    try {
      assert.ok(source.arm('/s'));
      assert.equal(source.arm('/gone'), false);
      const event = first<KernelEvent>(
        (tell) => {
          told = tell;
        },
        (each) => each.kind === 'write',
      );
      await writeFile(folder.join('s/cgroup.subtree_control'), '+cpuset');
      assert.deepEqual(await event, { kind: 'write', path: '/s' });
    } finally {
      await source.close();
    }
  });
  test('tells a directory that comes, and one that goes', async () => {
    await using folder = await tempDir();
    for (const act of [
      () => mkdir(folder.join('kubepods.slice')),
      () => rm(folder.join('kubepods.slice'), { recursive: true }),
    ]) {
      let watcher: { close(): void } | undefined;
      const name = first<string | undefined>(
        (tell) => {
          watcher = watchDirectory(folder.path, tell);
        },
        (each) => each === 'kubepods.slice',
      );
      await act();
      await name;
      watcher?.close();
    }
  });
});
