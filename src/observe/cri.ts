import { bool, parseInfo, type RecordOf, record, text } from '../cri/info.ts';
import type { CriReader, CriStatus, CriVersion } from '../cri/types.ts';
import { limits } from '../model/limits.ts';
import type { EndpointInfo, RuntimeFacts } from '../model/node.ts';
import { known, type Observed, valueOr } from '../model/observed.ts';
import type { KubeletLog, NameHeld } from '../model/records.ts';
import type { HandlerSettings, RuntimeHandler } from '../model/runtime-config.ts';
import type { Container, Sandbox, SandboxDetail } from '../model/sandbox.ts';
import { inParallel } from './pool.ts';
import { observed, unknownFrom } from './unknown.ts';

export interface CriObservation {
  readonly runtime: Observed<RuntimeFacts>;
  readonly sandboxes: Observed<readonly Sandbox[]>;
  readonly containers: Observed<readonly Container[]>;
}

/**
 * Version, Status, RuntimeConfig and the two listings, all at once. A call that fails takes only its own part with it:
 * without Status nothing is known of the runtime; without Version only its name; the listings stand for themselves.
 */
export async function observeCri(
  cri: CriReader,
  from: EndpointInfo,
  onVersion: (version: Promise<Observed<CriVersion>>) => void = () => {},
): Promise<CriObservation> {
  const latencyMs: Record<string, number> = {};
  const timed = async <T>(name: string, call: () => Promise<T>): Promise<Observed<T>> => {
    const start = performance.now();
    const answer = await observed(call);
    latencyMs[name] = Math.round(performance.now() - start);
    return answer;
  };
  const asked = timed('Version', () => cri.version());
  onVersion(asked);
  const [version, status, driver, sandboxes, containers] = await Promise.all([
    asked,
    timed('Status', () => cri.status()),
    timed('RuntimeConfig', () => cri.cgroupDriver()),
    timed('ListPodSandbox', () => cri.listSandboxes()),
    timed('ListContainers', () => cri.listContainers()),
  ]);
  const runtime = status.known
    ? known(runtimeFacts(from, valueOr(version, undefined), status.value, valueOr(driver, undefined), latencyMs))
    : status;
  return { runtime, sandboxes, containers };
}

/** The facts in what Version and Status (verbose) say. The runtime's own JSON is optional, and so is all of it. */
export function runtimeFacts(
  from: EndpointInfo,
  version: CriVersion | undefined,
  status: CriStatus,
  cgroupDriver: string | undefined,
  latencyMs: Readonly<Record<string, number>>,
): RuntimeFacts {
  const condition = (type: string) => status.conditions.find((each) => each.type === type);
  const network = condition('NetworkReady');
  return {
    endpoint: from.endpoint,
    endpointFrom: from.from,
    otherEndpoints: from.others,
    name: version?.runtimeName ?? '',
    version: version?.runtimeVersion ?? '',
    runtimeReady: condition('RuntimeReady')?.status === true,
    networkReady: network?.status === true,
    networkMessage: network ? [network.reason, network.message].filter((each) => each !== '').join(': ') : '',
    ...configFacts(status.info),
    ...(cgroupDriver === undefined ? {} : { cgroupDriver }),
    latencyMs,
  };
}

/** The handlers in force by a verbose Status; undefined where the runtime does not tell (CRI-O). */
export function inForce({ info }: Pick<CriStatus, 'info'>): HandlerSettings | undefined {
  const { handlers, defaultHandler } = configFacts(info);
  return handlers === undefined || defaultHandler === undefined ? undefined : { handlers, defaultHandler };
}

/** containerd's `info["config"]` (internal/cri/config: containerdRootDir, stateDir, cni) and `lastCNILoadStatus`. */
function configFacts(info: RecordOf<string>): Partial<RuntimeFacts> {
  const config = parseInfo(info, 'config');
  const cni = record(config, 'cni');
  const bins = cni?.binDirs;
  const facts = {
    lastCniLoadStatus: info.lastCNILoadStatus,
    cniConfDir: text(cni, 'confDir'),
    // containerd 2.x has a list besides the one of 1.x.
    cniBinDir: text(cni, 'binDir') || (Array.isArray(bins) && typeof bins[0] === 'string' ? bins[0] : undefined),
    rootDir: text(config, 'containerdRootDir') ?? text(config, 'rootDir'),
    stateDir: text(config, 'stateDir'),
    handlers: handlersOf(config),
    defaultHandler: text(record(config, 'containerd'), 'defaultRuntimeName'),
  };
  return Object.fromEntries(Object.entries(facts).filter(([, value]) => value !== undefined));
}

/** containerd's runtimes as they are in force: an option that is not there is false. */
function handlersOf(config: RecordOf<unknown> | undefined): RuntimeHandler[] | undefined {
  const runtimes = record(record(config, 'containerd'), 'runtimes');
  if (runtimes === undefined) return undefined;
  return Object.keys(runtimes)
    .sort()
    .map((name) => {
      const runtime = record(runtimes, name);
      const runtimeType = text(runtime, 'runtimeType');
      const systemdCgroup = bool(record(runtime, 'options') ?? {}, 'SystemdCgroup') ?? false;
      return { name, ...(runtimeType === undefined ? {} : { runtimeType }), systemdCgroup };
    });
}

/**
 * The NotReady sandboxes whose PodSandboxStatus and container exits a decision may hang on; of the others nobody asks.
 * Those of a pod that kubelet's log tells a held name or a failed stop of, those dated after now or not at all, and
 * those that sort by date after one of their pod with a higher attempt.
 */
export function needsDetail(
  sandboxes: readonly Sandbox[],
  log: Observed<KubeletLog>,
  nowNs: bigint,
  refusals: readonly NameHeld[] = [],
): ReadonlySet<string> {
  const { nameHeld = refusals, stopFailed = [] } = valueOr(log, {} as Partial<KubeletLog>);
  const uids = new Set(nameHeld.map((each) => each.asked.uid));
  const ids = new Set([...nameHeld.map((each) => each.holderId), ...stopFailed.map((each) => each.sandboxId)]);
  const overtaken = sortedBeforeHigherAttempt(sandboxes);
  const needed = sandboxes.filter((each) => {
    if (each.state !== 'notready') return false;
    const dated = each.createdAtNs > 0n && each.createdAtNs <= nowNs;
    return !dated || uids.has(each.uid) || ids.has(each.id) || overtaken.has(each.id);
  });
  return new Set(needed.map((each) => each.id));
}

/** Sandboxes dated after one of their pod that has a higher attempt. */
function sortedBeforeHigherAttempt(sandboxes: readonly Sandbox[]): ReadonlySet<string> {
  const found = new Set<string>();
  for (const pod of Map.groupBy(sandboxes, (each) => each.uid).values()) {
    const byAttempt = [...Map.groupBy(pod, (each) => each.attempt)].sort(([a], [b]) => b - a);
    // From the highest attempt down: the earliest date seen so far belongs to a higher attempt.
    let earliest: bigint | undefined;
    for (const [, same] of byAttempt) {
      for (const each of same) if (earliest !== undefined && each.createdAtNs > earliest) found.add(each.id);
      for (const each of same) if (earliest === undefined || each.createdAtNs < earliest) earliest = each.createdAtNs;
    }
  }
  return found;
}

/**
 * PodSandboxStatus of the sandboxes `ids`, and how the ended containers of their pods ended.
 * One that cannot be read is unknown by itself; a container whose status cannot be read stays without `exit`.
 */
export async function readDetails(
  cri: CriReader,
  ids: ReadonlySet<string>,
  sandboxes: readonly Sandbox[],
  containers: readonly Container[],
): Promise<{ details: Record<string, Observed<SandboxDetail>>; containers: readonly Container[] }> {
  const wanted = sandboxes.filter((each) => ids.has(each.id));
  const uids = new Set(wanted.map((each) => each.uid));
  const ended = containers.filter((each) => {
    return (each.state === 'exited' || each.state === 'unknown') && (ids.has(each.sandboxId) || uids.has(each.podUid));
  });
  const [details, statuses] = await Promise.all([
    inParallel(wanted, limits.criReadsInFlight, async ({ id }) => {
      return [id, await observed(async () => (await cri.sandboxStatus(id)).detail)] as const;
    }),
    inParallel(ended, limits.criReadsInFlight, async ({ id }) => {
      const status = await cri.containerStatus(id).catch((error: unknown) => unknownFrom(error));
      return [id, 'known' in status ? undefined : status.exit] as const;
    }),
  ]);
  const exits = new Map(statuses);
  return {
    details: Object.fromEntries(details),
    containers: containers.map((each) => {
      const exit = exits.get(each.id);
      return exit ? { ...each, exit } : each;
    }),
  };
}
