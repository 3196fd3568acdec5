import { Code, ConnectError } from '@connectrpc/connect';
import type { ContainerSpec, CriRunner, CriStatus, SandboxSpec } from '../cri/types.ts';
import { isSandwardenError } from '../model/errors.ts';
import type { Container, Sandbox, SandboxDetail } from '../model/sandbox.ts';
import type { Klog } from './klog.ts';

/** A CRI call failed, with gRPC's words as Go prints them. */
export class CallFailed extends Error {
  override readonly name = 'CallFailed';
  /** What grpc's status.Message() gives: the words without the code. */
  readonly words: string;
  readonly notFound: boolean;

  constructor(code: string, words: string, notFound: boolean) {
    super(`rpc error: code = ${code} desc = ${words}`);
    this.words = words;
    this.notFound = notFound;
  }
}

/** kubelet's client of the runtime (cri-client remote_runtime.go): it logs what fails. A dead kubelet calls no more. */
export class RuntimeService {
  readonly #cri: CriRunner;
  readonly #life: AbortSignal;
  readonly #klog: Klog;

  constructor(cri: CriRunner, life: AbortSignal, klog: Klog) {
    this.#cri = cri;
    this.#life = life;
    this.#klog = klog;
  }

  status(): Promise<CriStatus> {
    return this.#call('Status', {}, () => this.#cri.status());
  }

  listSandboxes(podUid?: string): Promise<Sandbox[]> {
    return this.#call('ListPodSandbox', {}, () => this.#cri.listSandboxes(podUid === undefined ? {} : { podUid }));
  }

  sandboxStatus(id: string): Promise<{ sandbox: Sandbox; detail: SandboxDetail }> {
    return this.#call('PodSandboxStatus', { podSandboxID: id }, () => this.#cri.sandboxStatus(id));
  }

  listContainers(podUid?: string): Promise<Container[]> {
    return this.#call('ListContainers', {}, () => this.#cri.listContainers(podUid === undefined ? {} : { podUid }));
  }

  containerStatus(id: string): Promise<Container> {
    return this.#call('ContainerStatus', { containerID: id }, () => this.#cri.containerStatus(id));
  }

  runSandbox(spec: SandboxSpec): Promise<string> {
    return this.#call('RunPodSandbox', {}, () => this.#cri.runSandbox(spec));
  }

  stopSandbox(id: string): Promise<void> {
    return this.#call('StopPodSandbox', { podSandboxID: id }, () => this.#cri.stopSandbox(id));
  }

  removeSandbox(id: string): Promise<void> {
    return this.#call('RemovePodSandbox', { podSandboxID: id }, () => this.#cri.removeSandbox(id));
  }

  createContainer(spec: ContainerSpec): Promise<string> {
    const values = { podSandboxID: spec.sandboxId };
    return this.#call('CreateContainer in sandbox', values, () => this.#cri.createContainer(spec));
  }

  startContainer(id: string): Promise<void> {
    return this.#call('StartContainer', { containerID: id }, () => this.#cri.startContainer(id));
  }

  stopContainer(id: string, graceMs: number): Promise<void> {
    return this.#call('StopContainer', { containerID: id }, () => this.#cri.stopContainer(id, graceMs));
  }

  removeContainer(id: string): Promise<void> {
    return this.#call('RemoveContainer', { containerID: id }, () => this.#cri.removeContainer(id));
  }

  async #call<T>(name: string, values: Readonly<Record<string, string>>, work: () => Promise<T>): Promise<T> {
    this.#life.throwIfAborted();
    try {
      const value = await work();
      this.#life.throwIfAborted();
      return value;
    } catch (error) {
      this.#life.throwIfAborted();
      const failed = toCallFailed(error);
      this.#klog('E', 'log.go:32', `${name} from runtime service failed`, { err: failed.message, ...values });
      throw failed;
    }
  }
}

function toCallFailed(error: unknown): CallFailed {
  const notFound = isSandwardenError(error, 'ERR_CRI_NOT_FOUND');
  for (let each = error; each instanceof Error; each = each.cause) {
    if (!(each instanceof ConnectError)) continue;
    const late = each.code === Code.DeadlineExceeded;
    return new CallFailed(Code[each.code], late ? 'context deadline exceeded' : each.rawMessage, notFound);
  }
  if (!isSandwardenError(error)) throw error;
  return new CallFailed('Unavailable', error.message, notFound);
}
