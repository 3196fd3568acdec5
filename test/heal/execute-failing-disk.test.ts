/** The disk of the journal fails, hangs or is damaged: no act without a durable intent, and nothing is lost. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { encodeEntry } from '../../src/heal/entries.ts';
import { openIntents } from '../../src/heal/leftovers.ts';
import { isSandwardenError } from '../../src/model/errors.ts';
import { heal, simNode } from './sim-run.ts';
import type { Mishap } from './sim-state.ts';

const twoPods = () =>
  simNode((world) => {
    world.addPod('a');
    world.addPod('b');
  });

/** How many operations of the disk a run takes that nothing disturbs. */
async function operationsOfARun(): Promise<number> {
  const node = twoPods();
  await heal(node);
  return node.disk.operations.length;
}

describe('an error at each operation of the journal', () => {
  const errors: [code: string, afterBytes: number, lasts: number][] = [
    ['ENOSPC', 0, 1],
    ['ENOSPC', 40, 1],
    ['ENOSPC', 40, 1_000],
    ['EIO', 0, 1],
    ['EIO', 0, 1_000],
    ['EDQUOT', 7, 1],
  ];
  for (const [code, afterBytes, lasts] of errors) {
    test(`${code} after ${afterBytes} bytes, ${lasts === 1 ? 'once' : 'from then on'}`, async () => {
      const operations = await operationsOfARun();
      assert.ok(operations >= 8, `${operations}`);
      for (let at = 0; at < operations; at += 1) {
        const node = twoPods();
        node.disk.mishaps = [{ at, kind: 'error', code, afterBytes, for: lasts }];
        const ran = await heal(node).catch((error: unknown) => {
          assert.ok(isSandwardenError(error, 'ERR_JOURNAL_WRITE'), `${error}`);
          assert.deepEqual(node.world.removed.size, 0);
          return undefined;
        });
        assert.deepEqual(node.world.violations, [], `operation ${at}`);
        if (ran) assert.equal(ran.outcome.stopped?.code, 'ERR_JOURNAL_WRITE', `operation ${at}`);
        node.disk.mishaps = [];
        await heal(node);
        assert.deepEqual([...node.world.removed.values()], [1, 1], `operation ${at}`);
        assert.deepEqual(openIntents(await node.disk.durableEntries()), [], `operation ${at}`);
      }
    });
  }

  test('a full disk is called one, and says what to do', async () => {
    const node = twoPods();
    node.disk.mishaps = [{ at: 0, kind: 'error', code: 'ENOSPC', for: 1_000 }];
    await assert.rejects(heal(node), (error) => {
      assert.ok(isSandwardenError(error, 'ERR_JOURNAL_WRITE'));
      assert.match(error.message, /the disk is full: cannot write the journal \/sim\/journal.ndjson/);
      assert.match(error.hint, /make room/);
      return true;
    });
  });
});

describe('a disk that hangs', () => {
  for (const at of [0, 1, 2, 3, 4, 5]) {
    test(`at operation ${at}: the run ends, and acts on nothing that is not durable`, async () => {
      const node = twoPods();
      node.disk.mishaps = [{ at, kind: 'hang' }];
      const ran = await heal(node).catch((error: unknown) => {
        assert.ok(isSandwardenError(error, 'ERR_JOURNAL_WRITE'), `${error}`);
        return undefined;
      });
      if (ran) assert.equal(ran.outcome.stopped?.code, 'ERR_JOURNAL_WRITE');
      assert.deepEqual(node.world.violations, []);
    });
  }
});

describe('a damaged journal', () => {
  const damage: [name: string, change: (text: string) => string, says: RegExp][] = [
    ['a bit flipped in the middle', (text) => text.replace('"SW102"', '"SW103"'), /:2: its checksum does not match/],
    ['a line lost in the middle', (text) => withoutLine(text, 1), /:2: entry 3 follows entry 1/],
    ['a line twice', (text) => text.replace(/^.*\n/, '$&$&'), /:2: entry 1 follows entry 1/],
    ['a line of something else', (text) => text.replace('\n', '\nhello\n'), /:2: it has no checksum/],
    ['binary', (text) => text.replace('\n', '\n\0\xff\n'), /:2: it has no checksum/],
    ['a line without end', (text) => 'x'.repeat(70_000) + text, /:1: it is too long/],
  ];
  for (const [name, change, says] of damage) {
    test(`${name}: nothing is done, and file and line are named`, async () => {
      const node = twoPods();
      await heal(node);
      node.world.addPod('c');
      node.disk.current = Buffer.from(change(node.disk.current.toString()));
      const before = node.world.calls.length;
      await assert.rejects(heal(node), (error) => {
        assert.ok(isSandwardenError(error, 'ERR_JOURNAL_DAMAGED'), `${error}`);
        assert.match(error.message, says);
        assert.match(error.message, /\/sim\/journal\.ndjson:\d/);
        assert.match(error.hint, /mv \/sim\/journal.ndjson/);
        return true;
      });
      assert.equal(node.world.calls.length, before);
    });
  }

  test('of a newer version: nothing is done', async () => {
    const node = twoPods();
    const at = { wallNs: 1n, uptimeNs: 1n, bootId: 'b' };
    const newer = { v: 1, seq: 1, runId: 'r', at, kind: 'note', text: 'x' } as const;
    node.disk.current = Buffer.from(encodeEntry({ ...newer, v: 2 as 1 }));
    await assert.rejects(heal(node), /newer version of Sandwarden/);
  });

  test('cut off at its end: noted, and the run goes on', async () => {
    const node = twoPods();
    await heal(node);
    node.world.addPod('c');
    const whole = node.disk.current.length;
    node.disk.current = Buffer.concat([node.disk.current, Buffer.from('{"v":1,"seq":9')]);
    const { results } = await heal(node);
    assert.deepEqual(results, ['default/c/0 done']);
    assert.deepEqual(
      node.disk.operations.filter((each) => each.startsWith('truncate')),
      [`truncate ${whole}`],
    );
    const notes = (await node.disk.durableEntries()).filter((each) => each.kind === 'note');
    assert.match(notes[0]?.text ?? '', /line \d+ was cut off by a crash; 14 bytes taken away/);
  });
});

test('a mishap is what it is called', async () => {
  const node = twoPods();
  const mishap: Mishap = { at: 2, kind: 'slow', ms: 30_000 };
  node.disk.mishaps = [mishap];
  const { events } = await heal(node);
  assert.ok((events.at(-1)?.elapsedMs ?? 0) > 30_000);
});

function withoutLine(text: string, index: number): string {
  return text.split('\n').toSpliced(index, 1).join('\n');
}
