/**
 * `watch controllers`: what it costs while nobody writes, and how soon a write is a line. A real cgroup2 tree in a
 * mount namespace of the bench's own; root. The program is that of src/, as a script runs it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Figure } from './report.ts';

const required = ['cpu', 'cpuset', 'memory', 'hugetlb', 'pids'];
const IDLE_MS = 60_000;
const ROUNDS_A_REPETITION = 20;

/** Empty where there is no unified tree with a controller to take, or it may not be mounted: it says so. */
export async function benchWatch(repetitions: number): Promise<Figure[]> {
  const self = fileURLToPath(import.meta.url);
  const args = ['-m', process.execPath, self, String(repetitions * ROUNDS_A_REPETITION)];
  const child = spawn('unshare', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
  });
  const code = await new Promise((done) => child.once('close', done));
  if (code !== 0) {
    process.stdout.write(`watch    not measured: ${text.trim() || `unshare ended with ${code}`}\n`);
    return [];
  }
  const { wakeUps, p50, p99, rounds } = JSON.parse(text) as Record<'wakeUps' | 'p50' | 'p99' | 'rounds', number>;
  return [
    {
      name: 'watch: wake-ups of 60 s without a write',
      value: wakeUps,
      unit: '×',
      limit: 0,
      from: 'context switches of all its threads',
    },
    {
      name: 'watch: write to line, p99',
      value: p99,
      unit: 'ms',
      limit: 50,
      from: `of ${rounds}, median ${p50.toFixed(2)}`,
    },
  ];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await measure(Number(process.argv[2]));

/** In the namespace: mounts the tree, measures, takes away what it made. */
async function measure(rounds: number): Promise<void> {
  sh('mount --make-rprivate /');
  const parts = '$2 ~ "^/sys/fs/cgroup/" { print $2 }';
  sh(`awk '${parts}' /proc/mounts | while read -r each; do umount "$each"; done`);
  sh('umount /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup');
  const root = '/sys/fs/cgroup';
  const words = (name: string) => readFileSync(`${root}/${name}`, 'utf8').trim().split(' ');
  const held = words('cgroup.subtree_control');
  const controller = required.find((each) => words('cgroup.controllers').includes(each));
  if (controller === undefined || readdirSync(root).includes('kubepods.slice')) {
    process.stdout.write('no controller in the unified tree, or a kubelet is here');
    process.exit(1);
  }
  const slice = `${root}/kubepods.slice/kubepods-besteffort.slice`;
  sh(`mkdir -p ${slice}`);
  try {
    for (const each of [root, `${root}/kubepods.slice`, slice])
      sh(`echo +${controller} > ${each}/cgroup.subtree_control`);
    process.stdout.write(JSON.stringify(await watched({ slice, controller, rounds })));
  } finally {
    sh(`rmdir ${slice} ${root}/kubepods.slice`);
    if (!held.includes(controller)) sh(`echo -${controller} > ${root}/cgroup.subtree_control`);
  }
}

async function watched({ slice, controller, rounds }: { slice: string; controller: string; rounds: number }) {
  const main = join(import.meta.dirname, '../src/main.ts');
  const child = spawn(process.execPath, [main, 'watch', 'controllers', '-o', 'json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const until = async (type: string) => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error('the watch ended');
      if ((JSON.parse(value) as { type: string }).type === type) return;
    }
  };
  await until('start');
  // What a program does at its start (the collector, the compiler's threads) is over by then.
  await pause(10_000);
  const before = switches(child);
  await pause(IDLE_MS);
  const wakeUps = switches(child) - before;
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    sh(`echo ${round % 2 === 0 ? '-' : '+'}${controller} > ${slice}/cgroup.subtree_control`);
    await until('change');
    times.push(performance.now() - started);
  }
  child.kill('SIGINT');
  await until('end');
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.min(Math.floor(times.length * share), times.length - 1)] ?? Number.NaN;
  return { wakeUps, p50: at(0.5), p99: at(0.99), rounds };
}

/** Voluntary and other context switches of all threads of a process (proc(5)). */
function switches({ pid }: ChildProcess): number {
  return readdirSync(`/proc/${pid}/task`).reduce((sum, task) => {
    const status = readFileSync(`/proc/${pid}/task/${task}/status`, 'utf8');
    return sum + [...status.matchAll(/ctxt_switches:\s+(\d+)/g)].reduce((all, [, count]) => all + Number(count), 0);
  }, 0);
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

function sh(script: string): void {
  spawnSync('sh', ['-c', script], { stdio: ['ignore', 'ignore', 'inherit'] });
}
