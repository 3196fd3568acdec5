import { once } from 'node:events';
import { rmSync } from 'node:fs';
import * as http2 from 'node:http2';
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import type * as wire from '../cri/gen/runtime/v1/runtime_pb.js';
import {
  CgroupDriver,
  ContainerEventType,
  NamespaceMode,
  PodSandboxState,
  RuntimeService,
  ContainerState as WireContainerState,
} from '../cri/gen/runtime/v1/runtime_pb.js';
import type { CriEvent } from '../cri/types.ts';
import type { TurnableClock } from './clock.ts';
import type { Containerd } from './containerd.ts';
import type { LiveSandbox } from './daemon.ts';
import type { ContainerRecord } from './disk.ts';
import { Died, fault } from './faults.ts';
import type { CriHost } from './in-process.ts';

/** A CRI server that listens on a unix socket. */
export interface CriServer {
  /** Cuts every connection. With `leaveSocket` the file stays, as after SIGKILL. */
  close(leaveSocket?: boolean): Promise<void>;
}

/** Serves CRI v1 (gRPC) on the socket at `path`, which must not exist. */
export async function serveCri(path: string, host: CriHost, clock: TurnableClock): Promise<CriServer> {
  const sessions = new Set<http2.ServerHttp2Session>();
  const handler = connectNodeAdapter({
    routes: (router) => void router.service(RuntimeService, implementation(host, clock)),
    connect: false,
    grpcWeb: false,
  });
  const server = http2.createServer({}, handler);
  server.on('session', (session) => {
    sessions.add(session);
    session.on('close', () => sessions.delete(session));
    // The client went in the middle of a call: that is its business.
    session.on('error', () => {});
  });
  server.listen(path);
  await once(server, 'listening');
  return {
    close: async (leaveSocket = false) => {
      const closed = once(server, 'close');
      server.close();
      for (const session of sessions) session.destroy();
      await closed;
      if (!leaveSocket) rmSync(path, { force: true });
    },
  };
}

function implementation(host: CriHost, clock: TurnableClock): ServiceImpl<typeof RuntimeService> {
  async function call<T>(work: (containerd: Containerd) => T | Promise<T>): Promise<T> {
    const containerd = host();
    if (!containerd) throw fault('the daemon is down', 'Unavailable');
    try {
      return await clock.drive(Promise.resolve(work(containerd)));
    } catch (error) {
      if (error instanceof Died) throw fault('transport is closing', 'Unavailable');
      throw error;
    }
  }
  return {
    version: () => call((containerd) => ({ version: '0.1.0', ...containerd.version() })),
    status: ({ verbose }) =>
      call((containerd) => {
        const { conditions, info } = containerd.status();
        return { status: { conditions: [...conditions] }, info: verbose ? info : {} };
      }),
    runtimeConfig: () =>
      call((containerd) => {
        containerd.cgroupDriver();
        return { linux: { cgroupDriver: CgroupDriver.SYSTEMD } };
      }),
    ...sandboxCalls(call),
    ...containerCalls(call),
    getContainerEvents: (_, context) => streamEvents(host, context),
  };
}

type Call = <T>(work: (containerd: Containerd) => T | Promise<T>) => Promise<T>;

function sandboxCalls(call: Call) {
  return {
    runPodSandbox: ({ config, runtimeHandler }: wire.RunPodSandboxRequest, { signal }: HandlerContext) =>
      call(async (containerd) => {
        const metadata = config?.metadata;
        if (!metadata) throw fault('sandbox config must include metadata');
        const { name, namespace, uid, attempt } = metadata;
        const { labels, annotations, linux } = config;
        const hostNetwork = linux?.securityContext?.namespaceOptions?.network === NamespaceMode.NODE;
        const cgroupParent = linux?.cgroupParent ?? '';
        const wanted = { name, namespace, uid, attempt, hostNetwork, cgroupParent, labels, annotations };
        return { podSandboxId: await containerd.runSandbox(wanted, runtimeHandler, signal) };
      }),
    stopPodSandbox: ({ podSandboxId }: wire.StopPodSandboxRequest, { signal }: HandlerContext) =>
      call(async (containerd) => {
        await containerd.stopSandbox(podSandboxId, signal);
        return {};
      }),
    removePodSandbox: ({ podSandboxId }: wire.RemovePodSandboxRequest, { signal }: HandlerContext) =>
      call(async (containerd) => {
        await containerd.removeSandbox(podSandboxId, signal);
        return {};
      }),
    podSandboxStatus: ({ podSandboxId, verbose }: wire.PodSandboxStatusRequest) =>
      call((containerd) => {
        const { sandbox, ip, info } = containerd.sandboxStatus(podSandboxId);
        const network = sandbox.record.config.hostNetwork ? NamespaceMode.NODE : NamespaceMode.POD;
        const options = { network, pid: NamespaceMode.CONTAINER, ipc: NamespaceMode.POD };
        return {
          status: { ...sandboxMessage(sandbox), network: { ip }, linux: { namespaces: { options } } },
          info: verbose ? { info: JSON.stringify(info()) } : {},
        };
      }),
    listPodSandbox: ({ filter }: wire.ListPodSandboxRequest) =>
      call((containerd) => {
        const wanted = {
          id: filter?.id ?? '',
          labels: filter?.labelSelector ?? {},
          ...(filter?.state ? { ready: filter.state.state === PodSandboxState.SANDBOX_READY } : {}),
        };
        return { items: containerd.listSandboxes(wanted).map(sandboxMessage) };
      }),
  };
}

function containerCalls(call: Call) {
  return {
    createContainer: ({ podSandboxId, config }: wire.CreateContainerRequest) =>
      call(async (containerd) => {
        if (!config?.metadata) throw fault('container config must include metadata');
        const { labels, annotations, command, args, image } = config;
        const wanted = {
          ...config.metadata,
          image: image?.image ?? '',
          command: [...command, ...args],
          labels,
          annotations,
        };
        return { containerId: await containerd.createContainer(podSandboxId, wanted) };
      }),
    startContainer: ({ containerId }: wire.StartContainerRequest) =>
      call(async (containerd) => {
        await containerd.startContainer(containerId);
        return {};
      }),
    stopContainer: ({ containerId, timeout }: wire.StopContainerRequest) =>
      call(async (containerd) => {
        await containerd.stopContainer(containerId, Number(timeout) * 1_000);
        return {};
      }),
    removeContainer: ({ containerId }: wire.RemoveContainerRequest) =>
      call(async (containerd) => {
        await containerd.removeContainer(containerId);
        return {};
      }),
    listContainers: ({ filter }: wire.ListContainersRequest) =>
      call((containerd) => {
        const wanted = {
          id: filter?.id ?? '',
          sandboxId: filter?.podSandboxId ?? '',
          labels: filter?.labelSelector ?? {},
        };
        const containers = containerd.listContainers(wanted).map((each) => containerMessage(containerd, each));
        const state = filter?.state?.state;
        return { containers: containers.filter((each) => state === undefined || each.state === state) };
      }),
    containerStatus: ({ containerId, verbose }: wire.ContainerStatusRequest) =>
      call((containerd) => {
        const record = containerd.containerStatus(containerId);
        const { startedAtNs, finishedAtNs, exitCode, reason, sandboxId } = record;
        return {
          status: {
            ...containerMessage(containerd, record),
            startedAt: startedAtNs,
            finishedAt: finishedAtNs,
            exitCode,
            reason,
          },
          info: verbose ? { info: JSON.stringify({ sandboxID: sandboxId, runtimeType: 'io.containerd.runc.v2' }) } : {},
        };
      }),
  };
}

async function* streamEvents(host: CriHost, { signal }: HandlerContext) {
  const containerd = host();
  if (!containerd) throw new ConnectError('the daemon is down', Code.Unavailable);
  const queue: CriEvent[] = [];
  let wake = () => {};
  const unlisten = containerd.listen((event) => {
    queue.push(event);
    wake();
  });
  try {
    while (!signal.aborted && !containerd.life.aborted) {
      for (let next = queue.shift(); next; next = queue.shift()) {
        const { id: containerId, type, atNs: createdAt, container: of } = next;
        const about = of && {
          podSandboxStatus: { id: of.sandboxId },
          containersStatuses: [{ id: containerId, metadata: { name: of.name, attempt: of.attempt } }],
        };
        yield { containerId, containerEventType: eventTypes[type], createdAt, ...about };
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
        signal.addEventListener('abort', () => resolve(), { once: true });
        containerd.life.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  } finally {
    unlisten();
  }
}

const eventTypes: Readonly<Record<CriEvent['type'], ContainerEventType>> = {
  created: ContainerEventType.CONTAINER_CREATED_EVENT,
  started: ContainerEventType.CONTAINER_STARTED_EVENT,
  stopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  deleted: ContainerEventType.CONTAINER_DELETED_EVENT,
};

function sandboxMessage({ record, state, createdAtNs }: LiveSandbox) {
  const { name, namespace, uid, attempt, labels, annotations } = record.config;
  return {
    id: record.id,
    metadata: { name, namespace, uid, attempt },
    state: state === 'ready' ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY,
    createdAt: createdAtNs,
    labels: { ...labels },
    annotations: { ...annotations },
    runtimeHandler: record.runtimeHandler,
  };
}

function containerMessage(containerd: Containerd, record: ContainerRecord) {
  const { name, attempt, labels, annotations } = record.config;
  return {
    id: record.id,
    podSandboxId: record.sandboxId,
    metadata: { name, attempt },
    state: containerStates[containerd.stateOf(record)],
    createdAt: record.createdAtNs,
    labels: { ...labels },
    annotations: { ...annotations },
  };
}

const containerStates = {
  created: WireContainerState.CONTAINER_CREATED,
  running: WireContainerState.CONTAINER_RUNNING,
  exited: WireContainerState.CONTAINER_EXITED,
} as const;
