// Goal: containerd's log tells what keeps it from starting, which calls hang inside it, and which CNI DEL failed.
// Method: lines as containerd 1.6 to 2.3 write them, recorded ones, and mutations of both.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { RuntimeLog } from '../../src/model/records.ts';
import { parseJournalLine } from '../../src/observe/log-line.ts';
import { parseFields } from '../../src/observe/logfmt.ts';
import { parseMetadata, RuntimeLogReader } from '../../src/observe/runtime-log.ts';
import { runs } from '../helpers/fuzz.ts';
import { readRecording, recordedLines } from '../helpers/recording.ts';

const id = 'a'.repeat(64);
const name = 'web_default_u1_0';
const gogo = '&PodSandboxMetadata{Name:web,Uid:u1,Namespace:default,Attempt:0,}';
const prototext = 'name:\\"web\\"  uid:\\"u1\\" namespace:\\"default\\"';
const heldText = `failed to reserve sandbox name \\"${name}\\": name \\"${name}\\" is reserved for \\"${id}\\"`;
const web = { name: 'web', namespace: 'default', uid: 'u1', attempt: 0 };

describe('containerd’s log', () => {
  it('of a crash loop names the duplicate, once per start', () => {
    const fatal = (minute: number) =>
      line(minute, 'fatal', 'Failed to run CRI service', `failed to recover state: ${heldText}`);
    const log = read(fatal(1), fatal(2), fatal(3));
    assert.deepEqual(
      log.duplicates.map((each) => [each.kind, each.name, each.holderId, each.count]),
      [['sandbox', name, id, 3]],
    );
    assert.deepEqual(log.fatal, []);
  });

  it('of another fatal end keeps its words', () => {
    const log = read(
      line(
        1,
        'fatal',
        'Failed to run CRI service',
        'failed to recover state: failed to get metadata for stored sandbox',
      ),
    );
    assert.equal(
      log.fatal[0]?.text,
      'Failed to run CRI service: failed to recover state: failed to get metadata for stored sandbox',
    );
  });

  for (const [version, metadata] of [
    ['1.x', gogo],
    ['2.x', prototext],
  ] as const) {
    it(`of ${version} tells the calls that neither returned nor failed`, () => {
      const begin = (minute: number) => line(minute, 'info', `RunPodSandbox for ${metadata}`);
      const good = line(3, 'info', `RunPodSandbox for ${metadata} returns sandbox id \\"${id}\\"`);
      const refused = line(3, 'error', `RunPodSandbox for ${metadata} failed, error`, heldText);
      const broken = line(3, 'error', `RunPodSandbox for ${metadata} failed, error`, 'context deadline exceeded');
      assert.deepEqual(
        read(begin(1)).running.map((each) => each.pod),
        [web],
      );
      assert.deepEqual(read(begin(1), good).running, []);
      assert.deepEqual(read(begin(1), broken).running, []);
      // The refused second call does not end the first, which holds the name.
      assert.deepEqual(
        read(begin(1), begin(2), refused).running.map((each) => each.at.wallNs),
        [minuteNs(1)],
      );
      assert.deepEqual(read(begin(1), line(2, 'info', 'starting containerd')).running, []);
    });
  }

  it('tells which CNI DEL failed and why, but not one that was ignored', () => {
    const words = `failed to destroy network for sandbox \\"${id}\\": plugin type=\\"ptp\\" failed (delete): boom`;
    const log = read(
      line(1, 'error', `StopPodSandbox for \\"${id}\\" failed`, words),
      line(2, 'error', `Failed to destroy network for sandbox \\"${id}\\"`, 'cni plugin not initialized'),
      line(3, 'warning', `failed to destroy network for sandbox \\"${'b'.repeat(64)}\\"`, 'ignored'),
    );
    assert.deepEqual(
      log.cniDelFailed.map((each) => [each.sandboxId, each.count]),
      [[id, 2]],
    );
    assert.match(log.cniDelFailed[0]?.error ?? '', /failed \(delete\): boom/);
  });

  it('in JSON says the same', () => {
    const json = (more: object) => JSON.stringify({ time: '2026-11-21T18:01:00Z', ...more });
    const log = read(json({ level: 'info', msg: `RunPodSandbox for ${gogo}` }));
    assert.deepEqual(
      log.running.map((each) => each.pod),
      [web],
    );
  });

  it('of recorded nodes has nothing that hangs', () => {
    for (const recording of ['clock-step/stuck', 'normal-reboot'] as const) {
      const log = readRecording(recording).runtimeLog;
      assert.ok(log.known && log.value.lines > 50 && log.value.startedAt);
      assert.deepEqual([log.value.running, log.value.duplicates, log.value.cniDelFailed], [[], [], []]);
    }
  });

  it('knows which sandboxes hang nowhere: made, or removed', () => {
    const log = readRecording('clock-step/healed').runtimeLog;
    const settled = log.known ? (log.value.settledIds ?? []).map((each) => each.slice(0, 8)) : [];
    for (const made of ['57ece27c', '9facee2a']) assert.ok(settled.includes(made), made);
    for (const removed of ['f248cf87', 'b064935d', 'd84e515d']) assert.ok(settled.includes(removed), removed);
    assert.ok(!settled.includes('8a3d1d91'), 'the sandbox of the Job was neither made nor removed in this boot');
  });

  it('never throws, whatever it holds', () => {
    const known = recordedLines('clock-step/stuck', 'containerd')
      .filter((text) => text.includes('Sandbox'))
      .slice(0, 30);
    const mutated = fc.tuple(
      fc.constantFrom(...known),
      fc.nat(),
      fc.nat(40),
      fc.string({ maxLength: 20, unit: 'binary' }),
    );
    fc.assert(
      fc.property(mutated, ([text, at, cut, insert]) => {
        const start = at % text.length;
        const changed = text.slice(0, start) + insert + text.slice(start + cut);
        const journal = parseJournalLine(changed);
        read(changed, journal?.text ?? '');
      }),
      runs(1_000),
    );
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => void read(text)),
      runs(500),
    );
  });

  it('of a megabyte takes a moment at most', () => {
    const mega = (text: string) => text.repeat(Math.ceil(1_000_000 / text.length));
    for (const body of [
      'Name:',
      '\\',
      '"',
      'failed to destroy network for sandbox "',
      'a=',
      'name: "',
      '&PodSandboxMetadata{Name:',
    ]) {
      const text = `time="2026-11-21T18:01:00Z" level=error msg="RunPodSandbox for ${mega(body)}" error="${mega(body)}"`;
      const start = performance.now();
      read(text);
      const tookMs = performance.now() - start;
      assert.ok(tookMs < 10_000, `${body}: ${Math.round(tookMs)} ms`);
    }
  });
});

describe('parseFields', () => {
  it('reads back what Go quotes', () => {
    const quote = (text: string) => JSON.stringify(text);
    const value = fc.string({ unit: 'grapheme', maxLength: 40 });
    fc.assert(
      fc.property(value, value, (a, b) => {
        const fields = parseFields(`level=info msg=${quote(a)} error=${quote(b)} n={"x":"}"} last=1`);
        assert.deepEqual(
          [...fields],
          [
            ['level', 'info'],
            ['msg', a],
            ['error', b],
            ['n', '{"x":"}"}'],
            ['last', '1'],
          ],
        );
      }),
      runs(300),
    );
  });
});

describe('parseMetadata', () => {
  it('takes an attempt that is there and none for zero', () => {
    assert.equal(parseMetadata('name:"a" uid:"b" namespace:"c" attempt:12')?.attempt, 12);
    assert.equal(parseMetadata('name:"a" uid:"b" namespace:"c"')?.attempt, 0);
    assert.equal(parseMetadata('name:"a" uid:"b"'), undefined);
  });
});

function read(...lines: string[]): RuntimeLog {
  const reader = new RuntimeLogReader();
  for (const text of lines) reader.add({ text });
  return reader.result(false);
}

function minuteNs(minute: number): bigint {
  return BigInt(Date.UTC(2026, 10, 21, 18, minute)) * 1_000_000n;
}

/** A line of logrus; `message` and `error` are escaped already. */
function line(minute: number, level: string, message: string, error?: string): string {
  const time = new Date(Number(minuteNs(minute) / 1_000_000n)).toISOString();
  return `time="${time}" level=${level} msg="${message}"${error === undefined ? '' : ` error="${error}"`}`;
}
