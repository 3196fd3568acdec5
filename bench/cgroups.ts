/** The cgroup part of `check`: a node of 250 pods against one of 10, read from real files. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fakeTreeFiles, uidOf } from '../test/helpers/fake-node-tree.ts';
import type { Figure } from './report.ts';

/**
 * As a check does it: one process, one read, nothing warm. What the process needs before and after is not counted.
 * Files of a disk or of memory stand for those of cgroupfs: the calls are the same.
 */
export async function benchCgroups(repetitions: number): Promise<Figure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'sandwarden-bench-'));
  try {
    const nodes = [10, 250].map((pods) => {
      return { root: makeNode(join(folder, String(pods)), pods), pods, times: [] as number[] };
    });
    for (let round = 0; round <= repetitions; round++) {
      for (const node of nodes) {
        const ms = readOnce(node.root, node.pods);
        if (round > 0) node.times.push(ms);
      }
    }
    const [few = Number.NaN, many = Number.NaN] = nodes.map((each) => median(each.times));
    const from = `${many.toFixed(2)} ms against ${few.toFixed(2)} ms`;
    return [{ name: 'cgroups of 250 pods, of 10', value: many / few, unit: '×', limit: 2, from }];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function makeNode(root: string, count: number): string {
  const qos = ['burstable', 'besteffort', 'guaranteed'] as const;
  const pods = Array.from({ length: count }, (_, index) => ({
    uid: uidOf(index),
    qos: qos[index % 3] ?? 'burstable',
    scopes: ['cri-containerd-0.scope', 'cri-containerd-1.scope'].map((each) => each.replace('d-', `d-${index}`)),
  }));
  for (const [path, text] of fakeTreeFiles({ pods })) {
    mkdirSync(dirname(`${root}${path}`), { recursive: true });
    writeFileSync(`${root}${path}`, text);
  }
  // What else is in a tree: services in slices, which are searched for stray directories.
  for (let index = 0; index < 60; index++)
    mkdirSync(`${root}/sys/fs/cgroup/system.slice/s${index}.service`, { recursive: true });
  return root;
}

/** Milliseconds of the one read of a process. */
function readOnce(root: string, pods: number): number {
  const script = `
    import { readCgroups } from ${JSON.stringify(module('cgroups.ts'))};
    import { systemCgroupFs } from ${JSON.stringify(module('cgroup-fs.ts'))};
    const start = performance.now();
    const { pods } = readCgroups(systemCgroupFs(${JSON.stringify(root)}));
    process.stdout.write(JSON.stringify([performance.now() - start, pods.length]));`;
  const out = execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
  const [ms, found] = JSON.parse(out) as [number, number];
  if (found !== pods) throw new Error('a pod was lost');
  return ms;
}

function module(name: string): string {
  return pathToFileURL(join(import.meta.dirname, '../src/observe/cgroup', name)).href;
}

function median(of: readonly number[]): number {
  return of.toSorted((a, b) => a - b)[Math.floor(of.length / 2)] ?? Number.NaN;
}
