/** `fleet` over a large cluster. The API server is the laboratory's, in a process of its own on the same machine. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Case, measure, peakMemory } from './measure.ts';
import { type Figure, show } from './report.ts';

const root = join(import.meta.dirname, '..');

/** 1,000 nodes with 50 pods each, of which 20 nodes are in trouble. */
export async function benchFleet(repetitions: number): Promise<Figure[]> {
  const [nodes, pods] = [1_000, 50_000];
  const server = spawn(process.execPath, [join(import.meta.dirname, 'fleet-server.ts'), String(nodes), String(pods)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const folder = mkdtempSync(join(tmpdir(), 'sandwarden-bench-'));
  try {
    const kubeconfig = join(folder, 'config');
    writeFileSync(kubeconfig, kubeconfigOf(await urlOf(server)));
    const args = [join(root, 'dist/sandwarden.js'), 'fleet', '--kubeconfig', kubeconfig, '-o', 'json'];
    const fleet: Case = { name: 'fleet', args, exits: [20] };
    const [mine] = await measure([fleet], Math.min(repetitions, 5));
    if (!mine) throw new Error('a case was lost');
    const peak = (await peakMemory(fleet)) / 1e6;
    const name = 'fleet, 1,000 nodes, 50,000 pods';
    return [
      {
        name: `${name}: wall`,
        value: mine.wallMs,
        unit: 'ms',
        limit: 5_000,
        from: `${show(mine.cpuMs)} ms of CPU of its own`,
      },
      { name: `${name}: memory`, value: peak, unit: 'MB', limit: 300, from: 'peak resident' },
    ];
  } finally {
    server.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

async function urlOf(server: ChildProcess): Promise<string> {
  if (server.stdout === null) throw new Error('the server has no output');
  const [chunk] = (await once(server.stdout, 'data')) as [Buffer];
  return chunk.toString('utf8').trim();
}

function kubeconfigOf(server: string): string {
  return JSON.stringify({
    'current-context': 'bench',
    contexts: [{ name: 'bench', context: { cluster: 'bench' } }],
    clusters: [{ name: 'bench', cluster: { server } }],
  });
}
