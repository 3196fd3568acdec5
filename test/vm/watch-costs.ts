/**
 * What anchors and watching cost, measured in the guest. Held to: that a pod keeps its own CPUs, a line for each write,
 * no wake-up without an event, and 50 ms from a write to its line where the host has a processor to spare: an emulated
 * guest takes what that leaves it, so on a busy one the time is only printed (`make bench` holds it). So is memory.
 */
import assert from 'node:assert/strict';
import { availableParallelism, loadavg } from 'node:os';
import type { TestContext } from 'node:test';
import type { Vm } from '../../lab/vm/vm.ts';
import * as node from './controllers.ts';

/** With node-wide anchors: their memory, and a pod with CPUs of its own. */
export async function measureAnchors(vm: Vm, t: TestContext): Promise<void> {
  const memory =
    await vm.out(`for unit in $(systemctl list-units --plain --no-legend 'sandwarden-anchor-*' | cut -d' ' -f1); do
  pid=$(systemctl show -p MainPID --value $unit)
  echo $unit $(grep VmRSS /proc/$pid/status) charged $(systemctl show -p MemoryCurrent --value $unit)
done`);
  for (const line of memory.trim().split('\n')) t.diagnostic(line);
  assert.equal(memory.trim().split('\n').length, 3, memory);
  const pinned = node.podOf('pinned', 13, 'burstable');
  const others = [node.podOf('vm-a', 10), node.podOf('vm-b', 11, 'burstable'), node.podOf('vm-g', 12, 'guaranteed')];
  await node.wantPods(vm, [...others, pinned]);
  const slice = `kubepods-burstable-pod${pinned.uid.replaceAll('-', '_')}.slice`;
  // What runc asks systemd for where the CPU manager gives a container CPUs of its own.
  const scopes = (
    await vm.out(`ls /sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/${slice} | grep scope$`)
  ).trim();
  for (const scope of scopes.split('\n')) await vm.out(`systemctl set-property --runtime ${scope} AllowedCPUs=1`);
  await node.provoke(vm);
  await vm.out('systemctl daemon-reload', { timeoutMs: 120_000 });
  for (const scope of scopes.split('\n')) {
    const cpus = `/sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice/${slice}/${scope}/cpuset.cpus.effective`;
    assert.equal((await vm.out(['cat', cpus])).trim(), '1', 'the pod keeps its own CPUs');
  }
  for (const each of node.qosSlices) assert.ok((await node.handedDown(vm, each)).includes('cpuset'), each);
  await node.wantPods(vm, others);
  t.diagnostic('a pod with CPUs of its own keeps them');
}

/** From a write to the printed line, and what a watch does while nothing happens. kubelet is off meanwhile. */
export async function measureWatch(vm: Vm, t: TestContext): Promise<void> {
  await vm.out('systemctl stop kubelet', { timeoutMs: 120_000 });
  await vm.put('/root/measure.mjs', measure);
  const text = await vm.out('node /root/measure.mjs', { timeoutMs: 600_000 });
  await vm.out('systemctl start kubelet');
  const { latenciesMs, switches, seconds } = JSON.parse(text) as {
    latenciesMs: number[];
    switches: Record<string, { voluntary: number; nonvoluntary: number }>;
    seconds: number;
  };
  const sorted = latenciesMs.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
  const [p50, p99] = [at(0.5), at(0.99)];
  t.diagnostic(`from a write to the line: ${sorted.length} writes, p50 ${p50.toFixed(1)} ms, p99 ${p99.toFixed(1)} ms`);
  t.diagnostic(`context switches in ${seconds} s without an event, by thread: ${JSON.stringify(switches)}`);
  assert.equal(sorted.length, 200, 'each write has its line');
  const [load = 0] = loadavg();
  if (load < availableParallelism()) assert.ok(p99 <= 50, `p99 ${p99} ms at a load of ${load}`);
  assert.ok(Object.keys(switches).length > 0, 'no thread was counted');
  const woke = Object.entries(switches).filter(([, { voluntary }]) => voluntary > 0);
  assert.deepEqual(woke, [], 'a thread woke though nobody wrote');
}

/** One controller of an empty slice goes and comes; lines and writes are dated by the same clock. */
const measure = `import { spawn } from 'node:child_process';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
const file = '/sys/fs/cgroup/kubepods.slice/kubepods-besteffort.slice/cgroup.subtree_control';
const watch = spawn('/usr/local/bin/sandwarden', ['watch', 'controllers', '-o', 'json', '--for', '1h']);
const lines = [];
let rest = '';
let told = () => {};
watch.stdout.on('data', (chunk) => {
  const at = performance.now();
  const parts = (rest + chunk).split('\\n');
  rest = parts.pop();
  for (const part of parts) lines.push({ ...JSON.parse(part), seenAt: at });
  told();
});
const until = async (condition) => {
  while (!condition()) await new Promise((resolve) => (told = resolve));
};
const changes = () => lines.filter((each) => each.type === 'change');
await until(() => lines.some((each) => each.type === 'start'));
writeFileSync(file, '+cpuset');
await sleep(2000);
const latenciesMs = [];
for (let round = 0; round < 200; round++) {
  const before = changes().length;
  const at = performance.now();
  writeFileSync(file, round % 2 === 0 ? '-cpuset' : '+cpuset');
  await Promise.race([until(() => changes().length > before), sleep(5000)]);
  const line = changes()[before];
  if (line) latenciesMs.push(line.seenAt - at);
  await sleep(20);
}
const counted = () => {
  const found = {};
  for (const thread of readdirSync('/proc/' + watch.pid + '/task')) {
    const status = readFileSync('/proc/' + watch.pid + '/task/' + thread + '/status', 'utf8');
    const count = (name) => Number(new RegExp(name + ':\\\\s+(\\\\d+)').exec(status)[1]);
    const name = thread + ' ' + /Name:\\s+(.*)/.exec(status)[1];
    found[name] = { voluntary: count('\\nvoluntary_ctxt_switches'), nonvoluntary: count('nonvoluntary_ctxt_switches') };
  }
  return found;
};
// V8 tidies up for half a minute after work.
await sleep(45000);
const was = counted();
await sleep(60000);
const now = counted();
const none = { voluntary: 0, nonvoluntary: 0 };
const since = (each, kind) => now[each][kind] - (was[each] ?? none)[kind];
const switches = Object.fromEntries(
  Object.keys(now).map((each) => [
    each,
    { voluntary: since(each, 'voluntary'), nonvoluntary: since(each, 'nonvoluntary') },
  ]),
);
watch.kill('SIGINT');
process.stdout.write(JSON.stringify({ latenciesMs, switches, seconds: 60 }));
`;
