import { Code, ConnectError } from '@connectrpc/connect';
import { detailOfInfo, kubelet } from '../cri/convert.ts';
import { translateCriError } from '../cri/errors.ts';
import { ConnectionFault } from '../cri/session.ts';
import type { ContainerSpec, CriEvent, CriRunner, SandboxSpec } from '../cri/types.ts';
import { limits } from '../model/limits.ts';
import type { Container, Sandbox } from '../model/sandbox.ts';
import type { TurnableClock } from './clock.ts';
import type { Containerd } from './containerd.ts';
import type { LiveSandbox } from './daemon.ts';
import type { ContainerRecord, SandboxConfig } from './disk.ts';
import { Died } from './faults.ts';

/** Which containerd answers at the moment; undefined where none runs. */
export type CriHost = () => Containerd | undefined;

/**
 * A CRI client without a socket: the same calls, deadlines (on the node's own clock) and translated errors as
 * src/cri/connect.ts. With `foreground`, simulated time passes while a call waits.
 */
export function inProcessCri(host: CriHost, clock: TurnableClock, endpoint: string, foreground: boolean): CriRunner {
  const connection = new AbortController();
  async function call<T>(
    name: string,
    timeoutMs: number,
    work: (containerd: Containerd, deadline: AbortSignal) => T | Promise<T>,
  ): Promise<T> {
    try {
      const containerd = host();
      if (!containerd) throw Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
      const running = limited(clock, timeoutMs, connection.signal, (deadline) => work(containerd, deadline));
      return await (foreground ? clock.drive(running) : running);
    } catch (error) {
      throw translateCriError(overTheWire(error), { endpoint, call: name, timeoutMs });
    }
  }
  const read = <T>(name: string, work: (containerd: Containerd) => T) => call(name, limits.criReadTimeoutMs, work);
  const write = <T>(name: string, work: (containerd: Containerd, deadline: AbortSignal) => Promise<T>) =>
    call(name, limits.criWriteTimeoutMs, work);
  return {
    version: () => read('Version', (containerd) => containerd.version()),
    status: () => read('Status', (containerd) => containerd.status()),
    cgroupDriver: () =>
      read('RuntimeConfig', (containerd) =>
        containerd.flavour.noRuntimeConfig === undefined ? containerd.cgroupDriver() : undefined,
      ),
    listSandboxes: (filter = {}) =>
      read('ListPodSandbox', (containerd) =>
        containerd
          .listSandboxes({ ...(filter.id ? { id: filter.id } : {}), labels: podSelector(filter.podUid) })
          .map(toSandbox),
      ),
    sandboxStatus: (id) =>
      read('PodSandboxStatus', (containerd) => {
        const { sandbox, ip, info } = containerd.sandboxStatus(id);
        const { hostNetwork } = sandbox.record.config;
        const detail = { ...detailOfInfo(info()), ...(ip ? { ip } : {}), hostNetwork };
        return { sandbox: toSandbox(sandbox), detail };
      }),
    listContainers: (filter = {}) =>
      read('ListContainers', (containerd) =>
        containerd
          .listContainers({
            ...(filter.sandboxId ? { sandboxId: filter.sandboxId } : {}),
            labels: podSelector(filter.podUid),
          })
          .map((each) => toContainer(containerd, each)),
      ),
    containerStatus: (id) =>
      read('ContainerStatus', (containerd) => withExit(containerd, containerd.containerStatus(id))),
    events: (signal) => events(host, endpoint, signal),
    close: () => connection.abort(new ConnectionFault('closed')),
    stopSandbox: (id) => write('StopPodSandbox', (containerd, deadline) => containerd.stopSandbox(id, deadline)),
    removeSandbox: (id) => write('RemovePodSandbox', (containerd, deadline) => containerd.removeSandbox(id, deadline)),
    runSandbox: (spec, timeoutMs = limits.runPodSandboxTimeoutMs) =>
      call('RunPodSandbox', timeoutMs, (containerd, deadline) =>
        containerd.runSandbox(sandboxConfig(spec), '', deadline),
      ),
    createContainer: (spec) =>
      write('CreateContainer', (containerd) => containerd.createContainer(spec.sandboxId, containerConfig(spec))),
    startContainer: (id) => write('StartContainer', (containerd) => containerd.startContainer(id)),
    stopContainer: (id, graceMs) =>
      call('StopContainer', limits.criWriteTimeoutMs + graceMs, (containerd) => containerd.stopContainer(id, graceMs)),
    removeContainer: (id) => write('RemoveContainer', (containerd) => containerd.removeContainer(id)),
  };
}

/** What a client sees of a server's error: its status is the server's own, and a death is a lost connection. */
function overTheWire(error: unknown): unknown {
  if (error instanceof Died) return new ConnectionFault('lost', error);
  if (error instanceof ConnectError) error.isWireError = true;
  return error;
}

/** Runs `work` until its deadline on the node's clock, or until the client hangs up: the call itself may go on. */
async function limited<T>(
  clock: TurnableClock,
  timeoutMs: number,
  connection: AbortSignal,
  work: (deadline: AbortSignal) => T | Promise<T>,
): Promise<T> {
  connection.throwIfAborted();
  const deadline = new AbortController();
  const result = work(deadline.signal);
  if (!(result instanceof Promise)) return result;
  const done = new AbortController();
  const hangUp = () => {
    deadline.abort();
    done.abort(connection.reason);
  };
  connection.addEventListener('abort', hangUp, { once: true });
  const late = clock.sleep(timeoutMs, done.signal).then((): never => {
    deadline.abort();
    throw new ConnectError('context deadline exceeded', Code.DeadlineExceeded);
  });
  try {
    return await Promise.race([result, late]);
  } finally {
    connection.removeEventListener('abort', hangUp);
    done.abort(answered);
  }
}

/** Why the deadline's timer is called off: a reason of our own, since making a DOMException is slow. */
const answered = new Error('the call was answered');

async function* events(host: CriHost, endpoint: string, signal: AbortSignal): AsyncGenerator<CriEvent> {
  const context = { endpoint, call: 'GetContainerEvents', timeoutMs: 0 };
  const containerd = host();
  if (!containerd) throw translateCriError(new ConnectionFault('lost'), context);
  const queue: CriEvent[] = [];
  let wake = () => {};
  const onEvent = (event: CriEvent) => {
    queue.push(event);
    wake();
  };
  let unlisten = () => {};
  try {
    unlisten = containerd.listen(onEvent);
    while (!signal.aborted) {
      for (let next = queue.shift(); next; next = queue.shift()) yield next;
      if (containerd.life.aborted) throw new ConnectionFault('lost');
      await new Promise<void>((resolve) => {
        wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
        containerd.life.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  } catch (error) {
    throw translateCriError(overTheWire(error), context);
  } finally {
    unlisten();
  }
}

function podSelector(podUid: string | undefined): Record<string, string> {
  return podUid === undefined ? {} : { [kubelet.podUid]: podUid };
}

function toSandbox({ record, state, createdAtNs }: LiveSandbox): Sandbox {
  const { name, namespace, uid, attempt, annotations } = record.config;
  return {
    id: record.id,
    name,
    namespace,
    uid,
    attempt,
    state: state === 'ready' ? 'ready' : 'notready',
    createdAtNs,
    runtimeHandler: record.runtimeHandler,
    configSource: annotations[kubelet.configSource] ?? '',
  };
}

function toContainer(containerd: Containerd, record: ContainerRecord): Container {
  const { name, attempt } = record.config;
  return {
    id: record.id,
    sandboxId: record.sandboxId,
    podUid: record.podUid,
    name,
    attempt,
    state: containerd.stateOf(record),
    createdAtNs: record.createdAtNs,
  };
}

function withExit(containerd: Containerd, record: ContainerRecord): Container {
  const listed = toContainer(containerd, record);
  if (listed.state !== 'exited') return listed;
  const { exitCode, reason, startedAtNs, finishedAtNs } = record;
  return { ...listed, exit: { exitCode, reason, startedAtNs, finishedAtNs } };
}

function podLabels(of: SandboxSpec): Record<string, string> {
  return { [kubelet.podName]: of.name, [kubelet.podNamespace]: of.namespace, [kubelet.podUid]: of.uid };
}

function sandboxConfig(spec: SandboxSpec): SandboxConfig {
  const { name, namespace, uid, attempt, hostNetwork = false, cgroupParent = '', annotations = {} } = spec;
  return { name, namespace, uid, attempt, hostNetwork, cgroupParent, annotations, labels: podLabels(spec) };
}

function containerConfig(spec: ContainerSpec) {
  const { name, attempt, image, command } = spec;
  const labels = { ...podLabels(spec.sandbox), [kubelet.containerName]: name };
  return { name, attempt, image, command, labels, annotations: { [kubelet.restartCount]: String(attempt) } };
}
