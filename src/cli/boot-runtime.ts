import type { BootConf } from '../boot/boot-conf.ts';
import type { BootRuntime } from '../boot/heal.ts';
import { installedKubelet } from '../boot/installed-kubelet.ts';
import { startTemporaryContainerd } from '../boot/temporary-containerd.ts';
import { connectCri } from '../cri/connect.ts';
import { diagnose } from '../diagnose/diagnose.ts';
import { makePlan } from '../heal/plan.ts';
import type { Look } from '../heal/ports.ts';
import type { Clock } from '../model/clock.ts';
import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { known } from '../model/observed.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { run } from '../observe/child.ts';
import { findEndpoint } from '../observe/endpoint.ts';
import { findKubelet, listProcesses } from '../observe/proc.ts';
import type { Args } from './frame/command.ts';
import type { Io } from './frame/io.ts';
import { openEyes } from './look.ts';
import { worldOverCri } from './world.ts';

export interface OpenOptions {
  readonly args: Args;
  readonly env: Io['env'];
  readonly conf: BootConf;
  readonly clock: Clock;
  /** kubelet is to be watched, not waited out. */
  readonly after: boolean;
  readonly signal: AbortSignal;
}

/**
 * The runtime of this node, once it serves: its own, or before k3s starts a temporary one over k3s' root.
 * Throws what keeps it from serving once `signal` ends the wait; ERR_NOT_SUPPORTED where k3s runs already.
 */
export async function openBootRuntime(options: OpenOptions): Promise<BootRuntime> {
  const { conf, after, args, clock } = options;
  if (conf.layout === 'containerd' || after || args.value('runtime-endpoint') !== undefined) {
    return await openServing(options, args.value('runtime-endpoint'), () => {});
  }
  const kubelet = await findKubelet(known(await listProcesses()));
  if (!kubelet.known || kubelet.value.running) {
    throw new SandwardenError('ERR_NOT_SUPPORTED', 'k3s runs already, or may: no second containerd is started', {
      hint: 'It is healed after its start.',
    });
  }
  const dataDir = conf.dataDir ?? '/var/lib/rancher/k3s';
  const containerd = await startTemporaryContainerd({ dataDir, clock });
  try {
    const runtime = await openServing(options, containerd.endpoint, () => containerd.check());
    return {
      ...runtime,
      [Symbol.asyncDispose]: async () => {
        await runtime[Symbol.asyncDispose]();
        await containerd.stop();
      },
    };
  } catch (error) {
    await containerd.stop();
    throw error;
  }
}

async function openServing(
  options: OpenOptions,
  endpoint: string | undefined,
  check: () => void,
): Promise<BootRuntime> {
  const served = await waitForCri(options, endpoint, check);
  const { args, env, conf } = options;
  const value = (name: string) => (name === 'runtime-endpoint' ? served : args.value(name));
  const eyes = await openEyes(
    { ...args, flag: (name) => args.flag(name), values: (name) => args.values(name), value },
    env,
  );
  const { runtime, clock } = eyes;
  if (runtime === undefined) throw new Error(`no client for ${served}`);
  const kubelet = await installedKubelet(conf, run);
  const lookAgain = async (): Promise<Look> => {
    const snapshot = withKubelet(await eyes.look(), kubelet);
    const listedUptimeNs = clock.uptimeNs();
    const plan = makePlan(snapshot, { allow: ['safe'], only: [] });
    return { snapshot, diagnosis: diagnose(snapshot), plan, listedUptimeNs };
  };
  return {
    world: worldOverCri({ cri: runtime.cri, endpoint: served, clock, lookAgain }),
    networkReady: async () => {
      const { conditions } = await runtime.cri.status();
      return conditions.some((each) => each.type === 'NetworkReady' && each.status);
    },
    [Symbol.asyncDispose]: () => eyes[Symbol.asyncDispose](),
  };
}

/** The endpoint, once Version answers and the runtime says that it is ready. */
async function waitForCri({ env, clock, signal }: OpenOptions, flag: string | undefined, check: () => void) {
  let last: SandwardenError | undefined;
  for (;;) {
    check();
    if (signal.aborted) throw last ?? signal.reason;
    try {
      const { endpoint } = await findEndpoint({ env, ...(flag === undefined ? {} : { flag }) });
      const cri = connectCri(endpoint);
      try {
        await cri.version();
        const { conditions } = await cri.status();
        if (conditions.some((each) => each.type === 'RuntimeReady' && each.status)) return endpoint;
      } finally {
        cri.close();
      }
    } catch (error) {
      if (!isSandwardenError(error) || isSandwardenError(error, 'ERR_CONFIG', 'ERR_USAGE')) throw error;
      last = error;
    }
    try {
      await clock.sleep(limits.bootPollMs, signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}

/** kubelet does not run yet, so neither its log of this boot nor its process tells its version. */
function withKubelet(snapshot: Snapshot, found: Awaited<ReturnType<typeof installedKubelet>>): Snapshot {
  const { kubelet } = snapshot;
  if (!kubelet.known || kubelet.value.version !== undefined || found === undefined) return snapshot;
  return { ...snapshot, kubelet: known({ ...kubelet.value, ...found }) };
}
