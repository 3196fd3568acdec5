/**
 * The embedded containerd in a process of its own: `node-server.ts SOCKET PODS`. Each pod has gone through a normal
 * reboot: a NotReady sandbox of before, a READY one of now, two containers in each. Says `ready` when it listens.
 */
import { realClock } from '../src/embedded/clock.ts';
import { Containerd } from '../src/embedded/containerd.ts';
import { noLatency } from '../src/embedded/daemon.ts';
import { flavours } from '../src/embedded/flavour.ts';
import { Machine } from '../src/embedded/machine.ts';
import { seededRandom } from '../src/embedded/random.ts';
import { serveCri } from '../src/embedded/server.ts';

const [socket = '', pods = ''] = process.argv.slice(2);
const clock = realClock();
const machine = new Machine(clock, seededRandom(1));
const before = await start();
for (let pod = 0; pod < Number(pods); pod++) await runPod(before, pod, 0);
machine.powerCut();
before.die();
machine.powerOn();
const now = await start();
for (let pod = 0; pod < Number(pods); pod++) await runPod(now, pod, 1);
await serveCri(socket, () => now, clock);
process.stdout.write('ready\n');

async function start(): Promise<Containerd> {
  const containerd = new Containerd(machine, flavours['2.1'], noLatency, () => {});
  const started = await containerd.start();
  if (!started.ok) throw new Error(started.fatal);
  return containerd;
}

async function runPod(containerd: Containerd, pod: number, attempt: number): Promise<void> {
  const [name, namespace, uid] = [`web-${pod}`, 'default', `0000-${pod}`];
  const labels = {
    'io.kubernetes.pod.name': name,
    'io.kubernetes.pod.namespace': namespace,
    'io.kubernetes.pod.uid': uid,
  };
  const annotations = { 'kubernetes.io/config.source': 'api' };
  const config = { name, namespace, uid, attempt, hostNetwork: false, cgroupParent: '', labels, annotations };
  const signal = new AbortController().signal;
  const sandboxId = await containerd.runSandbox(config, '', signal);
  for (const container of ['main', 'log']) {
    const image = 'registry.example/main:1';
    const wanted = { name: container, attempt, image, command: ['main'], labels, annotations: {} };
    await containerd.startContainer(await containerd.createContainer(sandboxId, wanted));
  }
}
