import { connectCri, socketPath } from '../cri/connect.ts';
import type { CriReader } from '../cri/types.ts';
import type { CgroupFacts } from '../model/cgroups.ts';
import type { Clock } from '../model/clock.ts';
import type { CsiFacts } from '../model/csi.ts';
import { SandwardenError } from '../model/errors.ts';
import type { KernelLog } from '../model/kernel.ts';
import type {
  Boot,
  ClockFacts,
  EndpointInfo,
  KubeletFacts,
  NodeFacts,
  Pod,
  ProcessFacts,
  UnitFacts,
  UnitsFacts,
} from '../model/node.ts';
import { known, type Observed, unknown, valueOr } from '../model/observed.ts';
import type { KubeletLog, NameHeld, RuntimeLog } from '../model/records.ts';
import type { KubeletConfigFacts, RuntimeConfigFacts } from '../model/runtime-config.ts';
import { type Snapshot, snapshotFormat } from '../model/snapshot.ts';
import { observeBoots } from './boots.ts';
import { observeCgroups } from './cgroup/cgroups.ts';
import { type Run, run } from './child.ts';
import { observeClock } from './clock.ts';
import { observeKubeletConfig } from './config/kubelet.ts';
import { observeConfigs } from './config/look.ts';
import { readContainerEvents } from './container-events.ts';
import { type CriObservation, needsDetail, observeCri, readDetails } from './cri.ts';
import { observeStorage } from './csi/look.ts';
import { findEndpoint } from './endpoint.ts';
import { observeProcesses } from './holders.ts';
import { kubeletUnits, readKubeletLog, readRuntimeLog } from './journal.ts';
import { k3sData } from './k3s-data.ts';
import { observeKernel } from './kernel/look.ts';
import type { RunningKubeletConfig } from './kube/configz.ts';
import { observePods } from './kube/pods.ts';
import type { VolumeAnswers } from './kube/volumes.ts';
import { layoutOf } from './layout.ts';
import { findKubelet, kubeletVersionOfBinary, listProcesses, observeNode, type ProcessStat } from './proc.ts';
import { isFile } from './read-file.ts';
import { observeUnit } from './unit.ts';
import { observeUnits } from './units.ts';
import { observed } from './unknown.ts';

/** A source that somebody else supplies: the embedded node has no /proc, no journal and no systemd. */
export interface SourceOverrides {
  readonly node?: () => Promise<Observed<NodeFacts>>;
  readonly clock?: () => Promise<Observed<ClockFacts>>;
  readonly boots?: () => Promise<Observed<readonly Boot[]>>;
  readonly runtimeUnit?: () => Promise<Observed<UnitFacts>>;
  readonly kubelet?: () => Promise<Observed<KubeletFacts>>;
  readonly kubeletLog?: () => Promise<Observed<KubeletLog>>;
  readonly runtimeLog?: () => Promise<Observed<RuntimeLog>>;
  readonly processes?: () => Promise<Observed<ProcessFacts>>;
  readonly units?: () => Promise<Observed<UnitsFacts>>;
  readonly cgroups?: () => Promise<Observed<CgroupFacts>>;
  readonly runtimeConfig?: () => Promise<Observed<RuntimeConfigFacts>>;
  readonly kubeletConfig?: () => Promise<Observed<KubeletConfigFacts>>;
  readonly kernelLog?: () => Promise<Observed<KernelLog>>;
  readonly csi?: () => Promise<Observed<CsiFacts>>;
}

export interface ObserveOptions {
  /** The value of `--runtime-endpoint`. */
  readonly endpoint?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly clock: Clock;
  /** A client that is connected already; it is not closed. Without `criEndpointInfo` its endpoint is `embedded`. */
  readonly cri?: CriReader;
  readonly criEndpointInfo?: EndpointInfo;
  readonly kubeletLogFile?: string;
  readonly runtimeLogFile?: string;
  /** The pods, where somebody knows them already: the API is not asked then. */
  readonly pods?: Observed<readonly Pod[]>;
  /** Asks the API for the pods of the machine of this name; without it `observePods` does. Not for an embedded node. */
  readonly askPods?: (hostname: string) => Promise<Observed<readonly Pod[]>>;
  /** Asks the API about the volumes of the machine of this name; without it `observeVolumes` does. */
  readonly askVolumes?: (hostname: string) => Promise<VolumeAnswers>;
  /** Asks the API for the names that kubelet of this machine was refused; where its log cannot be read. */
  readonly askRefusals?: (hostname: string) => Promise<Observed<readonly NameHeld[]>>;
  /** Asks the kubelet of the machine of this name about its configuration; without it nobody does. */
  readonly askKubelet?: (hostname: string) => Promise<Observed<RunningKubeletConfig>>;
  /** A prefix of every path, for tests. */
  readonly root?: string;
  /** Of Sandwarden, for `takenBy`. */
  readonly version: string;
  readonly sources?: SourceOverrides;
  readonly run?: Run;
  /** Every pod's cgroup with its scopes and processes, not only what a check needs. */
  readonly allCgroups?: boolean;
  /** CRI's events of the last minutes too, where that takes them from nobody. */
  readonly containerEvents?: boolean;
}

/**
 * Looks at everything once and changes nothing. It does not throw for what cannot be observed: each source that could
 * not answer says so in its own place. Only a broken configuration (ERR_CONFIG, ERR_USAGE) ends it.
 */
export async function observe(options: ObserveOptions): Promise<Snapshot> {
  const { clock, root = '', sources = {}, run: runner = run } = options;
  const { endpoint, socket } = await chooseEndpoint(options);
  const processes = memo(() => observed<readonly ProcessStat[]>(() => listProcesses(root)));
  const node = (sources.node ?? (() => observeNode(clock, root)))();
  const runtimeProcesses = memo(sources.processes ?? (async () => observeProcesses(await processes(), socket, root)));
  const data = async () => k3sData(valueOr(await runtimeProcesses(), undefined)?.runtimePid, root);
  const layout = memo(() => layoutOf(socket, (path) => isFile(`${root}${path}`), data));
  const { readKubelet, runtimeLog } = logReaders(options, node, layout);
  const kubeletLog = (sources.kubeletLog ?? readKubelet)();
  const unit = async () => observeUnit((await layout()).units, valueOr(await node, undefined), runner);
  const kubeletFacts = memo(sources.kubelet ?? (async () => findKubelet(await processes(), root)));
  const kubeletFiles = memo(async () => observeKubeletConfig(await kubeletFacts(), root, () => kubeletLog));
  const boots = async () => observeBoots(valueOr(await node, undefined)?.bootId, runner);
  const refusals = refusalsHere(options, node, kubeletLog);
  const [facts, cri, told, log, ...rest] = await Promise.all([
    node,
    lookAtRuntime(options, endpoint, kubeletLog, refusals),
    refusals,
    kubeletLog,
    (sources.clock ?? (() => observeClock(root, runner)))(),
    (sources.boots ?? boots)(),
    (sources.runtimeUnit ?? unit)(),
    (sources.runtimeLog ?? runtimeLog)(),
    runtimeProcesses(),
    kubeletFacts(),
    (sources.units ?? (() => observeUnits(root)))(),
    cgroupsHere(options, kubeletFiles),
    kernelHere(options, node),
    podsHere(options, node),
    observeStorage(options, node, processes),
  ]);
  const [
    clockFacts,
    bootList,
    runtimeUnit,
    runtimeLogFacts,
    processFacts,
    kubelet,
    units,
    cgroups,
    kernelLog,
    pods,
    storage,
  ] = rest;
  const asking = options.askKubelet ? { askKubelet: options.askKubelet } : {};
  const snapshot: Snapshot = {
    format: snapshotFormat,
    takenBy: options.version,
    node: facts,
    clock: clockFacts,
    boots: bootList,
    runtimeUnit,
    ...cri,
    ...(told === undefined ? {} : { refusals: told }),
    kubelet: await withVersion(kubelet, log, root, runner),
    kubeletLog: log,
    runtimeLog: runtimeLogFacts,
    processes: processFacts,
    pods,
    units,
    ...(cgroups === undefined ? {} : { cgroups }),
    ...(kernelLog === undefined ? {} : { kernelLog }),
    ...storage,
  };
  return {
    ...snapshot,
    ...(await observeConfigs(snapshot, socket, root, runner, { kubeletFiles, ...sources, ...asking })),
  };
}

/** What reads kubelet's and the runtime's log: a file where one is named or known, else the journal. */
function logReaders(
  options: ObserveOptions,
  node: Promise<Observed<NodeFacts>>,
  layout: () => ReturnType<typeof layoutOf>,
) {
  const { clock, root = '', run: runner = run } = options;
  const logOf = async (units: readonly string[], named: string | undefined, found: string | undefined) => {
    const facts = valueOr(await node, undefined);
    const ofDistribution = named === undefined && found !== undefined;
    return {
      units,
      nowNs: clock.wallNs(),
      run: runner,
      ...(facts ? { bootId: facts.bootId } : {}),
      ...(named === undefined ? {} : { file: named }),
      // A distribution's log file goes over boots.
      ...(ofDistribution ? { file: `${root}${found}`, isFileFound: true } : {}),
      ...(ofDistribution && facts ? { notBeforeNs: facts.wallNs - facts.uptimeNs } : {}),
    };
  };
  return {
    readKubelet: async () => {
      return readKubeletLog(await logOf(kubeletUnits, options.kubeletLogFile, (await layout()).kubeletLogFile));
    },
    runtimeLog: async () => {
      const { units, logFile } = await layout();
      return readRuntimeLog(await logOf(units, options.runtimeLogFile, logFile));
    },
  };
}

interface ChosenEndpoint {
  readonly endpoint: Observed<EndpointInfo>;
  /** The path of the socket, where there is one. */
  readonly socket: string | undefined;
}

async function chooseEndpoint(options: ObserveOptions): Promise<ChosenEndpoint> {
  const { endpoint: flag, env, root } = options;
  if (options.cri) {
    const info = options.criEndpointInfo ?? { endpoint: 'embedded', from: 'embedded', others: [] };
    return { endpoint: known(info), socket: pathOf(info.endpoint) };
  }
  const found = await observed(() =>
    findEndpoint({ ...(flag === undefined ? {} : { flag }), ...(env ? { env } : {}), ...(root ? { root } : {}) }),
  );
  // A configuration that is wrong is the person's to mend; going on without it would look at another runtime.
  if (!found.known && (found.code === 'ERR_CONFIG' || found.code === 'ERR_USAGE')) {
    throw new SandwardenError(found.code, found.message, { hint: found.hint });
  }
  return { endpoint: found, socket: found.known ? pathOf(found.value.endpoint) : undefined };
}

type RuntimeLook = CriObservation & Pick<Snapshot, 'endpoint' | 'details' | 'containerEvents'>;

/** The runtime, its listings, and what is asked once the listings and kubelet's log are there. */
async function lookAtRuntime(
  options: ObserveOptions,
  endpoint: Observed<EndpointInfo>,
  kubeletLog: Promise<Observed<KubeletLog>>,
  refusals: Promise<Snapshot['refusals']>,
): Promise<RuntimeLook> {
  if (!endpoint.known) return { runtime: endpoint, sandboxes: endpoint, containers: endpoint, details: {} };
  const cri = options.cri ?? connectCri(endpoint.value.endpoint);
  const { promise: isOver, resolve: end } = Promise.withResolvers<void>();
  let eventsRead: Promise<Snapshot['containerEvents']> | undefined;
  try {
    const seen = await observeCri(cri, endpoint.value, (version) => {
      if (options.containerEvents) eventsRead = readContainerEvents(cri, version, isOver);
    });
    const log = await kubeletLog;
    if (!seen.sandboxes.known) return { ...withOrigin(seen, endpoint.value), details: {} };
    const told = await refusals;
    const names = told === undefined ? [] : valueOr(told, []);
    const ids = needsDetail(seen.sandboxes.value, log, options.clock.wallNs(), names);
    const read = await readDetails(cri, ids, seen.sandboxes.value, valueOr(seen.containers, []));
    const containers = seen.containers.known ? known(read.containers) : seen.containers;
    end();
    const containerEvents = await eventsRead;
    const events = containerEvents === undefined ? {} : { containerEvents };
    return { ...withOrigin(seen, endpoint.value), containers, details: read.details, ...events };
  } finally {
    end();
    await eventsRead;
    if (!options.cri) cri.close();
  }
}

/** The choice is told where there was one; an error of a socket says who named that socket. */
function withOrigin(seen: CriObservation, info: EndpointInfo): CriObservation & Pick<Snapshot, 'endpoint'> {
  const { runtime } = seen;
  const isChoice = info.others.length > 0 || info.passedOver !== undefined;
  const told = isChoice ? { ...seen, endpoint: info } : seen;
  if (runtime.known || !runtime.code.startsWith('ERR_SOCKET_')) return told;
  return { ...told, runtime: { ...runtime, message: `${runtime.message} (named by: ${info.from})` } };
}

/** The pods of this machine by the API; whose node facts are not this machine's is not this machine. */
async function podsHere(options: ObserveOptions, node: Promise<Observed<NodeFacts>>): Promise<Snapshot['pods']> {
  if (options.pods) return options.pods;
  if (options.sources?.node) return unknown('ERR_NOT_ASKED', 'the Kubernetes API was not asked');
  const hostname = valueOr(await node, undefined)?.hostname ?? '';
  if (options.askPods) return options.askPods(hostname);
  const { env, root, run: runner } = options;
  return observePods({
    hostname,
    ...(env ? { env } : {}),
    ...(root ? { root } : {}),
    ...(runner ? { run: runner } : {}),
  });
}

/** kubelet's events, where its log does not tell: one request that most nodes never need. */
async function refusalsHere(
  { askRefusals }: ObserveOptions,
  node: Promise<Observed<NodeFacts>>,
  kubeletLog: Promise<Observed<KubeletLog>>,
): Promise<Snapshot['refusals']> {
  if (askRefusals === undefined || (await kubeletLog).known) return undefined;
  return askRefusals(valueOr(await node, undefined)?.hostname ?? '');
}

/** The cgroups of this machine; whose node facts are not this machine's has none here. */
async function cgroupsHere(
  { sources, root, run: runner, allCgroups }: ObserveOptions,
  kubeletFiles: () => Promise<Observed<KubeletConfigFacts>>,
): Promise<Snapshot['cgroups']> {
  if (sources?.cgroups) return sources.cgroups();
  if (sources?.node) return undefined;
  const cgroupRoot = valueOr(await kubeletFiles(), undefined)?.cgroupRoot;
  return observeCgroups({
    ...(root ? { root } : {}),
    ...(runner ? { run: runner } : {}),
    ...(allCgroups ? { all: true } : {}),
    ...(cgroupRoot === undefined ? {} : { cgroupRoot }),
  });
}

/** The kernel's log of this machine; whose node facts are not this machine's, or unknown, has none here. */
async function kernelHere(
  { sources, root, run: runner }: ObserveOptions,
  node: Promise<Observed<NodeFacts>>,
): Promise<Snapshot['kernelLog']> {
  if (sources?.kernelLog) return sources.kernelLog();
  if (sources?.node || root) return undefined;
  const facts = await node;
  return facts.known ? observeKernel({ node: facts.value, ...(runner ? { run: runner } : {}) }) : facts;
}

/** kubelet's version: from its log, else from its binary. */
async function withVersion(
  kubelet: Observed<KubeletFacts>,
  log: Observed<KubeletLog>,
  root: string,
  runner: Run,
): Promise<Observed<KubeletFacts>> {
  if (!kubelet.known || kubelet.value.version !== undefined) return kubelet;
  const logged = valueOr(log, undefined)?.version;
  const found =
    logged !== undefined
      ? { version: logged, versionFrom: 'its log' }
      : await kubeletVersionOfBinary(kubelet.value, root, runner);
  return found ? known({ ...kubelet.value, ...found }) : kubelet;
}

function pathOf(endpoint: string): string | undefined {
  return /^(?:unix:|\/)/.test(endpoint) ? socketPath(endpoint) : undefined;
}

function memo<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
