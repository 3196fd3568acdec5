/**
 * Runs the tests: `test.ts [--fast] [--lab] [PART OF A PATH…]`. First those that can run beside each other, then, one
 * at a time, those that share the machine (test/scenario, test/real, test/vm). What takes hours (test/vm/matrix), or
 * makes a Kubernetes first (test/cluster), runs with --lab only. Ends with `N passed, N failed`.
 */
import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type FileResult, killAll, runFile } from './test-file.ts';
import { fileLines, summaryLines } from './test-report.ts';

const fastTimeoutMs = 180_000;
const sharedTimeoutMs = 600_000;
/** Making the image of a virtual machine takes minutes where none is cached. */
const vmTimeoutMs = 1_800_000;
/** Both images and a dozen boots each, emulated. */
const matrixTimeoutMs = 7_200_000;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    killAll();
    process.exit(130);
  });
}
process.once('exit', killAll);
await main();

async function main(): Promise<void> {
  const options = { fast: { type: 'boolean' }, lab: { type: 'boolean' } } as const;
  const { values, positionals } = parseArgs({ options, allowPositionals: true });
  process.chdir(resolve(import.meta.dirname, '..'));
  // The certificates cost each start of a test process some milliseconds, and no test leaves the machine.
  delete process.env.NODE_EXTRA_CA_CERTS;
  const wanted = (file: string) => positionals.length === 0 || positionals.some((part) => file.includes(part));
  const files = globSync('test/**/*.test.ts').sort().filter(wanted);
  if (files.length === 0) print([`no test file matches ${positionals.join(', ')}`]);
  const isLong = (file: string) => longOf(file) !== undefined && !values.lab;
  const shared = files.filter((file) => /^test\/(scenario|real|vm|cluster)\b/.test(file) && !isLong(file));
  const results = await runAll(
    files.filter((file) => !shared.includes(file) && !isLong(file)),
    2,
    fastTimeoutMs,
  );
  if (values.fast) print(shared.map((file) => `skip     ${file} (needs the machine for itself: make test)`));
  else for (const file of shared) results.push(...(await runAll([file], 1, sharedLimitMs(file))));
  print(files.filter(isLong).map((file) => `skip     ${file} (takes long: ${longOf(file)})`));
  print(summaryLines(results));
  const failed = results.some((result) => result.tests.some((test) => test.result === 'failed'));
  process.exitCode = failed || results.length === 0 ? 1 : 0;
}

/** The command that runs a file which is too long for `make test`. */
function longOf(file: string): string | undefined {
  if (file.startsWith('test/cluster/')) return 'make lab-cluster';
  return file.startsWith('test/vm/matrix/') ? 'make lab' : undefined;
}

function sharedLimitMs(file: string): number {
  if (longOf(file) !== undefined) return matrixTimeoutMs;
  return file.startsWith('test/vm/') ? vmTimeoutMs : sharedTimeoutMs;
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
