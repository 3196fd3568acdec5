// Goal: the output of a program on a node arrives as it was written, each byte once, whatever becomes of the streams.
// Method: logs as kubelet gives them, cut anywhere and rotated; and a pod whose log ends again and again.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Life, PodLife } from '../../src/cli/remote/life.ts';
import { followLog } from '../../src/cli/remote/log.ts';
import { LogText } from '../../src/cli/remote/log-text.ts';
import type { KubeReader } from '../../src/kube/client.ts';
import { rig } from './remote-rig.ts';

const stamp = (n: number) => `2026-03-01T01:00:00.${String(n).padStart(9, '0')}+01:00`;

function reader() {
  const got = { text: '', lost: 0 };
  const log = new LogText(
    (piece) => {
      got.text += piece;
    },
    () => {
      got.lost++;
    },
  );
  const stream = (text: string) => {
    log.add(Buffer.from(text));
    log.breakOff();
  };
  return { log, got, stream };
}

describe('LogText', () => {
  test('cut anywhere, in pieces of any size, with lines of one moment: each byte once', () => {
    const lines = fc.array(fc.record({ text: fc.constantFrom('', 'a', 'übel – ', 'x y'), same: fc.boolean() }), {
      minLength: 1,
      maxLength: 12,
    });
    const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 5 });
    fc.assert(
      fc.property(lines, cuts, fc.integer({ min: 1, max: 40 }), (written, ends, size) => {
        let now = 1;
        const file = written.map(({ text, same }) => `${stamp(same ? now : ++now)} ${text}\n`).join('');
        const bytes = Buffer.from(file);
        const { log, got } = reader();
        for (const end of [...ends, 1]) {
          const until = Math.floor(bytes.length * end);
          for (let at = 0; at < until; at += size) log.add(bytes.subarray(at, Math.min(at + size, until)));
          log.breakOff();
        }
        log.end();
        assert.deepEqual([got.text, got.lost], [written.map(({ text }) => `${text}\n`).join(''), 0]);
      }),
    );
  });

  test('a file that kubelet began anew: what was read of it is passed over, the rest is not', () => {
    const line = (n: number) => `${stamp(n)} line ${n}\n`;
    const { got, stream } = reader();
    stream([1, 2, 3, 4].map(line).join(''));
    stream([3, 4].map(line).join(''));
    stream([3, 4, 5].map(line).join(''));
    stream(`${line(5)}${line(6).slice(0, -4)}`);
    stream([5, 6, 7].map(line).join(''));
    assert.deepEqual(got, { text: [1, 2, 3, 4, 5, 6, 7].map((n) => `line ${n}\n`).join(''), lost: 0 });
    // All that was known is in files that are gone.
    stream([9, 10].map(line).join(''));
    assert.deepEqual([got.text.endsWith('line 7\nline 9\nline 10\n'), got.lost], [true, 1]);
  });

  test('a clock that is turned back loses no line of a file that goes on', () => {
    const { got, stream } = reader();
    const [before, after] = [`${stamp(900)} before\n`, `${stamp(100)} after\n`];
    stream(before);
    stream(`${before}${after}`);
    stream(`${before}${after}${stamp(101)} end`);
    assert.deepEqual(got, { text: 'before\nafter\nend', lost: 0 });
  });
});

describe('followLog', () => {
  test('a log that ends at once while its pod runs is asked for less and less', async () => {
    const waitedMs: number[] = [];
    const states: Life[] = [...Array<Life>(7).fill({ kind: 'running' }), { kind: 'ended', exitCode: 0, why: '' }];
    const life = {
      signal: new AbortController().signal,
      get now() {
        return states[0] ?? assert.fail('it goes on');
      },
      until: async (_holds: unknown, limitMs: number) => {
        waitedMs.push(limitMs);
        states.shift();
        return states[0];
      },
    };
    const asked: string[] = [];
    const client = {
      stream: async function* (path: string) {
        asked.push(path);
        if (asked.length === 1) yield Buffer.from(`${stamp(1)} said\n`);
      },
    };
    let text = '';
    const output = {
      write: (piece: string) => {
        text += piece;
      },
    };
    const how = { life: life as unknown as PodLife, onLost: assert.fail };
    await followLog(client as unknown as KubeReader, '/log?container=c', output, how);
    assert.deepEqual(waitedMs, [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
    assert.deepEqual([asked[0], text], ['/log?container=c&follow=true&timestamps=true', 'said\n']);
  });

  test('over the API: rotated, and ended in good order again and again: each line comes once', async () => {
    const steps = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
    await using it = await rig(async function* () {
      for (const [index, step] of steps.entries()) {
        yield `line ${index}, and its\nsecond one of ${index}\n`;
        await step.promise;
      }
      return 0;
    });
    const ended = it.sandwarden('--node', 'n1', 'check');
    for (const [index, step] of steps.entries()) {
      await it.written(new RegExp(`second one of ${index}\n`));
      // What is written from here on is in a new file.
      if (index === 1) it.rotateLogs();
      if (index > 0) it.cutLogs(true);
      step.resolve();
    }
    assert.equal(await ended, 0, it.out.stderr);
    assert.equal(it.out.stdout, steps.map((_, index) => `line ${index}, and its\nsecond one of ${index}\n`).join(''));
    assert.match(it.out.stderr, /^sandwarden: n1 has rotated the log away: some lines may be missing\n$/);
  });
});
