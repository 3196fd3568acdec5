// Goal: every write is told with its writer, a full queue is told, and the thread that waits lets the process end.
// Method: the real kernel, on plain files that are called as cgroup's are; and a libc that refuses.
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { isSandwardenError } from '../../../src/model/errors.ts';
import { openFanotify, parseFanotifyEvents } from '../../../src/watch/controllers/fanotify.ts';
import { type Libc, loadLibc } from '../../../src/watch/controllers/libc.ts';
import type { KernelEvent, WriteSource } from '../../../src/watch/controllers/ports.ts';
import { tempDir } from '../../helpers/temp.ts';

const DEADLINE_MS = 60_000;
const SLICES = 100;

const why = unavailable();

/** The kernel has fanotify and this process may use it. */
function unavailable(): string | false {
  try {
    openFanotify('/nowhere', { onEvents: () => {}, onError: () => {} })
      .close()
      .catch((error: unknown) => assert.fail(String(error)));
    return false;
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    return error.message;
  }
}

describe('on the real kernel', { skip: why }, () => {
  let folder: Awaited<ReturnType<typeof tempDir>>;
  before(async () => {
    folder = await tempDir();
    for (let index = 0; index < SLICES; index++) {
      await mkdir(folder.join(`s${index}`));
      await writeFile(folder.join(`s${index}/cgroup.subtree_control`), '');
    }
  });
  after(async () => folder[Symbol.asyncDispose]());

  /** A source over the first `count` slices, what it told, and a wait for it to have told so many. */
  function listening(count: number) {
    const events: KernelEvent[] = [];
    let wanted: { count: number; done: () => void } | undefined;
    const failed = Promise.withResolvers<never>();
    const source = openFanotify(folder.path, {
      onEvents: (batch) => {
        events.push(...batch);
        if (wanted !== undefined && events.length >= wanted.count) wanted.done();
      },
      onError: failed.reject,
    });
    for (let index = 0; index < count; index++) assert.ok(source.arm(`/s${index}`));
    const told = async (number: number) => {
      const enough = Promise.withResolvers<void>();
      wanted = { count: number, done: enough.resolve };
      if (events.length >= number) enough.resolve();
      const late = AbortSignal.timeout(DEADLINE_MS);
      late.addEventListener('abort', () => enough.reject(new Error(`told ${events.length} of ${number}`)));
      await Promise.race([enough.promise, failed.promise]);
    };
    return { source, events, told };
  }

  /** `processes` different ones write once to each of `slices` slices, while nothing is read here. */
  function burst(processes: number, slices: number): number[] {
    const script = `i=0; while [ $i -lt ${processes} ]; do
      (j=0; while [ $j -lt ${slices} ]; do echo x >> s$j/cgroup.subtree_control; j=$((j+1)); done; exec sh -c 'echo $$')
      i=$((i+1)); done`;
    const { stdout, status } = spawnSync('sh', ['-c', script], { cwd: folder.path, encoding: 'utf8' });
    assert.equal(status, 0);
    return stdout.trim().split('\n').map(Number);
  }

  test('a write names the slice and the process, and no slice that vanished is armed', async () => {
    const { source, events, told } = listening(2);
    try {
      assert.equal(source.arm('/gone'), false);
      const [pid] = burst(1, 2);
      await told(2);
      assert.deepEqual(events, [
        { kind: 'write', path: '/s0', pid },
        { kind: 'write', path: '/s1', pid },
      ]);
    } finally {
      await source.close();
    }
  });

  test('10,000 writes in a burst, of which the kernel can fold none: all are told', async () => {
    const { source, events, told } = listening(SLICES);
    try {
      const pids = burst(100, SLICES);
      await told(10_000);
      const counts = Map.groupBy(events, (each) => (each.kind === 'write' ? `${each.pid} ${each.path}` : each.kind));
      assert.equal(counts.size, 10_000);
      assert.equal(events.length, 10_000);
      assert.equal(new Set(pids).size, 100);
      for (const pid of pids) assert.ok(counts.has(`${pid} /s0`), String(pid));
    } finally {
      await source.close();
    }
  });

  test('more than the queue holds: what fits is told, and that it was not all', async (context) => {
    const most = Number(await readFile('/proc/sys/fs/fanotify/max_queued_events', 'utf8'));
    if (!(most <= 20_000)) return context.skip(`the queue holds ${most}`);
    const { source, events, told } = listening(SLICES);
    try {
      burst(Math.ceil((most + 500) / SLICES), SLICES);
      await told(most + 1);
      assert.equal(events.filter((each) => each.kind === 'overflow').length, 1);
      assert.equal(events.filter((each) => each.kind === 'write').length, most);
    } finally {
      await source.close();
    }
  });

  test('a process that ends without closing it does end', async () => {
    const script = `
      import { openFanotify } from ${JSON.stringify(resolve('src/watch/controllers/fanotify.ts'))};
      openFanotify('/nowhere', { onEvents: () => {}, onError: () => {} });
      setImmediate(() => process.exit(7));`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: 'ignore',
      timeout: DEADLINE_MS,
      killSignal: 'SIGKILL',
    });
    const code = await new Promise((done) => child.once('close', done));
    assert.equal(code, 7);
  });
});

describe('a kernel that refuses', { skip: typeof why === 'string' && /bridge|libc/.test(why) ? why : false }, () => {
  function refusing(refused: Partial<Libc>, errno: number): () => WriteSource {
    const libc: Libc = { ...loadLibc(), ...refused, errno: () => errno };
    return () => openFanotify('/proc/self', { onEvents: () => {}, onError: () => {} }, libc);
  }
  const codes = (open: () => unknown) => {
    try {
      open();
    } catch (error) {
      assert.ok(isSandwardenError(error));
      return `${error.code}: ${error.message}`;
    }
    return 'it did not';
  };
  test('says what is missing', () => {
    const init = { fanotifyInit: () => -1 };
    assert.equal(codes(refusing(init, 1)), 'ERR_FORBIDDEN: fanotify needs CAP_SYS_ADMIN');
    assert.equal(codes(refusing(init, 38)), 'ERR_NOT_SUPPORTED: this kernel has no fanotify');
    assert.match(codes(refusing(init, 24)), /limit of fanotify groups/);
  });
});

describe('what the kernel writes', () => {
  const event = fc.record({
    mask: fc.bigInt(0n, 0xffff_ffff_ffff_ffffn),
    fd: fc.integer({ min: -1, max: 1_000_000 }),
    pid: fc.integer({ min: 0, max: 4_194_304 }),
    extra: fc.integer({ min: 0, max: 40 }),
  });
  test('is read back, with records behind an event that nobody asked for', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 20 }), (events) => {
        const bytes = Buffer.concat(events.map(encoded));
        assert.deepEqual(
          parseFanotifyEvents(bytes),
          events.map(({ mask, fd, pid }) => ({ mask, fd, pid })),
        );
      }),
      { numRuns: 200 },
    );
  });
  test('bytes that are none end in an error of ours, and never in a loop', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        try {
          parseFanotifyEvents(Buffer.from(bytes));
        } catch (error) {
          assert.ok(isSandwardenError(error, 'ERR_NOT_SUPPORTED'));
        }
      }),
      { numRuns: 500 },
    );
  });
});

function encoded({ mask, fd, pid, extra }: { mask: bigint; fd: number; pid: number; extra: number }): Buffer {
  const bytes = Buffer.alloc(24 + extra);
  bytes.writeUInt32LE(bytes.length, 0);
  bytes.writeUInt8(3, 4);
  bytes.writeUInt16LE(24, 6);
  bytes.writeBigUInt64LE(mask, 8);
  bytes.writeInt32LE(fd, 16);
  bytes.writeInt32LE(pid, 20);
  return bytes;
}
