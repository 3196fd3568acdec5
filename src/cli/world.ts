import { socketPath } from '../cri/connect.ts';
import { removalStops } from '../cri/removal.ts';
import type { CriReader, CriWriter } from '../cri/types.ts';
import type { Identity, Look, World } from '../heal/ports.ts';
import type { StorageWorld } from '../heal/storage-world.ts';
import type { Clock } from '../model/clock.ts';
import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { known, valueOr } from '../model/observed.ts';
import { safeText } from '../model/safe-text.ts';
import { pausePidOf } from '../model/sandbox.ts';
import { type Run, run as runProgram } from '../observe/child.ts';
import { observeProcesses } from '../observe/holders.ts';
import { findKubelet, listProcesses, type ProcessStat, readStat } from '../observe/proc.ts';
import { isErrno } from '../observe/read-file.ts';
import { changesHere } from './node-changes.ts';
import { ActsUnderWay, podReader } from './pod-reader.ts';

export interface WorldParts {
  readonly cri: CriReader & CriWriter;
  readonly endpoint: string;
  readonly clock: Clock;
  lookAgain(): Promise<Look>;
  readonly storage?: StorageWorld;
  /** Runs systemctl; tests replace it. */
  readonly run?: Run;
}

/** The real node, as healing sees and changes it: by CRI, /proc and systemctl. */
export function worldOverCri({ cri, endpoint, clock, lookAgain, storage, run = runProgram }: WorldParts): World {
  const readIdentity = identityReader(socketPath(endpoint), clock);
  const acts = new ActsUnderWay();
  return {
    clock,
    lookAgain,
    readPod: podReader(cri, clock, acts),
    pauseAlive: (sandboxId) => pauseAlive(cri, sandboxId),
    processAlive,
    readIdentity,
    changes: changesHere({ cri, readIdentity, run }),
    ...(storage === undefined ? {} : { storage }),
    removalStops: once(async () => removalStops(await cri.version())),
    stopSandbox: (id) => acts.during(() => cri.stopSandbox(id)),
    removeSandbox: (id) => acts.during(() => cri.removeSandbox(id)),
    killProcess,
    restartUnit: (unit) => restartUnit(unit, { cri, clock, run }),
  };
}

/** Asks until there is an answer, and then no more. */
function once<T>(ask: () => Promise<T>): () => Promise<T> {
  let answer: Promise<T> | undefined;
  return () => {
    answer ??= ask().catch((error: unknown) => {
      answer = undefined;
      throw error;
    });
    return answer;
  };
}

function processAlive(pid: number): boolean {
  return statOf(pid) !== undefined;
}

/**
 * By the pid that the runtime names; a pid that was given to somebody else meanwhile counts as alive, and nothing is
 * done.
 */
async function pauseAlive(cri: CriReader, sandboxId: string): Promise<boolean | undefined> {
  try {
    const { detail } = await cri.sandboxStatus(sandboxId);
    const pid = pausePidOf(detail);
    return pid === undefined ? undefined : pid > 0 && processAlive(pid);
  } catch (error) {
    if (isSandwardenError(error, 'ERR_CRI_NOT_FOUND')) return false;
    throw error;
  }
}

/**
 * Which runtime and which kubelet answer. A scan of all processes takes milliseconds and is asked for before each of
 * hundreds of removals, so within `identityFreshMs` only the processes that it found are looked at again: a runtime or
 * a kubelet that is gone is seen at once, one that came up is seen that much later, long before it has synced a pod.
 */
function identityReader(socket: string, clock: Clock): () => Promise<Identity> {
  let last: { readonly atNs: bigint; readonly identity: Promise<Identity> } | undefined;
  return async () => {
    const nowNs = clock.uptimeNs();
    const isFresh = last !== undefined && nowNs - last.atNs < BigInt(limits.identityFreshMs) * 1_000_000n;
    // A scan that is under way serves all who ask meanwhile: four removals at once would each make their own.
    if (last !== undefined && isFresh) {
      const identity = await last.identity;
      if (stillThere(identity)) return identity;
    }
    last = { atNs: nowNs, identity: readIdentity(socket) };
    return last.identity;
  };
}

function stillThere(of: Identity): boolean {
  if (of.runtimePid === undefined) return false;
  const runtime = statOf(of.runtimePid);
  const kubelet = of.kubeletPid === undefined ? undefined : statOf(of.kubeletPid);
  return (
    runtime?.startedUptimeNs === of.runtimeStartedUptimeNs && (kubelet === undefined) === (of.kubeletPid === undefined)
  );
}

async function readIdentity(socket: string): Promise<Identity> {
  const processes = known(await listProcesses());
  const [runtime, kubelet] = await Promise.all([observeProcesses(processes, socket), findKubelet(processes)]);
  const { runtimePid, runtimeStartedUptimeNs } = valueOr(runtime, { holders: [] } as const) as Partial<Identity>;
  return {
    ...(runtimePid === undefined ? {} : { runtimePid }),
    ...(runtimeStartedUptimeNs === undefined ? {} : { runtimeStartedUptimeNs }),
    ...(kubelet.known ? { kubeletRunning: kubelet.value.running } : {}),
    ...(kubelet.known && kubelet.value.pid !== undefined ? { kubeletPid: kubelet.value.pid } : {}),
  };
}

/**
 * The moment between the look and the signal is short, and a pid does not come again in it: pids are given in a
 * circle.
 */
async function killProcess(pid: number, startedUptimeNs: bigint): Promise<'killed' | 'gone'> {
  const stat = statOf(pid);
  if (stat === undefined || stat.startedUptimeNs !== startedUptimeNs) return 'gone';
  try {
    process.kill(pid, 'SIGKILL');
    return 'killed';
  } catch (error) {
    if (!isErrno(error)) throw error;
    if (error.code === 'ESRCH') return 'gone';
    throw new SandwardenError('ERR_FORBIDDEN', `process ${pid} may not be ended (${error.code})`, {
      hint: 'Run it as root on the node itself.',
      cause: error,
    });
  }
}

/** A process that runs; a zombie does not. */
function statOf(pid: number): ProcessStat | undefined {
  const stat = readStat(`/proc/${pid}/stat`);
  return stat === undefined || stat.state === 'Z' || stat.state === 'X' ? undefined : stat;
}

interface Restart {
  readonly cri: CriReader;
  readonly clock: Clock;
  readonly run: Run;
}

/** Resolves when systemd says that the unit is active and the socket answers again. */
async function restartUnit(unit: string, { cri, clock, run }: Restart): Promise<void> {
  // systemd.unit(5): what a unit name may hold; nothing of it can be taken for an option.
  if (!/^[A-Za-z0-9:_.\\@-]{1,255}\.service$/.test(unit) || unit.startsWith('-')) {
    throw new SandwardenError('ERR_COMMAND_FAILED', `'${safeText(unit, 100)}' is no name of a service`, {
      hint: 'Restart the runtime by hand.',
    });
  }
  const startedNs = clock.uptimeNs();
  await run(['systemctl', 'restart', '--', unit], { timeoutMs: limits.restartTimeoutMs });
  for (;;) {
    try {
      await cri.version();
      return;
    } catch (error) {
      if (!isSandwardenError(error)) throw error;
      const elapsedMs = Number((clock.uptimeNs() - startedNs) / 1_000_000n);
      if (elapsedMs > limits.restartTimeoutMs) throw error;
      await clock.sleep(limits.verifyPollMs);
    }
  }
}
