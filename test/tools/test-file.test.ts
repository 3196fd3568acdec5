import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { type FileResult, runFile } from '../../tools/test-file.ts';
import { fileLines, summaryLines } from '../../tools/test-report.ts';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sandwarden-runner-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a sample test file of these lines; `node:test` is imported. */
async function run(lines: readonly string[], timeoutMs = 20_000): Promise<FileResult> {
  const file = join(folder, 'sample.test.mjs');
  writeFileSync(file, ["import { describe, test } from 'node:test';", ...lines].join('\n'));
  return runFile(file, timeoutMs);
}

function outcome(result: FileResult): string[] {
  return result.tests.map((each) => `${each.result} ${each.name.replace(/^.*\/sample/, 'sample')}`);
}

test('leaves are counted, parents and suites are not', async () => {
  const result = await run([
    "describe('suite', () => { test('one', () => {}); test('two', () => { throw new Error('boom'); }); });",
    "test('parent', async (t) => { await t.test('child', () => {}); });",
    "test('rooted', { skip: 'no root' }, () => {});",
  ]);
  const expected = ['passed suite › one', 'failed suite › two', 'passed parent › child', 'skipped rooted'];
  assert.deepEqual(outcome(result), expected);
  assert.match(result.tests[1]?.text ?? '', /Error: boom\n.*sample\.test\.mjs/);
  assert.equal(result.tests[3]?.text, 'no root');
  assert.match(fileLines(result).join('\n'), /^FAILED .*2 passed, 1 skipped, 1 failed\n {2}✖ suite › two\n/);
  assert.equal(summaryLines([result]).at(-1), '2 passed, 1 failed, 1 skipped');
});

test('tests of suites that run at once are named by their own suite', async () => {
  const result = await run([
    'const wait = (ms) => new Promise((done) => setTimeout(done, ms));',
    "describe('all', { concurrency: 2 }, () => {",
    "  for (const [name, ms] of [['slow', 60], ['quick', 20]]) describe(name, { concurrency: 1 }, () => {",
    "    test('one', () => wait(ms)); test('two', async () => { await wait(ms); throw new Error('boom'); });",
    '  });',
    '});',
    "test('after', () => {});",
  ]);
  assert.deepEqual(outcome(result), [
    'passed all › slow › one',
    'failed all › slow › two',
    'passed all › quick › one',
    'failed all › quick › two',
    'passed after',
  ]);
});

test('a parent that fails by itself counts', async () => {
  const result = await run([
    "test('parent', async (t) => { await t.test('child', () => {}); throw new Error('own'); });",
  ]);
  assert.deepEqual(outcome(result), ['passed parent › child', 'failed parent']);
});

test('a process that ends in the middle of a test fails, whatever its exit code', async () => {
  const result = await run(["test('fine', () => {});", "test('leaves', () => process.exit(0));"]);
  const last = result.tests.at(-1);
  assert.equal(last?.result, 'failed');
  assert.match(last.text, /exit code 0/);
});

test('an error at load fails and its text is shown', async () => {
  const result = await run(["throw new Error('at load');"]);
  assert.equal(result.tests.at(-1)?.result, 'failed');
  assert.match(fileLines(result).join('\n'), /Error: at load/);
});

test('a file without tests fails', async () => {
  const result = await run([]);
  assert.deepEqual(
    result.tests.map((each) => each.text),
    ['no test ended in it (exit code 0)'],
  );
});

test('an open handle ends by the deadline of the file', async () => {
  const result = await run(["test('ok', () => { setInterval(() => {}, 1000); });"], 1_500);
  assert.deepEqual(outcome(result), ['passed ok', 'failed sample.test.mjs']);
  assert.match(result.tests[1]?.text ?? '', /no end within 1.5 s; all that started ended, so something keeps/);
});

test('a test that hangs ends by the deadline and is named', async () => {
  const result = await run(["test('stuck', () => new Promise(() => setInterval(() => {}, 1000)));"], 1_500);
  assert.match(result.tests.at(-1)?.text ?? '', /no end within 1.5 s; not ended: stuck/);
});

test('a process left behind fails and is killed', async () => {
  const result = await run([
    "import { spawn } from 'node:child_process';",
    "test('starts', () => { spawn('sleep', ['3600.5'], { stdio: 'ignore' }).unref(); });",
  ]);
  assert.deepEqual(outcome(result), ['passed starts', 'failed sample.test.mjs']);
  assert.match(result.tests[1]?.text ?? '', /left processes behind: sleep 3600\.5/);
});

test('the closing line is the last one, and exact', () => {
  const passed = { name: 'a', tookMs: 1, result: 'passed', text: '' } as const;
  const lines = summaryLines([{ file: 'x.test.ts', tookMs: 1, tests: [passed], output: '' }]);
  assert.equal(lines.at(-1), '1 passed, 0 failed');
});
