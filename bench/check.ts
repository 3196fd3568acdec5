/** `check` on a busy node against a bare client, and its memory on one that is far too busy. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';
import { type Case, measure, peakMemory } from './measure.ts';
import { type Figure, show } from './report.ts';

const root = join(import.meta.dirname, '..');

/** 500 sandboxes and 1,000 containers; the embedded runtime is a process of its own, warm for both. */
export async function benchCheck(repetitions: number): Promise<Figure[]> {
  const bare = await bundleBareClient();
  return withNode(250, async (socket) => {
    const [check, reference] = await measure(
      [checkCase(socket), { name: 'bare client', args: [bare, socket] }],
      repetitions,
    );
    if (!check || !reference) throw new Error('a case was lost');
    const from = `${show(check.wallMs)} ms against ${show(reference.wallMs)} ms of a bare client`;
    const cpu = `${show(check.cpuMs)} ms against ${show(reference.cpuMs)} ms`;
    return [
      { name: 'check, 500 sandboxes: wall', value: check.wallMs / reference.wallMs, unit: '×', limit: 2.5, from },
      { name: 'check, 500 sandboxes: CPU', value: check.cpuMs / reference.cpuMs, unit: '×', limit: 2.5, from: cpu },
      { name: 'check, 500 sandboxes', value: check.wallMs, unit: 'ms', limit: 400, from: 'median, whole process' },
    ];
  });
}

/** Peak memory of `check` at 10,000 sandboxes and 20,000 containers. */
export async function benchMemory(): Promise<Figure[]> {
  return withNode(5_000, async (socket) => {
    const value = (await peakMemory(checkCase(socket))) / 1e6;
    return [{ name: 'check, 10,000 sandboxes: memory', value, unit: 'MB', limit: 200, from: 'peak resident' }];
  });
}

function checkCase(socket: string): Case {
  const args = [join(root, 'dist/sandwarden.js'), 'check', '--runtime-endpoint', `unix://${socket}`, '-o', 'json'];
  // What else is wrong with the machine of the bench is its own business.
  return { name: 'check', args, exits: [0, 10] };
}

async function bundleBareClient(): Promise<string> {
  const folder = join(root, '.cache/bench');
  mkdirSync(folder, { recursive: true });
  const outfile = join(folder, 'bare-client.mjs');
  const options = { bundle: true, format: 'esm', platform: 'node', target: 'node22.18' } as const;
  await build({ ...options, entryPoints: [join(import.meta.dirname, 'bare-client.ts')], outfile, logLevel: 'warning' });
  return outfile;
}

async function withNode(pods: number, work: (socket: string) => Promise<Figure[]>): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sandwarden-bench-'));
  const socket = join(folder, 'cri.sock');
  const args = [join(import.meta.dirname, 'node-server.ts'), socket, String(pods)];
  const server = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await Promise.race([once(server.stdout, 'data'), failure(server)]);
    return await work(socket);
  } finally {
    server.kill();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function failure(server: ChildProcess): Promise<never> {
  const [code] = await once(server, 'exit');
  throw new Error(`the embedded node ended with ${code}`);
}
