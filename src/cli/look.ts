import { connectCri } from '../cri/connect.ts';
import type { CriRunner } from '../cri/types.ts';
import { diagnose } from '../diagnose/diagnose.ts';
import type { Clock } from '../model/clock.ts';
import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import type { Diagnosis } from '../model/finding.ts';
import { limits } from '../model/limits.ts';
import type { EndpointInfo } from '../model/node.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { version } from '../model/version.ts';
import { systemClock } from '../observe/clock.ts';
import { findEndpoint } from '../observe/endpoint.ts';
import { observeConfigz } from '../observe/kube/configz.ts';
import type { CredentialOptions } from '../observe/kube/credentials.ts';
import { podsAsker } from '../observe/kube/pods.ts';
import { refusalsAsker } from '../observe/kube/refusals.ts';
import { volumesAsker } from '../observe/kube/volumes.ts';
import { type ObserveOptions, observe } from '../observe/node.ts';
import { readSnapshotFile } from '../observe/snapshot-file.ts';
import type { Args } from './frame/command.ts';
import { readDuration } from './frame/duration.ts';
import type { Io } from './frame/io.ts';

/** One look at this node, or at the file of `--snapshot`, and what it means. */
export async function lookOnce(
  args: Args,
  env: Io['env'],
  more: LookMore = {},
): Promise<{ snapshot: Snapshot; diagnosis: Diagnosis }> {
  const file = args.value('snapshot');
  if (file !== undefined) {
    const live = liveOptions.find((each) => args.value(each));
    if (live !== undefined) {
      throw new SandwardenError('ERR_USAGE', `'--snapshot' and '--${live}' contradict each other`, {
        hint: 'A snapshot is a whole node: nothing else is read.',
      });
    }
    const snapshot = await readSnapshotFile(file);
    return { snapshot, diagnosis: diagnose(snapshot) };
  }
  await using eyes = await openEyes(args, env, more);
  const snapshot = await eyes.look();
  return { snapshot, diagnosis: diagnose(snapshot) };
}

const liveOptions = ['runtime-endpoint', 'kubelet-log', 'runtime-log', 'kubeconfig', 'node-name', 'timeout', 'watch'];

/** What a look reads beyond what a check needs, and what was seen before it. */
export type LookMore = Pick<ObserveOptions, 'allCgroups' | 'containerEvents'> & {
  readonly controllerChanges?: Snapshot['controllerChanges'] | undefined;
};

/** What looks at this node, as often as it is asked, over one connection. */
export interface Eyes extends AsyncDisposable {
  readonly clock: Clock;
  /** undefined where no socket was found; then a look says so. */
  readonly runtime: { readonly cri: CriRunner; readonly info: EndpointInfo } | undefined;
  look(): Promise<Snapshot>;
}

/** Throws ERR_USAGE and ERR_CONFIG; what cannot be observed is in the look. */
export async function openEyes(args: Args, env: Io['env'], more: LookMore = {}): Promise<Eyes> {
  const timeout = args.value('timeout');
  const timeoutMs = timeout === undefined ? undefined : readDuration(timeout, '--timeout', limits.criReadLongestMs);
  const flag = args.value('runtime-endpoint');
  const info = await endpointOf(flag, env);
  const cri = info && connectCri(info.endpoint, timeoutMs === undefined ? {} : { readTimeoutMs: timeoutMs });
  const clock = systemClock();
  const [kubeletLogFile, runtimeLogFile] = [args.value('kubelet-log'), args.value('runtime-log')];
  const asking = credentialsOf(args, env);
  const options: ObserveOptions = {
    clock,
    env,
    version,
    askPods: podsAsker(asking, clock),
    askVolumes: volumesAsker(asking, clock),
    askRefusals: refusalsAsker(asking, clock),
    askKubelet: (hostname) => observeConfigz({ ...asking, hostname }),
    ...(more.allCgroups ? { allCgroups: true } : {}),
    ...(more.containerEvents ? { containerEvents: true } : {}),
    ...(flag === undefined ? {} : { endpoint: flag }),
    ...(cri && info ? { cri, criEndpointInfo: info } : {}),
    ...(kubeletLogFile === undefined ? {} : { kubeletLogFile }),
    ...(runtimeLogFile === undefined ? {} : { runtimeLogFile }),
  };
  return {
    clock,
    runtime: cri && info && { cri, info },
    look: async () => {
      const { controllerChanges } = more;
      return { ...(await observe(options)), ...(controllerChanges === undefined ? {} : { controllerChanges }) };
    },
    [Symbol.asyncDispose]: async () => cri?.close(),
  };
}

/** Which credentials for the API the options and the environment name, and what this node is called there. */
export function credentialsOf(args: Args, env: Io['env']): CredentialOptions & { readonly nodeName?: string } {
  const [kubeconfig, nodeName] = [args.value('kubeconfig'), args.value('node-name')];
  return {
    env,
    ...(kubeconfig === undefined ? {} : { flag: kubeconfig }),
    ...(nodeName === undefined ? {} : { nodeName }),
  };
}

async function endpointOf(flag: string | undefined, env: Io['env']): Promise<EndpointInfo | undefined> {
  try {
    return await findEndpoint({ env, ...(flag === undefined ? {} : { flag }) });
  } catch (error) {
    // Not a failure of the command: the look reports it among what it found.
    if (isSandwardenError(error, 'ERR_SOCKET_MISSING', 'ERR_SOCKET_NOT_CRI')) return undefined;
    throw error;
  }
}
