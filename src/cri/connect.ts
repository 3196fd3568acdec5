import { create } from '@bufbuild/protobuf';
import { type CallOptions, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { kubelet, toContainer, toContainerStatus, toSandbox, toSandboxDetail } from './convert.ts';
import { isAtDeadline, isConnectionLost, translateCriError } from './errors.ts';
import {
  CgroupDriver,
  ContainerEventType,
  RuntimeService,
  StopContainerRequestSchema,
} from './gen/runtime/v1/runtime_pb.js';
import { authority, ConnectionFault, UnixSession } from './session.ts';
import { containerConfig, sandboxConfig } from './spec.ts';
import type { CriEvent, CriReader, CriRunner } from './types.ts';
import { withPlainUnary } from './unary.ts';

/** Deadlines in milliseconds; what is absent is taken from model/limits.ts. */
export interface ConnectOptions {
  readonly readTimeoutMs?: number;
  readonly writeTimeoutMs?: number;
  readonly connectTimeoutMs?: number;
}

/**
 * A client of the runtime behind `endpoint` (`unix:///path`, `unix:/path` or `/path`; anything else: ERR_USAGE).
 * It connects at the first call and again after a lost connection; an idle one does not keep the process alive.
 * Errors: see CriReader; they are translated in errors.ts.
 */
export function connectCri(endpoint: string, options: ConnectOptions = {}): CriRunner {
  const session = new UnixSession(socketPath(endpoint), options.connectTimeoutMs ?? limits.connectTimeoutMs);
  const transport = createGrpcTransport({
    baseUrl: authority,
    sessionManager: session,
    acceptCompression: [],
    readMaxBytes: limits.criMessageBytes,
  });
  const client = createClient(RuntimeService, withPlainUnary(session, transport, limits.criMessageBytes));
  const calls = callsOf(endpoint, {
    readTimeoutMs: options.readTimeoutMs ?? limits.criReadTimeoutMs,
    writeTimeoutMs: options.writeTimeoutMs ?? limits.criWriteTimeoutMs,
  });
  return {
    ...readsOf(client, calls),
    ...writesOf(client, calls),
    events: (signal) => events(client, endpoint, signal),
    close: () => session.close(),
  };
}

interface Calls {
  readonly writeTimeoutMs: number;
  call<T>(name: string, timeoutMs: number, run: (options: CallOptions) => Promise<T>): Promise<T>;
  read<T>(name: string, run: (options: CallOptions) => Promise<T>): Promise<T>;
  write<T>(name: string, run: (options: CallOptions) => Promise<T>): Promise<T>;
}

/** The ways to call: each with its deadline, its errors translated. */
function callsOf(endpoint: string, timeouts: { readTimeoutMs: number; writeTimeoutMs: number }): Calls {
  const { readTimeoutMs, writeTimeoutMs } = timeouts;
  async function call<T>(name: string, timeoutMs: number, run: (options: CallOptions) => Promise<T>): Promise<T> {
    const begin = performance.now();
    try {
      return await run({ timeoutMs });
    } catch (error) {
      throw translateCriError(error, { endpoint, call: name, timeoutMs, elapsedMs: performance.now() - begin });
    }
  }
  // A runtime that restarted between two calls is noticed at the second: a read is asked again, once; a write never.
  const read: Calls['read'] = (name, run) =>
    call(name, readTimeoutMs, (limit) => {
      const begin = performance.now();
      return run(limit).catch((error: unknown) => {
        const isLate = isAtDeadline(performance.now() - begin, readTimeoutMs);
        if (isConnectionLost(error) && !isLate) return run(limit);
        throw error;
      });
    });
  const write: Calls['write'] = (name, run) => call(name, writeTimeoutMs, run);
  return { writeTimeoutMs, call, read, write };
}

function readsOf(client: Client, { read }: Calls): Omit<CriReader, 'events' | 'close'> {
  return {
    version: () =>
      read('Version', async (limit) => {
        const { runtimeName, runtimeVersion, runtimeApiVersion } = await client.version({ version: '0.1.0' }, limit);
        return { runtimeName, runtimeVersion, runtimeApiVersion };
      }),
    status: () =>
      read('Status', async (limit) => {
        const { status, info } = await client.status({ verbose: true }, limit);
        const conditions = (status?.conditions ?? []).map(({ type, status, reason, message }) => {
          return { type, status, reason, message };
        });
        return { conditions, info };
      }),
    cgroupDriver: () => read('RuntimeConfig', (limit) => cgroupDriver(client, limit)),
    listSandboxes: (filter = {}) =>
      read('ListPodSandbox', async (limit) => {
        const wanted = { id: filter.id ?? '', labelSelector: podSelector(filter.podUid) };
        return (await client.listPodSandbox({ filter: wanted }, limit)).items.map(toSandbox);
      }),
    sandboxStatus: (id) =>
      read('PodSandboxStatus', async (limit) => {
        const answer = await client.podSandboxStatus({ podSandboxId: id, verbose: true }, limit);
        if (!answer.status) throw withoutStatus('PodSandboxStatus');
        return { sandbox: toSandbox(answer.status), detail: toSandboxDetail(answer) };
      }),
    listContainers: (filter = {}) =>
      read('ListContainers', async (limit) => {
        const wanted = { podSandboxId: filter.sandboxId ?? '', labelSelector: podSelector(filter.podUid) };
        return (await client.listContainers({ filter: wanted }, limit)).containers.map(toContainer);
      }),
    containerStatus: (id) =>
      read('ContainerStatus', async (limit) => {
        return toContainerStatus(await client.containerStatus({ containerId: id, verbose: true }, limit));
      }),
  };
}

function writesOf(client: Client, { call, write, writeTimeoutMs }: Calls): Omit<CriRunner, keyof CriReader> {
  return {
    stopSandbox: (id) =>
      write('StopPodSandbox', async (limit) => void (await client.stopPodSandbox({ podSandboxId: id }, limit))),
    removeSandbox: (id) =>
      write('RemovePodSandbox', async (limit) => void (await client.removePodSandbox({ podSandboxId: id }, limit))),
    runSandbox: (spec, timeoutMs = limits.runPodSandboxTimeoutMs) =>
      call('RunPodSandbox', timeoutMs, async (limit) => {
        return (await client.runPodSandbox({ config: sandboxConfig(spec) }, limit)).podSandboxId;
      }),
    createContainer: (spec) =>
      write('CreateContainer', async (limit) => {
        const request = {
          podSandboxId: spec.sandboxId,
          config: containerConfig(spec),
          sandboxConfig: sandboxConfig(spec.sandbox),
        };
        return (await client.createContainer(request, limit)).containerId;
      }),
    startContainer: (id) =>
      write('StartContainer', async (limit) => void (await client.startContainer({ containerId: id }, limit))),
    stopContainer: (id, graceMs) =>
      call('StopContainer', writeTimeoutMs + graceMs, async (limit) => {
        const timeout = BigInt(Math.ceil(graceMs / 1_000));
        await client.stopContainer(create(StopContainerRequestSchema, { containerId: id, timeout }), limit);
      }),
    removeContainer: (id) =>
      write('RemoveContainer', async (limit) => void (await client.removeContainer({ containerId: id }, limit))),
  };
}

/** The path of a CRI endpoint. Throws ERR_USAGE where it is no local socket. */
export function socketPath(endpoint: string): string {
  const path = endpoint.startsWith('unix://')
    ? endpoint.slice(7)
    : endpoint.startsWith('unix:')
      ? endpoint.slice(5)
      : endpoint;
  const problem = !path.startsWith('/')
    ? 'it must be an absolute path'
    : path.includes('\0')
      ? 'it holds a NUL character'
      : // sun_path of unix(7) has 108 bytes, the last one a NUL.
        Buffer.byteLength(path) > 107
        ? 'it is longer than the 107 bytes a socket can have'
        : undefined;
  if (problem === undefined) return path;
  throw new SandwardenError('ERR_USAGE', `'${safeText(endpoint, 300)}' is not a runtime endpoint: ${problem}`, {
    hint: 'Write it as unix:///run/containerd/containerd.sock.',
  });
}

type Client = ReturnType<typeof createClient<typeof RuntimeService>>;

async function cgroupDriver(client: Client, options: CallOptions): Promise<'systemd' | 'cgroupfs' | undefined> {
  try {
    const { linux } = await client.runtimeConfig({}, options);
    if (!linux) return undefined;
    return linux.cgroupDriver === CgroupDriver.SYSTEMD ? 'systemd' : 'cgroupfs';
  } catch (error) {
    const translated = translateCriError(error, { endpoint: '', call: 'RuntimeConfig', timeoutMs: 0 });
    if (translated.code === 'ERR_CRI_UNIMPLEMENTED') return undefined;
    throw error;
  }
}

/** Ends quietly when `signal` is aborted; has no deadline of its own, since it lasts as long as the runtime does. */
async function* events(client: Client, endpoint: string, signal: AbortSignal): AsyncGenerator<CriEvent> {
  try {
    for await (const event of client.getContainerEvents({}, { signal, timeoutMs: 0 })) {
      const type = eventTypes.get(event.containerEventType);
      const { containerId: id, createdAt: atNs, podSandboxStatus: sandbox } = event;
      const metadata = event.containersStatuses.find((each) => each.id === id)?.metadata;
      const of = metadata && sandbox && { name: metadata.name, attempt: metadata.attempt, sandboxId: sandbox.id };
      if (type) yield { id, type, atNs, ...(of ? { container: of } : {}) };
    }
  } catch (error) {
    if (signal.aborted) return;
    throw translateCriError(error, { endpoint, call: 'GetContainerEvents', timeoutMs: 0 });
  }
  if (!signal.aborted) {
    throw translateCriError(new ConnectionFault('lost'), { endpoint, call: 'GetContainerEvents', timeoutMs: 0 });
  }
}

const eventTypes: ReadonlyMap<ContainerEventType, CriEvent['type']> = new Map([
  [ContainerEventType.CONTAINER_CREATED_EVENT, 'created'],
  [ContainerEventType.CONTAINER_STARTED_EVENT, 'started'],
  [ContainerEventType.CONTAINER_STOPPED_EVENT, 'stopped'],
  [ContainerEventType.CONTAINER_DELETED_EVENT, 'deleted'],
]);

function podSelector(podUid: string | undefined): Record<string, string> {
  return podUid === undefined ? {} : { [kubelet.podUid]: podUid };
}

function withoutStatus(call: string): SandwardenError {
  return new SandwardenError('ERR_CRI_FAILED', `the runtime answered ${call} without a status`, {
    hint: 'What listens on the socket breaks CRI; see which program it is and its version.',
  });
}
