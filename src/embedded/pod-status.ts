import { chooseSandbox, newestFirst } from '../model/kubelet-choice.ts';
import type { Container, Sandbox, SandboxDetail } from '../model/sandbox.ts';
import type { KubeletVersion } from './kubelet-version.ts';
import type { Phase, PodContainer, PodSpec } from './pod-spec.ts';
import { CallFailed, type RuntimeService } from './runtime-service.ts';

/** What kubelet knows of a pod from the runtime; both lists newest first, as this version sorts them. */
export interface PodStatus {
  readonly sandboxes: readonly { readonly sandbox: Sandbox; readonly detail: SandboxDetail }[];
  readonly containers: readonly Container[];
}

/** GetPodStatus (kuberuntime_manager.go); what disappears meanwhile is left out. */
export async function getPodStatus(runtime: RuntimeService, uid: string, version: KubeletVersion): Promise<PodStatus> {
  const listed = (await runtime.listSandboxes(uid)).map((each) => ({ ...each, ready: each.state === 'ready' }));
  const sandboxes: { sandbox: Sandbox; detail: SandboxDetail }[] = [];
  for (const each of newestFirst(listed, version.order)) {
    const found = await orGone(runtime.sandboxStatus(each.id));
    if (found) sandboxes.push(found);
  }
  const containers: Container[] = [];
  for (const each of await runtime.listContainers(uid)) {
    const found = await orGone(runtime.containerStatus(each.id));
    if (found) containers.push({ ...found, sandboxId: each.sandboxId });
  }
  return { sandboxes, containers: containers.sort(byCreation) };
}

/** What SyncPod shall do (computePodActions). */
export interface PodActions {
  readonly killPod: boolean;
  readonly createSandbox: boolean;
  readonly attempt: number;
  /** The sandbox that is there, or that is replaced; empty where there is none. */
  readonly sandboxId: string;
  readonly start: readonly PodContainer[];
  /** Why, for the log: PodSandboxChanged's words. */
  readonly why?: { readonly source: string; readonly words: string };
}

/** PodSandboxChanged (kuberuntime/util/util.go) and computePodActions (kuberuntime_manager.go). */
export function computePodActions(pod: PodSpec, status: PodStatus, version: KubeletVersion): PodActions {
  const changed = sandboxChanged(pod, status, version);
  const { attempt, sandboxId, why } = changed;
  if (!why) {
    const start = pod.containers.filter((each) => {
      const found = newestOf(status, each.name);
      return found?.state !== 'running' && shouldRestart(pod, found);
    });
    const keep = pod.containers.some((each) => newestOf(status, each.name)?.state === 'running');
    return { killPod: !keep && start.length === 0, createSandbox: false, attempt, sandboxId, start };
  }
  const nothing = { killPod: true, createSandbox: false, attempt, sandboxId, start: [], why };
  if (pod.restartPolicy === 'Never' && attempt !== 0 && status.containers.length > 0) return nothing;
  const start = pod.containers.filter(
    (each) => pod.restartPolicy !== 'OnFailure' || newestOf(status, each.name)?.exit?.exitCode !== 0,
  );
  if (start.length === 0 && status.containers.length > 0) return nothing;
  return { killPod: true, createSandbox: true, attempt, sandboxId, start, why };
}

/** The first match in the order of dates, as FindContainerStatusByName (container/runtime.go). */
export function newestOf(status: PodStatus, container: string): Container | undefined {
  return status.containers.find((each) => each.name === container);
}

/** getPhase (kubelet_pods.go), without init containers. */
export function phaseOf(pod: PodSpec, status: PodStatus): Phase {
  const newest = pod.containers.map((each) => newestOf(status, each.name));
  if (newest.some((each) => each === undefined || each.state === 'created')) return 'Pending';
  if (newest.some((each) => each?.state !== 'exited') || pod.restartPolicy === 'Always') return 'Running';
  if (newest.every((each) => each?.exit?.exitCode === 0)) return 'Succeeded';
  return pod.restartPolicy === 'Never' ? 'Failed' : 'Running';
}

function sandboxChanged(pod: PodSpec, status: PodStatus, version: KubeletVersion) {
  const candidates = status.sandboxes.map(({ sandbox }) => ({ ...sandbox, ready: sandbox.state === 'ready' }));
  const choice = chooseSandbox(candidates, version.order);
  const sandboxId = choice.head?.id ?? '';
  const next = { attempt: choice.attempt, sandboxId };
  if (choice.branch !== 'keep') return { ...next, why: reasons[choice.branch] };
  const head = status.sandboxes.find(({ sandbox }) => sandbox.id === sandboxId);
  const hostNetwork = pod.hostNetwork === true;
  if (head?.detail.hostNetwork !== undefined && head.detail.hostNetwork !== hostNetwork) {
    return { attempt: choice.attempt + 1, sandboxId: '', why: reasons['network-mode'] };
  }
  if (!hostNetwork && !head?.detail.ip) return { ...next, attempt: choice.attempt + 1, why: reasons['no-address'] };
  return { ...next, why: undefined };
}

const reasons = {
  none: { source: 'util.go:34', words: 'No sandbox for pod can be found. Need to start a new one' },
  'several-ready': { source: 'util.go:48', words: 'Multiple sandboxes are ready for Pod. Need to reconcile them' },
  'newest-not-ready': { source: 'util.go:52', words: 'No ready sandbox for pod can be found. Need to start a new one' },
  'network-mode': { source: 'util.go:58', words: 'Sandbox for pod has changed. Need to start a new one' },
  'no-address': { source: 'util.go:64', words: 'Sandbox for pod has no IP address. Need to start a new one' },
} as const;

/** ShouldContainerBeRestarted (container/helpers.go). */
function shouldRestart(pod: PodSpec, found: Container | undefined): boolean {
  if (found?.state !== 'exited') return true;
  if (pod.restartPolicy === 'Never') return false;
  return pod.restartPolicy === 'Always' || found.exit?.exitCode !== 0;
}

/** containerStatusByCreated (helpers.go): the newest first, in every version. */
function byCreation(a: Container, b: Container): number {
  return a.createdAtNs > b.createdAtNs ? -1 : a.createdAtNs < b.createdAtNs ? 1 : 0;
}

async function orGone<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof CallFailed && error.notFound) return undefined;
    throw error;
  }
}
