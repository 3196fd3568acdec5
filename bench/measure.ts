/** Whole processes, measured from spawn to exit, one after the other and in turns: what slows one slows all. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';

export interface Case {
  readonly name: string;
  /** Arguments of the Node that runs the bench. */
  readonly args: readonly string[];
  /** The exit codes that count as done; only 0 where absent. */
  readonly exits?: readonly number[];
}

export interface Measured {
  readonly name: string;
  /** Median of the wall times, milliseconds. */
  readonly wallMs: number;
  /** Mean of user and system time, milliseconds: the kernel counts them in ticks of 10 ms. */
  readonly cpuMs: number;
}

/** Runs each case once for warmth, then `repetitions` times, in turns. Throws where one ends as it should not. */
export async function measure(cases: readonly Case[], repetitions: number): Promise<Measured[]> {
  const runs = cases.map((each) => ({ ...each, wall: [] as number[], cpu: [] as number[] }));
  for (let round = 0; round <= repetitions; round++) {
    for (const each of runs) {
      const { wallMs, cpuMs } = await runOnce(each);
      if (round === 0) continue;
      each.wall.push(wallMs);
      each.cpu.push(cpuMs);
    }
  }
  return runs.map(({ name, wall, cpu }) => {
    return { name, wallMs: median(wall), cpuMs: cpu.reduce((sum, ms) => sum + ms, 0) / cpu.length };
  });
}

/** Peak resident memory of one run in bytes: VmHWM at its exit, since rusage would count the bench before exec too. */
export async function peakMemory(of: Case): Promise<number> {
  const preload = `data:text/javascript,${encodeURIComponent(tellPeak)}`;
  const stdio = ['ignore', 'ignore', 'inherit', 'pipe'] as const;
  const child = spawn(process.execPath, ['--import', preload, ...of.args], { stdio: [...stdio] });
  let text = '';
  child.stdio[3]?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  const [code] = (await once(child, 'close')) as [number | null];
  expectExit(of, code);
  const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(text)?.[1];
  if (kibibytes === undefined) throw new Error(`${of.name} did not tell its peak memory`);
  return Number(kibibytes) * 1024;
}

const tellPeak = `
  import { readFileSync, writeSync } from 'node:fs';
  process.on('exit', () => writeSync(3, readFileSync('/proc/self/status')));
`;

/** The middle of `values`, or the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = Math.floor(sorted.length / 2);
  const [low = Number.NaN, high = Number.NaN] = [sorted[sorted.length % 2 === 0 ? half - 1 : half], sorted[half]];
  return (low + high) / 2;
}

async function runOnce(each: Case): Promise<{ wallMs: number; cpuMs: number }> {
  const before = childrenCpuMs();
  const started = performance.now();
  const child = spawn(process.execPath, each.args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = (await once(child, 'exit')) as [number | null];
  const wallMs = performance.now() - started;
  expectExit(each, code);
  return { wallMs, cpuMs: childrenCpuMs() - before };
}

function expectExit({ name, exits = [0] }: Case, code: number | null): void {
  if (code === null || !exits.includes(code))
    throw new Error(`${name} ended with ${code}, expected ${exits.join(' or ')}`);
}

/** User and system time of all children that have ended (proc(5): cutime, cstime). */
function childrenCpuMs(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticksPerSecond = 100;
  return ((Number(fields[13]) + Number(fields[14])) * 1000) / ticksPerSecond;
}
