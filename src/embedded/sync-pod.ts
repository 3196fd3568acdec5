import type { SandboxSpec } from '../cri/types.ts';
import { podCgroupPath } from '../model/cgroup-names.ts';
import type { Clock } from '../model/clock.ts';
import { describePod } from '../model/sandbox.ts';
import type { BackOff } from './back-off.ts';
import type { Klog } from './klog.ts';
import type { KubeletVersion } from './kubelet-version.ts';
import { commandOf } from './lifetime.ts';
import { CgroupFailed, type PodCgroups } from './pod-cgroups.ts';
import { formatPod, isTerminal, type Phase, type PodContainer, type PodSpec } from './pod-spec.ts';
import { computePodActions, getPodStatus, newestOf, type PodStatus, phaseOf } from './pod-status.ts';
import { CallFailed, type RuntimeService } from './runtime-service.ts';

/** What the pod workers of one kubelet share. */
export interface SyncContext {
  readonly runtime: RuntimeService;
  readonly clock: Clock;
  readonly klog: Klog;
  readonly version: KubeletVersion;
  readonly backOff: BackOff;
  readonly image: string;
  readonly graceMs: number;
  /** Absent: the runtime alone makes cgroups, and none is looked at. */
  readonly cgroups?: PodCgroups;
  /** An event of the Kubernetes API. */
  event(pod: PodSpec, type: 'Normal' | 'Warning', reason: string, message: string): void;
  setPhase(pod: PodSpec, phase: Phase): void;
  /** Why the volumes of a pod are not there yet; undefined where they are, or where it has none. */
  waitsForVolumes?(pod: PodSpec): string | undefined;
}

/** A sync of a pod failed; the message is what pod_workers.go logs. */
export class SyncFailed extends Error {
  override readonly name = 'SyncFailed';
}

/** One sync of a pod (kubelet.go SyncPod, kuberuntime_manager.go SyncPod). `finished`: it has ended for good. */
export async function syncPod(context: SyncContext, pod: PodSpec): Promise<'go-on' | 'finished'> {
  const { runtime, klog, version } = context;
  const status = await orFail(getPodStatus(runtime, pod.uid, version));
  const phase = phaseOf(pod, status);
  context.setPhase(pod, phase);
  if (isTerminal(phase)) {
    await killPod(context, pod, status);
    await ofCgroup(pod, context.cgroups?.destroy(pod));
    return 'finished';
  }
  if (context.cgroups) await syncCgroup(context, context.cgroups, pod, status);
  // WaitForAttachAndMount (kubelet.go SyncPod), before anything of the pod is made.
  const volumes = context.waitsForVolumes?.(pod);
  if (volumes !== undefined) throw new SyncFailed(volumes);
  const actions = computePodActions(pod, status, version);
  if (actions.why) klog('I', actions.why.source, actions.why.words, { pod: describePod(pod) });
  if (actions.createSandbox && actions.sandboxId !== '') {
    context.event(pod, 'Normal', 'SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
  }
  if (actions.killPod) await killPod(context, pod, status);
  const spec = sandboxSpec(pod, actions.attempt);
  const sandboxId = actions.createSandbox ? await createSandbox(context, pod, spec) : actions.sandboxId;
  const failures: string[] = [];
  for (const container of actions.start) {
    const failure = await startContainer(context, pod, spec, sandboxId, container, status);
    if (failure !== undefined) failures.push(failure);
  }
  if (failures.length === 1) throw new SyncFailed(failures[0]);
  if (failures.length > 1) throw new SyncFailed(`[${failures.join(', ')}]`);
  return 'go-on';
}

/** SyncTerminatingPod and SyncTerminatedPod: all of the pod ends, for good. */
export async function terminatePod(context: SyncContext, pod: PodSpec): Promise<void> {
  const status = await orFail(getPodStatus(context.runtime, pod.uid, context.version));
  await killPod(context, pod, status);
  await ofCgroup(pod, context.cgroups?.destroy(pod));
}

/**
 * What SyncPod does about the pod's cgroup before anything else (kubelet.go). A pod of which something runs is killed
 * where its cgroup "does not exist". The sync then goes on with the status of before: that the sandbox is gone is found
 * by the next one.
 */
async function syncCgroup(context: SyncContext, cgroups: PodCgroups, pod: PodSpec, status: PodStatus): Promise<void> {
  const isFirst = !status.containers.some((each) => each.state === 'running');
  let killed = false;
  if (!isFirst && !cgroups.exists(pod)) {
    try {
      await killPod(context, pod, status);
      await ofCgroup(pod, cgroups.updateQos());
      killed = true;
    } catch (error) {
      if (!(error instanceof SyncFailed)) throw error;
      context.klog('E', 'kubelet.go:2040', 'KillPod failed', { err: error.message, pod: describePod(pod) });
    }
  }
  if ((killed && pod.restartPolicy === 'Never') || cgroups.exists(pod)) return;
  await ofCgroup(
    pod,
    cgroups.updateQos().then(() => cgroups.ensureExists(pod)),
  );
}

async function ofCgroup(pod: PodSpec, work: Promise<void> | undefined): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof CgroupFailed)) throw error;
    const what = `failed to ensure that the pod: ${pod.uid} cgroups exist and are correctly applied`;
    throw new SyncFailed(`${what}: ${error.message}`);
  }
}

/** killPodWithSyncResult: the running containers, then EVERY sandbox of the pod; what is gone is stopped. */
async function killPod(context: SyncContext, pod: PodSpec, status: PodStatus): Promise<void> {
  const { runtime, klog, graceMs } = context;
  const running = status.containers.filter((each) => each.state === 'running');
  await Promise.all(
    running.map(async (each) => {
      klog('I', 'kuberuntime_container.go:873', 'Killing container with a grace period', {
        pod: describePod(pod),
        podUID: pod.uid,
        containerName: each.name,
        containerID: `containerd://${each.id}`,
        gracePeriod: String(graceMs / 1_000),
      });
      context.event(pod, 'Normal', 'Killing', `Stopping container ${each.name}`);
      await orFail(runtime.stopContainer(each.id, graceMs));
    }),
  );
  const failures: string[] = [];
  for (const { sandbox } of status.sandboxes) {
    try {
      await runtime.stopSandbox(sandbox.id);
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      if (error.notFound) continue;
      klog('E', 'kuberuntime_manager.go:1665', 'Failed to stop sandbox', {
        podSandboxID: { Type: 'containerd', ID: sandbox.id },
      });
      const words = JSON.stringify(error.message);
      failures.push(`failed to "KillPodSandbox" for ${JSON.stringify(pod.uid)} with KillPodSandboxError: ${words}`);
    }
  }
  if (failures.length === 0) return;
  const err = failures.length === 1 ? (failures[0] ?? '') : `[${failures.join(', ')}]`;
  klog('E', 'kuberuntime_manager.go:1233', 'killPodWithSyncResult failed', { err });
  throw new SyncFailed(err);
}

async function createSandbox(context: SyncContext, pod: PodSpec, spec: SandboxSpec): Promise<string> {
  const { runtime, klog } = context;
  let id: string;
  try {
    id = await runtime.runSandbox(spec);
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    const err = error.message;
    const values = { err, pod: describePod(pod) };
    klog('E', 'kuberuntime_sandbox.go:71', 'Failed to create sandbox for pod', values);
    klog('E', 'kuberuntime_manager.go:1353', 'CreatePodSandbox for pod failed', values);
    context.event(pod, 'Warning', 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${err}`);
    const name = formatPod(pod);
    const words = `Failed to create sandbox for pod ${JSON.stringify(name)}: ${err}`;
    throw new SyncFailed(
      `failed to "CreatePodSandbox" for ${JSON.stringify(name)} with CreatePodSandboxError: ${JSON.stringify(words)}`,
    );
  }
  await orFail(runtime.sandboxStatus(id));
  return id;
}

/** startContainer (kuberuntime_container.go). Gives the failure's words, as SyncPod collects them. */
async function startContainer(
  context: SyncContext,
  pod: PodSpec,
  sandbox: SandboxSpec,
  sandboxId: string,
  container: PodContainer,
  status: PodStatus,
): Promise<string | undefined> {
  const { runtime, backOff, klog } = context;
  const failed = (kind: string, words: string) =>
    `failed to "StartContainer" for ${JSON.stringify(container.name)} with ${kind}: ${JSON.stringify(words)}`;
  const last = newestOf(status, container.name);
  const waitMs = last?.exit && backOff.check(`${pod.uid}/${container.name}`, last.exit.finishedAtNs);
  if (waitMs !== undefined) {
    const words = `back-off ${goDuration(waitMs)} restarting failed container=${container.name} pod=${formatPod(pod)}`;
    context.event(
      pod,
      'Warning',
      'BackOff',
      `Back-off restarting failed container ${container.name} in pod ${formatPod(pod)}`,
    );
    return failed('CrashLoopBackOff', words);
  }
  let kind = 'CreateContainerError';
  try {
    const id = await runtime.createContainer({
      sandboxId,
      sandbox,
      name: container.name,
      attempt: last ? last.attempt + 1 : 0,
      image: context.image,
      command: commandOf(container.runs),
    });
    kind = 'RunContainerError';
    await runtime.startContainer(id);
    return undefined;
  } catch (error) {
    if (!(error instanceof CallFailed)) throw error;
    const err = `container ${container.name} start failed in pod ${formatPod(pod)}: ${kind}: ${error.words}`;
    klog('E', 'kuberuntime_manager.go:1449', 'Unhandled Error', { err, logger: 'UnhandledError' });
    context.event(pod, 'Warning', 'Failed', `Error: ${error.words}`);
    return failed(kind, error.words);
  }
}

function sandboxSpec(pod: PodSpec, attempt: number): SandboxSpec {
  const { name, namespace, uid, hostNetwork = false, qos = 'besteffort' } = pod;
  const cgroupParent = podCgroupPath('systemd', qos, uid);
  const annotations = { 'kubernetes.io/config.source': 'api' };
  return { name, namespace, uid, attempt, hostNetwork, cgroupParent, annotations };
}

async function orFail<T>(asked: Promise<T>): Promise<T> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof CallFailed) throw new SyncFailed(error.message);
    throw error;
  }
}

/** Go's time.Duration as kubelet prints it: `10s`, `2m40s`, `5m0s`. */
function goDuration(ms: number): string {
  const seconds = ms / 1_000;
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
