/**
 * Runs the tests: `test.ts [--fast] [PART OF A PATH…]`. First those that can run beside each other, then, one at
 * a time, those that share the machine (test/scenario, test/real). Ends with `N passed, N failed`.
 */
import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type FileResult, killAll, runFile } from './test-file.ts';
import { fileLines, summaryLines } from './test-report.ts';

const fastTimeoutMs = 180_000;
const sharedTimeoutMs = 600_000;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killAll();
    process.exit(130);
  });
}
process.once('exit', killAll);
await main();

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ options: { fast: { type: 'boolean' } }, allowPositionals: true });
  process.chdir(resolve(import.meta.dirname, '..'));
  // The certificates cost each start of a test process some milliseconds, and no test leaves the machine.
  delete process.env.NODE_EXTRA_CA_CERTS;
  const wanted = (file: string) => positionals.length === 0 || positionals.some((part) => file.includes(part));
  const files = globSync('test/**/*.test.ts').sort().filter(wanted);
  if (files.length === 0) print([`no test file matches ${positionals.join(', ')}`]);
  const shared = files.filter((file) => /^test\/(scenario|real)\b/.test(file));
  const results = await runAll(
    files.filter((file) => !shared.includes(file)),
    2,
    fastTimeoutMs,
  );
  if (values.fast) print(shared.map((file) => `skip     ${file} (needs the machine for itself: make test)`));
  else results.push(...(await runAll(shared, 1, sharedTimeoutMs)));
  print(summaryLines(results));
  const failed = results.some((result) => result.tests.some((test) => test.result === 'failed'));
  process.exitCode = failed || results.length === 0 ? 1 : 0;
}

async function runAll(files: readonly string[], concurrency: number, timeoutMs: number): Promise<FileResult[]> {
  const queue = [...files];
  const results: FileResult[] = [];
  const worker = async () => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      const result = await runFile(file, timeoutMs);
      results.push(result);
      print(fileLines(result));
    }
  };
  await Promise.all(Array.from({ length: concurrency }, worker));
  return results;
}

function print(lines: readonly string[]): void {
  for (const line of lines) process.stdout.write(`${line}\n`);
}
