import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { connectCri } from '../../src/cri/connect.ts';
import { realClock } from '../../src/embedded/clock.ts';
import { type Api, Kubelet } from '../../src/embedded/kubelet.ts';
import type { Phase, PodSpec } from '../../src/embedded/pod-spec.ts';
import { seededRandom } from '../../src/embedded/random.ts';
import type { Clock } from '../../src/model/clock.ts';
import { workloadImage } from '../flavours.ts';
import { hasCode } from '../run.ts';
import { guestPaths } from './guest.ts';
import { systemdCgroups } from './standin-cgroups.ts';

/**
 * Runs the embedded kubelet over a real runtime until the process is ended. Its log goes to stdout, for the journal.
 * With the driver `systemd` it does kubelet's part of the cgroup tree too, without any it leaves that out.
 * SIGHUP: the list of pods is read again, as if the API server had told of it.
 */
export async function runKubelet(endpoint: string, driver?: string): Promise<void> {
  const version = readOr(guestPaths.version, 'v1.34.9').trim();
  if (driver !== undefined && driver !== 'systemd') throw new Error(`no stand-in for the cgroup driver ${driver}`);
  const kubelet = new Kubelet({
    cri: connectCri(endpoint, driver === undefined ? {} : requestTimeouts),
    clock: systemClock,
    random: seededRandom(process.pid),
    version,
    pods: wantedPods(),
    ...(driver === undefined ? {} : { cgroups: await systemdCgroups(version), relistMs }),
    api: storedApi(guestPaths.state),
    pid: process.pid,
    log: (message) => void process.stdout.write(`${message}\n`),
    image: workloadImage,
  });
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(0));
  process.on('SIGHUP', () => kubelet.setPods(wantedPods()));
  await kubelet.run();
}

/** kubelet's runtimeRequestTimeout; an emulated machine that makes cgroups too may need it. */
const requestTimeouts = { readTimeoutMs: 120_000, writeTimeoutMs: 120_000 } as const;

/** Listing each second takes half of an emulated processor; what cgroups are about happens in minutes. */
const relistMs = 4_000;

function wantedPods(): PodSpec[] {
  return JSON.parse(readOr(guestPaths.pods, '[]')) as PodSpec[];
}

/** The machine's own clocks: whoever steps the wall clock while kubelet runs is seen. */
const systemClock: Clock = {
  ...realClock(),
  wallNs: () => BigInt(Date.now()) * 1_000_000n,
  uptimeNs: () => process.hrtime.bigint(),
};

/**
 * What the API server would keep, off the node: a pod's phase survives every power cut, so it is on the disk before
 * kubelet goes on.
 */
function storedApi(folder: string): Api {
  mkdirSync(folder, { recursive: true });
  const file = join(folder, 'phases.json');
  const stored = JSON.parse(readOr(file, '{}')) as Record<string, Phase>;
  const phases = new (class extends Map<string, Phase> {
    override set(uid: string, phase: Phase): this {
      const isNew = this.get(uid) !== phase;
      super.set(uid, phase);
      if (isNew) writeDurably(folder, file, JSON.stringify(Object.fromEntries(this)));
      return this;
    }
  })();
  for (const [uid, phase] of Object.entries(stored)) Map.prototype.set.call(phases, uid, phase);
  return { phases, event: () => {} };
}

function writeDurably(folder: string, path: string, text: string): void {
  const fresh = `${path}.new`;
  const file = openSync(fresh, 'w');
  writeSync(file, text);
  fsyncSync(file);
  closeSync(file);
  renameSync(fresh, path);
  const directory = openSync(folder, 'r');
  fsyncSync(directory);
  closeSync(directory);
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return otherwise;
    throw error;
  }
}
