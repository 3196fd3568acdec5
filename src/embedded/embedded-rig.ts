import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ConnectOptions, connectCri } from '../cri/connect.ts';
import type { CriRunner } from '../cri/types.ts';
import { realClock } from './clock.ts';
import { Containerd } from './containerd.ts';
import { noLatency } from './daemon.ts';
import { type Flavour, flavours } from './flavour.ts';
import { Machine } from './machine.ts';
import { seededRandom } from './random.ts';
import type { Rig } from './rig.ts';
import { type CriServer, serveCri } from './server.ts';

/** The embedded containerd behind a real unix socket in a temporary directory, in real time. It is not started.
 * `deadlines` are its client's. */
export async function embeddedRig(flavour: Flavour['name'], deadlines: ConnectOptions = {}): Promise<Rig> {
  const dir = await mkdtemp(join(tmpdir(), 'sandwarden-rig-'));
  const socket = join(dir, 'containerd.sock');
  const clock = realClock();
  const machine = new Machine(clock, seededRandom(randomInt(2 ** 32)));
  let containerd: Containerd | undefined;
  let server: CriServer | undefined;
  let client: CriRunner | undefined;

  async function down(leaveSocket: boolean): Promise<void> {
    containerd?.die();
    containerd = undefined;
    client?.close();
    client = undefined;
    await server?.close(leaveSocket);
    server = undefined;
  }
  return {
    name: `embedded ${flavour}`,
    flavour,
    get cri() {
      if (!client) throw new Error('the rig is not started');
      return client;
    },
    cni: async ({ add, del }) => {
      if (add !== undefined) machine.cni.add = add;
      if (del !== undefined) machine.cni.del = del;
    },
    cniConfigured: async (present) => {
      machine.disk.conflist = present;
    },
    releaseHeld: async () => machine.cni.releaseHeld(),
    cniCalls: async () => [...machine.cni.calls],
    powerCut: async () => {
      machine.powerCut();
      await down(false);
    },
    killRuntime: () => down(true),
    start: async () => {
      if (machine.power.aborted) machine.powerOn();
      await rm(socket, { force: true });
      const starting = new Containerd(machine, flavours[flavour], noLatency, () => {});
      const started = await starting.start();
      if (!started.ok) return started;
      containerd = starting;
      server = await serveCri(socket, () => containerd, clock);
      client = connectCri(`unix://${socket}`, deadlines);
      return started;
    },
    stop: () => down(false),
    duplicateRecord: async (sandboxId) => machine.disk.duplicate(sandboxId, machine.random.hex(64)),
    shiftDates: async (seconds) => machine.disk.shiftDates(seconds),
    close: async () => {
      machine.powerCut();
      await down(false);
      await rm(dir, { recursive: true, force: true });
    },
  };
}
