import { readFileSync } from 'node:fs';
import { SimulatedClock } from '../../src/embedded/clock.ts';
import { Containerd } from '../../src/embedded/containerd.ts';
import { recordedLatency } from '../../src/embedded/daemon.ts';
import { type Flavour, flavours } from '../../src/embedded/flavour.ts';
import { inProcessCri } from '../../src/embedded/in-process.ts';
import { Machine } from '../../src/embedded/machine.ts';
import { type EmbeddedNode, type EmbeddedNodeOptions, startEmbeddedNode } from '../../src/embedded/node.ts';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import { seededRandom } from '../../src/embedded/random.ts';
import { tempDir } from '../helpers/temp.ts';

export const startNs = 1_767_225_600_000_000_000n;

/** A machine in simulated time with a containerd that is started by hand. */
export function newWorld(flavour: Flavour['name']) {
  const clock = new SimulatedClock(startNs);
  const machine = new Machine(clock, seededRandom(7));
  let containerd: Containerd | undefined;
  const lines: string[] = [];
  return {
    clock,
    machine,
    lines,
    cri: inProcessCri(() => containerd, clock, 'unix:///embedded', true),
    /** For who lives in simulated time: a call lets none pass. */
    criInside: inProcessCri(() => containerd, clock, 'unix:///embedded', false),
    start: async () => {
      containerd = new Containerd(machine, flavours[flavour], recordedLatency, (line) => void lines.push(line));
      return clock.drive(containerd.start());
    },
    /** Starts it and gives the promise, so that calls can be made meanwhile. */
    starting: () => {
      containerd = new Containerd(machine, flavours[flavour], recordedLatency, (line) => void lines.push(line));
      return containerd.start();
    },
    kill: () => {
      containerd?.die();
      containerd = undefined;
    },
    powerCut: () => {
      machine.powerCut();
      containerd?.die();
      containerd = undefined;
      machine.powerOn();
    },
  };
}

export const spec = { name: 'web', namespace: 'default', uid: 'u1', attempt: 0 } as const;

/** A pod with one container that runs for ever. */
export function service(name: string): PodSpec {
  const containers = [{ name: 'c', runs: 'forever' }] as const;
  return { name, namespace: 'default', uid: `uid-${name}`, restartPolicy: 'Always', containers };
}

/** A pod with one container that ends. */
export function job(
  name: string,
  restartPolicy: PodSpec['restartPolicy'],
  exitsAfterMs: number,
  code: number,
): PodSpec {
  const containers = [{ name: 'c', runs: { exitsAfterMs, code } }];
  return { name, namespace: 'default', uid: `uid-${name}`, restartPolicy, containers };
}

/** A node in simulated time with its directory; both go at the end of the scope. */
export async function newNode(
  options: Partial<EmbeddedNodeOptions> & Pick<EmbeddedNodeOptions, 'pods'>,
): Promise<EmbeddedNode & AsyncDisposable> {
  const dir = await tempDir();
  const node = await startEmbeddedNode({
    flavour: '1.7',
    kubeletVersion: 'v1.34.9',
    time: 'simulated',
    dir: dir.path,
    startNs,
    ...options,
  });
  return Object.assign(node, {
    [Symbol.asyncDispose]: async () => {
      await node.close();
      await dir[Symbol.asyncDispose]();
    },
  });
}

/** MESSAGE of each line of a log file, oldest first, optionally of one boot. */
export function messages(file: string, bootId?: string): string[] {
  const records = readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, string>);
  return records.filter((each) => bootId === undefined || each._BOOT_ID === bootId).map((each) => each.MESSAGE ?? '');
}
