// Goal: what scripts read never changes by accident, in any command. Method: each command that writes JSON as its own
// process, over recorded nodes and files of a fixed date, against a file. heal, anchor, status and incident have theirs
// where their worlds are built.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { encodeEntry } from '../../src/heal/entries.ts';
import { unknown } from '../../src/model/observed.ts';
import { encodeSnapshot } from '../../src/observe/snapshot-file.ts';
import { readRecording } from '../helpers/recording.ts';
import { tempDir } from '../helpers/temp.ts';
import { plan } from './fixtures.ts';
import { assertGolden } from './golden.ts';
import { sandwarden } from './spawn.ts';

const well = readRecording('normal-reboot');
const refused = unknown('ERR_SOCKET_FORBIDDEN', 'may not open /run/containerd/containerd.sock', 'Run as root.');
const nodes = {
  healthy: { snapshot: { ...well, processes: { known: true, value: { holders: [] } } as const }, code: 0 },
  gaps: {
    snapshot: { ...well, kubeletLog: unknown('ERR_FORBIDDEN', 'may not read the journal', 'Run as root.') },
    code: 10,
  },
  unobservable: { snapshot: { ...well, runtime: refused, sandboxes: refused, containers: refused }, code: 77 },
  stuck: { snapshot: readRecording('clock-step/stuck'), code: 20 },
} as const;

describe('check', () => {
  for (const [name, { snapshot, code }] of Object.entries(nodes)) {
    test(`of a node that is ${name}: JSON, JUnit and SARIF by the whole catalogue`, async () => {
      await using dir = await tempDir();
      const path = dir.join('node.json');
      writeFileSync(path, encodeSnapshot(snapshot));
      const json = await sandwarden(['check', '--snapshot', path, '-o', 'json']);
      assert.equal(json.code, code, json.stderr);
      assert.equal(JSON.parse(json.stdout).format, 'sandwarden.check/1');
      assert.equal(JSON.parse(json.stdout).exitCode, json.code);
      assertGolden(`json/check-${name}.json`, json.stdout);
      const junit = await sandwarden(['check', '--snapshot', path, '-o', 'junit']);
      assertGolden(`json/check-${name}.xml`, junit.stdout);
    });
  }
});

test('explain CODE, explain pod and findings', async () => {
  await using dir = await tempDir();
  const path = dir.join('node.json');
  writeFileSync(path, encodeSnapshot(readRecording('cgroup-flapping')));
  assertGolden('json/explain.json', (await sandwarden(['explain', 'SW102', '-o', 'json'])).stdout);
  const pod = await sandwarden(['explain', 'pod', 'default/web', '--snapshot', path, '-o', 'json']);
  assert.equal(JSON.parse(pod.stdout).format, 'sandwarden.explain-pod/1');
  assertGolden('json/explain-pod.json', pod.stdout);
  const findings = JSON.parse((await sandwarden(['findings', '-o', 'json'])).stdout) as Record<string, unknown>[];
  // The words are held by docs/findings/; here it is which fields there are, and the stable part of each.
  const stable = findings.map((each) => [each.code, each.name, each.severity, Object.keys(each).join(' ')].join(' | '));
  assertGolden('json/findings.txt', `${stable.join('\n')}\n`);
});

test('history', async () => {
  await using dir = await tempDir();
  const at = { wallNs: 1_795_290_000_000_000_000n, uptimeNs: 60_000_000_000n, bootId: 'b'.repeat(32) };
  const [action] = plan.actions;
  assert.ok(action);
  const bodies = [
    { kind: 'run-start', mode: 'run', planned: 1, refused: 1, sandboxesOnNode: 40 },
    { kind: 'intent', action, read: 'NotReady' },
    { kind: 'outcome', of: 2, result: 'done', why: '', tookMs: 112, found: false },
    { kind: 'run-end', done: 1, already: 0, failed: 0, skipped: 0, recovery: { state: 'recovered', tookMs: 9_240 } },
  ] as const;
  const lines = bodies.map((body, index) => encodeEntry({ v: 1, seq: index + 1, runId: 'one', at, ...body }));
  writeFileSync(dir.join('journal.ndjson'), lines.join(''), { mode: 0o600 });
  const { stdout, code } = await sandwarden(['history', '--state-dir', dir.path, '-o', 'json']);
  assert.equal(code, 0);
  assert.equal(JSON.parse(stdout).format, 'sandwarden.history/1');
  assertGolden('json/history.json', stdout.replaceAll(dir.path, '/var/lib/sandwarden'));
});
