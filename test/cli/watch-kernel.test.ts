// Goal: `watch kernel` ends when it should, writes nothing else, and refuses garbage. What it finds in a ring
// is held by test/watch/kernel.test.ts; nothing is written into this machine's.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Io, Output } from '../../src/cli/frame/io.ts';
import { run } from '../../src/cli/watch-kernel.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { sandwarden } from './spawn.ts';

describe('watch kernel', () => {
  test('for a second: a summary, or why the ring cannot be read', async () => {
    const [text, json] = await Promise.all(
      [[], ['-o', 'json']].map((more) => sandwarden(['watch', 'kernel', '--for', '1s', ...more])),
    );
    if (text?.code === 77 || text?.code === 69) {
      assert.match(text.stderr, /\/dev\/kmsg/);
      return;
    }
    assert.ok(text?.code === 0 || text?.code === 10, text?.stderr);
    assert.match(text.stdout, /lines? of the kernel(?:, none of them|: )/);
    const last = json?.stdout.trimEnd().split('\n').at(-1) ?? '';
    assert.deepEqual(Object.keys(JSON.parse(last)), ['lines', 'lost', 'counts']);
  });

  test('at a terminal it says that it listens: it may be silent for days', async () => {
    const written = { stdout: '', stderr: '' };
    const output = (name: keyof typeof written): Output => ({
      write: (text) => {
        written[name] += text;
      },
      isTerminal: true,
      columns: 80,
      takesColour: false,
    });
    const stdout = output('stdout');
    const io: Io = {
      ...{ env: {}, stdout, stderr: output('stderr'), stdinIsTerminal: true },
      confirm: () => Promise.resolve(false),
      onInterrupt: () => () => {},
    };
    const args = { flag: () => false, value: (name: string) => (name === 'for' ? '300ms' : undefined) };
    try {
      await run(args, io);
    } catch (error) {
      assert.ok(isSandwardenError(error), String(error));
      assert.equal(written.stderr, '', 'it does not listen');
      return;
    }
    assert.equal(written.stderr, "Listening to the kernel's log; Ctrl-C ends it.\n");
  });

  test('garbage', async () => {
    const ended = await sandwarden(['watch', 'kernel', '--for', 'ever']);
    assert.deepEqual([ended.code, ended.stdout], [64, '']);
  });
});
