import type { NodeFacts, Pod, RuntimeFacts } from '../../src/model/node.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { KubeletLog, NameHeld, RuntimeLog } from '../../src/model/records.ts';
import type { Container, Sandbox } from '../../src/model/sandbox.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { snapshotFormat } from '../../src/model/snapshot.ts';

/** Builders of small nodes for tests: every part has a healthy default. Times are given in seconds from "now". */

export const bootId = 'b'.repeat(32);
export const nowNs = 1_795_284_081n * second();
export const uptimeNs = 600n * second();

export function second(): bigint {
  return 1_000_000_000n;
}

export function seconds(number: number): bigint {
  return BigInt(Math.round(number * 1_000)) * 1_000_000n;
}

/** A 64-digit id that begins with the text's own hex. */
export function idOf(text: string): string {
  return Buffer.from(text).toString('hex').padEnd(64, '0').slice(0, 64);
}

export function sandbox(pod: string, attempt: number, state: 'ready' | 'notready', fromNowS: number): Sandbox {
  return {
    id: idOf(`${pod}/${attempt}`),
    name: pod,
    namespace: 'default',
    uid: `uid-${pod}`,
    attempt,
    state,
    createdAtNs: nowNs + seconds(fromNowS),
    runtimeHandler: '',
    configSource: 'api',
  };
}

export function container(of: Sandbox, more: Partial<Container> = {}): Container {
  return {
    id: idOf(`c/${of.id.slice(0, 20)}`),
    sandboxId: of.id,
    podUid: of.uid,
    name: 'c',
    attempt: of.attempt,
    state: of.state === 'ready' ? 'running' : 'exited',
    createdAtNs: of.createdAtNs + seconds(1),
    ...more,
  };
}

/** How a container that ran when the power went comes back: containerd's unknownContainerStatus. */
export function lostAtPowerCut(): Container['exit'] & object {
  return { exitCode: 255, reason: 'Unknown', startedAtNs: 0n, finishedAtNs: nowNs };
}

export function nameHeld(pod: string, attempt: number, holderId: string, more: Partial<NameHeld> = {}): NameHeld {
  const name = `${pod}_default_uid-${pod}_${attempt}`;
  const at = (agoS: number) => ({
    wallNs: nowNs - seconds(agoS),
    bootId,
    monotonicUs: (uptimeNs - seconds(agoS)) / 1_000n,
  });
  return {
    kind: 'sandbox',
    asked: { name: pod, namespace: 'default', uid: `uid-${pod}`, attempt },
    holderId,
    text: `failed to reserve sandbox name "${name}": name "${name}" is reserved for "${holderId}"`,
    count: 6,
    first: at(70),
    last: at(5),
    ...more,
  } as NameHeld;
}

export function pod(name: string, more: Partial<Pod> = {}): Pod {
  return {
    name,
    namespace: 'default',
    uid: `uid-${name}`,
    phase: 'Running',
    restartPolicy: 'Always',
    deleting: false,
    ...more,
  };
}

export interface NodeSpec {
  readonly sandboxes?: readonly Sandbox[];
  readonly containers?: readonly Container[];
  readonly errors?: readonly NameHeld[];
  readonly pods?: readonly Pod[];
  /** `null`: not known. */
  readonly kubelet?: string | null;
  readonly kubeletRunning?: boolean;
  readonly log?: Partial<KubeletLog>;
  readonly runtimeLog?: Partial<RuntimeLog> | null;
  readonly more?: Partial<Snapshot>;
}

export function snapshotOf(spec: NodeSpec): Snapshot {
  const version = spec.kubelet === undefined ? 'v1.34.9' : spec.kubelet;
  const running = spec.kubeletRunning ?? true;
  return {
    format: snapshotFormat,
    takenBy: '0.0.0',
    node: known(nodeFacts()),
    clock: known({}),
    boots: known([]),
    runtime: known(runtimeFacts()),
    runtimeUnit: unknown('ERR_COMMAND_MISSING', 'systemctl is not there'),
    sandboxes: known(spec.sandboxes ?? []),
    containers: known(spec.containers ?? []),
    details: {},
    kubelet: known({
      running,
      ...(running ? { pid: 367, comm: 'kubelet', startedUptimeNs: seconds(20) } : {}),
      ...(version === null ? {} : { version, versionFrom: 'its log' }),
    }),
    kubeletLog: known({
      since: { wallNs: nowNs - uptimeNs, bootId, monotonicUs: 0n },
      lines: 100,
      truncated: false,
      nameHeld: spec.errors ?? [],
      stopFailed: [],
      runTimedOut: [],
      ...spec.log,
    }),
    runtimeLog:
      spec.runtimeLog === null
        ? unknown('ERR_COMMAND_MISSING', 'no journal')
        : known({
            since: { wallNs: nowNs - uptimeNs, bootId, monotonicUs: 0n },
            startedAt: { wallNs: nowNs - uptimeNs, bootId, monotonicUs: 1_000_000n },
            lines: 10,
            truncated: false,
            duplicates: [],
            fatal: [],
            running: [],
            settledIds: [],
            cniDelFailed: [],
            ...spec.runtimeLog,
          }),
    processes: known({ holders: [] }),
    pods: spec.pods === undefined ? unknown('ERR_NOT_ASKED', 'the API was not asked') : known(spec.pods),
    ...spec.more,
  };
}

function nodeFacts(): NodeFacts {
  return { hostname: 'pi', kernel: '6.12.0', arch: 'arm64', bootId, wallNs: nowNs, uptimeNs };
}

function runtimeFacts(): RuntimeFacts {
  return {
    endpoint: 'unix:///run/containerd/containerd.sock',
    endpointFrom: 'known socket',
    otherEndpoints: [],
    name: 'containerd',
    version: '1.7.24',
    runtimeReady: true,
    networkReady: true,
    networkMessage: '',
    latencyMs: { Version: 1, ListPodSandbox: 2 },
  };
}
