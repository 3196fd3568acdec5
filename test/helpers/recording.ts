import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type DescMessage, fromJson, type JsonValue, type MessageShape } from '@bufbuild/protobuf';
import { detailOfInfo, toContainer, toSandbox, toSandboxDetail } from '../../src/cri/convert.ts';
import {
  ListContainersResponseSchema,
  ListPodSandboxResponseSchema,
  PodSandboxStatusResponseSchema,
} from '../../src/cri/gen/runtime/v1/runtime_pb.js';
import type { RuntimeFacts } from '../../src/model/node.ts';
import { known, type Observed, unknown } from '../../src/model/observed.ts';
import type { SandboxDetail } from '../../src/model/sandbox.ts';
import { type Snapshot, snapshotFormat } from '../../src/model/snapshot.ts';
import { endOfBoot, parseBootList } from '../../src/observe/boots.ts';
import { readCgroups } from '../../src/observe/cgroup/cgroups.ts';
import { applyDelegation } from '../../src/observe/cgroup/delegation.ts';
import { needsDetail, runtimeFacts } from '../../src/observe/cri.ts';
import { KubeletLogReader } from '../../src/observe/kubelet-log.ts';
import { type LogLine, parseJournalLine, plainBootId } from '../../src/observe/log-line.ts';
import { podsOfList } from '../../src/observe/pods.ts';
import { RuntimeLogReader } from '../../src/observe/runtime-log.ts';
import { recordedTree } from './cgroup-tree.ts';
import { recordedChanges } from './recorded-changes.ts';

/** The recordings of real nodes (test/recordings/README.md). */
export const recordings = ['clock-step/stuck', 'clock-step/healed', 'normal-reboot', 'cgroup-flapping'] as const;
export type RecordingName = (typeof recordings)[number];

export interface RecordingOptions {
  /** Whether the pods of the Kubernetes API are in the snapshot. Default: they are. */
  readonly pods?: boolean;
  /** Whether every pod's cgroup is in it with its scopes and processes. Default: what a check reads. */
  readonly allCgroups?: boolean;
  /** Whether who wrote to the slices is in it, where that was recorded. Default: it is not, as in a check. */
  readonly watched?: boolean;
}

/**
 * A recorded node as a Snapshot, through the parsers a live node goes through.
 * Its "now" is the last moment that anything of it is dated: date.txt has whole seconds only.
 */
export function readRecording(name: RecordingName, options: RecordingOptions = {}): Snapshot {
  const dir = join(dirname(fileURLToPath(import.meta.url)), '../recordings', name);
  const file = (path: string) => readFileSync(join(dir, path), 'utf8');
  const json = (path: string): JsonValue => JSON.parse(file(path)) as JsonValue;
  const bootId = plainBootId(file('boot_id.txt'));
  if (bootId === undefined) throw new Error(`${name}: boot_id.txt is no boot id`);
  const journals = {
    kubelet: lines(file('journal-kubelet.ndjson')),
    runtime: lines(file('journal-containerd.ndjson')),
  };
  const ofBoot = (of: readonly LogLine[]) => of.filter((line) => line.at?.bootId === bootId);
  const dates = [...ofBoot(journals.kubelet), ...ofBoot(journals.runtime)].map((line) => line.at?.wallNs ?? 0n);
  const wallNs = latest([...dates, BigInt(Date.parse(file('date.txt').trim())) * 1_000_000n]);
  const bootedAtNs = BigInt(file('btime.txt').replace('btime', '').trim()) * 1_000_000_000n;

  const kubeletLog = new KubeletLogReader(wallNs);
  for (const line of ofBoot(journals.kubelet)) kubeletLog.add(line);
  const runtimeLog = new RuntimeLogReader();
  for (const line of ofBoot(journals.runtime)) runtimeLog.add(line);
  const log = known(kubeletLog.result(false));
  const sandboxes = message(ListPodSandboxResponseSchema, json('crictl-pods.json')).items.map(toSandbox);
  const containers = message(ListContainersResponseSchema, json('crictl-ps-a.json')).containers.map(toContainer);
  const node = json('kubectl-node.json') as { status: { nodeInfo: Record<string, string> } };
  const info = node.status.nodeInfo;
  const tree = recordedTree(file('cgroupfs.txt'), file('proc-cgroup.txt'));
  const kubelet = ofBoot(journals.kubelet).findLast((line) => line.comm === 'kubelet');

  const changes = options.watched
    ? known(recordedChanges(file('fanotify-subtree-control.txt'), { bootId, bootedAtNs }))
    : undefined;

  return {
    format: snapshotFormat,
    takenBy: 'recording',
    node: known({
      hostname: 'vm',
      kernel: info.kernelVersion ?? '',
      arch: info.architecture ?? '',
      bootId,
      wallNs,
      uptimeNs: wallNs - bootedAtNs,
    }),
    clock: known({ synchronized: /^NTPSynchronized=yes$/m.test(file('timedatectl.txt')), hasRtc: true }),
    boots: known(boots(file('boots.json'), bootId, journals.kubelet)),
    runtime: known(runtime(json('crictl-info.json') as Record<string, JsonValue>, info.containerRuntimeVersion ?? '')),
    runtimeUnit: known({ name: 'containerd.service', activeState: 'active', subState: 'running' }),
    sandboxes: known(sandboxes),
    containers: known(containers),
    details: details(dir, needsDetail(sandboxes, log, wallNs)),
    kubelet: known({
      running: kubelet !== undefined,
      ...(kubelet?.pid === undefined ? {} : { pid: kubelet.pid, comm: 'kubelet' }),
      ...(log.value.version === undefined ? {} : { version: log.value.version, versionFrom: 'its log' }),
    }),
    kubeletLog: log,
    runtimeLog: known(runtimeLog.result(false)),
    processes: unknown('ERR_NOT_ASKED', 'a recording has no processes'),
    pods:
      options.pods === false
        ? unknown('ERR_NOT_ASKED', 'the Kubernetes API was not asked', 'Name a kubeconfig.')
        : known(podsOfList(json('kubectl-pods.json'))),
    cgroups: known(
      applyDelegation(readCgroups(tree, { all: options.allCgroups ?? false }), file('systemctl-show-pods.txt')),
    ),
    ...(changes === undefined ? {} : { controllerChanges: changes }),
  };
}

/** The raw lines of a recorded journal, for tests that change them. */
export function recordedLines(name: RecordingName, journal: 'kubelet' | 'containerd'): string[] {
  const dir = join(dirname(fileURLToPath(import.meta.url)), '../recordings', name);
  return readFileSync(join(dir, `journal-${journal}.ndjson`), 'utf8')
    .trimEnd()
    .split('\n');
}

function latest(dates: readonly bigint[]): bigint {
  return dates.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0)).at(-1) ?? 0n;
}

function lines(ndjson: string): LogLine[] {
  return ndjson.split('\n').flatMap((line) => parseJournalLine(line) ?? []);
}

function message<D extends DescMessage>(schema: D, value: JsonValue): MessageShape<D> {
  return fromJson(schema, value, { ignoreUnknownFields: true });
}

function boots(list: string, bootId: string, journal: readonly LogLine[]) {
  return parseBootList(list, bootId).map((boot) => {
    const last = journal.filter((line) => line.at?.bootId === boot.bootId).slice(-50);
    return boot.end === 'running' ? boot : { ...boot, end: endOfBoot(last) };
  });
}

/** `crictl info` shows the JSON of Status' info unpacked; it is packed again here. */
function runtime(info: Record<string, JsonValue>, version: string): RuntimeFacts {
  const { status, ...rest } = info;
  const { conditions } = status as { conditions: { type: string; status: boolean; reason: string; message: string }[] };
  const packed = Object.entries(rest).map(([key, value]) => {
    return [key, typeof value === 'string' ? value : JSON.stringify(value)] as const;
  });
  const [runtimeName = '', runtimeVersion = ''] = version.split('://');
  return runtimeFacts(
    { endpoint: 'unix:///run/containerd/containerd.sock', from: 'recording', others: [] },
    { runtimeName, runtimeVersion, runtimeApiVersion: 'v1' },
    { conditions, info: Object.fromEntries(packed) },
    undefined,
    {},
  );
}

/** inspectp-<id>.json is PodSandboxStatus as crictl prints it: dates as text, info unpacked, enums without a prefix. */
function details(dir: string, ids: ReadonlySet<string>): Record<string, Observed<SandboxDetail>> {
  const found: Record<string, Observed<SandboxDetail>> = {};
  for (const name of readdirSync(dir)) {
    const id = /^inspectp-([0-9a-f]{64})\.json$/.exec(name)?.[1];
    if (id === undefined || !ids.has(id)) continue;
    const answer = JSON.parse(readFileSync(join(dir, name), 'utf8')) as {
      info: Record<string, unknown>;
      status: { network: JsonValue; linux: JsonValue };
    };
    const status = { id, network: answer.status.network, linux: answer.status.linux };
    const parsed = message(PodSandboxStatusResponseSchema, { status });
    found[id] = known({ ...toSandboxDetail(parsed), ...detailOfInfo(answer.info) });
  }
  return found;
}
