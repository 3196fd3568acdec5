/** How test results are told: a line per file, failures in full, and one closing line for scripts. */
import type { FileResult, TestResult } from './test-file.ts';

/** What is printed when a file is through. */
export function fileLines({ file, tests, tookMs, output }: FileResult): string[] {
  const failures = tests.filter((test) => test.result === 'failed');
  const skipped = count(tests, 'skipped');
  const counts = `${count(tests, 'passed')} passed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  const head = `${file.padEnd(52)} ${seconds(tookMs).padStart(8)}  ${counts}`;
  if (failures.length === 0) return [`test     ${head}`];
  const lines = [`FAILED   ${head}, ${failures.length} failed`];
  for (const { name, text } of failures) lines.push(`  ✖ ${name}`, indent(text));
  if (output.trim() !== '') lines.push('  what it wrote:', indent(lastLines(output, 60)));
  return lines;
}

/** What is printed at the end. The last line is `N passed, N failed`, with `, N skipped` where tests were skipped. */
export function summaryLines(results: readonly FileResult[]): string[] {
  const all = results.flatMap(({ file, tests }) => tests.map((test) => ({ ...test, file })));
  const lines: string[] = [''];
  const skipped = all.filter((test) => test.result === 'skipped');
  if (skipped.length > 0) lines.push('Skipped:', ...grouped(skipped), '');
  const slowest = [...all].sort((a, b) => b.tookMs - a.tookMs).slice(0, 5);
  if (slowest.length > 0) lines.push('Slowest:');
  for (const test of slowest) lines.push(`  ${seconds(test.tookMs).padStart(8)}  ${test.file}: ${test.name}`);
  const failed = all.filter((test) => test.result === 'failed');
  if (failed.length > 0) lines.push('', 'Failed:', ...failed.map((test) => `  ${test.file}: ${test.name}`));
  const closing = `${count(all, 'passed')} passed, ${failed.length} failed`;
  return [...lines, '', skipped.length > 0 ? `${closing}, ${skipped.length} skipped` : closing];
}

/** Skipped tests by file and reason: one line for forty tests that all lack root. */
function grouped(skipped: readonly (TestResult & { readonly file: string })[]): string[] {
  const groups = new Map<string, number>();
  for (const { file, text } of skipped) {
    const key = `${file}: ${text === '' ? 'no reason given' : text}`;
    groups.set(key, (groups.get(key) ?? 0) + 1);
  }
  return [...groups].map(([key, number]) => `  ${key} (${number})`);
}

function count(tests: readonly TestResult[], result: TestResult['result']): number {
  return tests.filter((test) => test.result === result).length;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

function indent(text: string): string {
  return text.replace(/^/gm, '    ');
}

function lastLines(text: string, number: number): string {
  return text.trimEnd().split('\n').slice(-number).join('\n');
}
