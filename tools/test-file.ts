/** Runs one test file in a process group of its own and says what became of it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { TestEvent } from './reporter.ts';

export interface TestResult {
  readonly name: string;
  readonly tookMs: number;
  readonly result: 'passed' | 'failed' | 'skipped';
  /** The error of a failure, the reason of a skip. */
  readonly text: string;
}

export interface FileResult {
  readonly file: string;
  readonly tookMs: number;
  readonly tests: readonly TestResult[];
  /** What the tests wrote to stdout and stderr. */
  readonly output: string;
}

const running = new Set<ChildProcess>();
const outputLimit = 1024 * 1024;

/** Ends every test process that still runs, with all its children. */
export function killAll(): void {
  for (const child of running) killGroup(child);
}

/**
 * Runs `file`. Besides the tests' own failures these are failures too: a crash, a file without tests,
 * no end within `timeoutMs`, and processes that are left in its group.
 */
export async function runFile(file: string, timeoutMs: number): Promise<FileResult> {
  const folder = mkdtempSync(join(tmpdir(), 'sandwarden-test-'));
  const events = join(folder, 'events');
  const started = performance.now();
  try {
    const reporter = pathToFileURL(join(import.meta.dirname, 'reporter.ts')).href;
    const args = [`--test-reporter=${reporter}`, `--test-reporter-destination=${events}`, file];
    const child = spawn(process.execPath, args, { detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
    const { output, ending } = await watch(child, timeoutMs);
    const left = await leftovers(child);
    killGroup(child);
    const { tests, open, ended } = readEvents(events);
    const problem = problemOf({ ending, left, tests, open, ended });
    const tookMs = performance.now() - started;
    const own: TestResult[] = problem === undefined ? [] : [{ name: file, tookMs, result: 'failed', text: problem }];
    return { file, tookMs, tests: [...tests, ...own], output };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Ending {
  readonly code: number | null;
  readonly signal: string | null;
  readonly timedOutMs?: number;
}

async function watch(child: ChildProcess, timeoutMs: number): Promise<{ output: string; ending: Ending }> {
  let output = '';
  const keep = (chunk: Buffer) => {
    output = (output + chunk.toString()).slice(-outputLimit);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  running.add(child);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    killGroup(child);
  }, timeoutMs);
  const ending = await new Promise<Ending>((resolve, reject) => {
    child.once('error', reject);
    // Not `close`: a process that was left behind may hold the pipes.
    child.once('exit', (code, signal) => {
      setImmediate(() => resolve(timedOut ? { code, signal, timedOutMs: timeoutMs } : { code, signal }));
    });
  });
  clearTimeout(timer);
  running.delete(child);
  child.stdout?.destroy();
  child.stderr?.destroy();
  return { output, ending };
}

interface Events {
  readonly tests: readonly TestResult[];
  /** The names of tests that started and did not end. */
  readonly open: readonly string[];
  /** Whether the process came to the end of its tests. */
  readonly ended: boolean;
}

function readEvents(path: string): Events {
  const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
  const events = lines.filter((line) => line.endsWith('}')).map((line) => JSON.parse(line) as TestEvent);
  const tests: (TestResult & { nesting: number })[] = [];
  const open: { readonly name: string; readonly nesting: number }[] = [];
  let deepest = 0;
  for (const event of events) {
    if (event.kind === 'summary') continue;
    const { name, nesting } = event;
    if (event.kind === 'started') {
      open.push({ name, nesting });
      continue;
    }
    const started = open.findIndex((each) => each.name === name && each.nesting === nesting);
    if (started !== -1) open.splice(started, 1);
    // Starts come as they happen, so suites that run at once mix theirs. Ends come in the order of the file, children
    // before their parent: what ended since and is deeper is of this one.
    const parent = deepest > nesting || event.suite;
    deepest = nesting;
    for (let at = tests.length - 1; parent && at >= 0; at -= 1) {
      const child = tests[at];
      if (child === undefined || child.nesting <= nesting) break;
      tests[at] = { ...child, name: `${name} › ${child.name}`, nesting };
    }
    // A parent counts only for a failure of its own.
    if (parent && event.error === undefined) continue;
    const result = event.skipped !== undefined ? 'skipped' : event.passed ? 'passed' : 'failed';
    tests.push({ name, nesting, tookMs: event.tookMs, result, text: event.skipped ?? event.error ?? '' });
  }
  const ended = events.some((event) => event.kind === 'summary');
  return { tests: tests.map(({ nesting: _, ...each }) => each), open: open.map((each) => each.name), ended };
}

function problemOf(of: Events & { ending: Ending; left: readonly string[] }): string | undefined {
  const { ending, left, tests, open, ended } = of;
  const hint = open.length > 0 ? `; not ended: ${open.join(', ')}` : '';
  if (ending.timedOutMs !== undefined) {
    const why = open.length > 0 ? '' : '; all that started ended, so something keeps the process alive';
    return `no end within ${ending.timedOutMs / 1000} s${hint}${why}`;
  }
  if (left.length > 0) return `left processes behind: ${left.join('; ')}`;
  if (ending.code === 0 && tests.length + open.length === 0) return 'no test ended in it (exit code 0)';
  const failed = tests.some((test) => test.result === 'failed');
  if (!ended) return `ended with ${ending.signal ?? `exit code ${ending.code}`} before its tests did${hint}`;
  return ending.code !== 0 && !failed ? `exit code ${ending.code} although no test failed${hint}` : undefined;
}

/** The command lines of the processes that are still in the group of `child`, once they had a moment to go. */
async function leftovers(child: ChildProcess): Promise<string[]> {
  const deadline = performance.now() + 2_000;
  for (;;) {
    const found = child.pid === undefined ? [] : groupMembers(child.pid);
    if (found.length === 0 || performance.now() > deadline) return found;
    await sleep(50);
  }
}

function groupMembers(group: number): string[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const [state, , processGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(processGroup) !== group || state === 'Z' || state === 'X') return [];
      return [readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()];
    } catch (error) {
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
      throw error;
    }
  });
}

function killGroup(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
