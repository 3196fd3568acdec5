import { driverOfRegistration } from '../model/csi.ts';
import type { Finding } from '../model/finding.ts';
import { limits } from '../model/limits.ts';
import { valueOr } from '../model/observed.ts';
import type { NameHeld, Span } from '../model/records.ts';
import { describePod, namespaceOf } from '../model/sandbox.ts';
import { bootClock } from './boot-clock.ts';
import { type CauseNode, ghostCodes } from './causes.ts';
import { type BackedOff, backedOff, type DriverView, isDriverContainer, stuckAttachments } from './csi-facts.ts';
import { isBroken, podsWaiting, podsWaitingFor } from './csi-waiting.ts';
import type { Ghost } from './cure.ts';
import type { Facts } from './facts.ts';
import { once } from './once.ts';
import { refusalsOf } from './refusals.ts';
import { stallsOf } from './stall-facts.ts';
import { type CrashLoop, churnOf, churnStartNs, isOfContainers, isSidecar, loopSpans } from './storm-facts.ts';
import { agoNs } from './time.ts';

type Objects = Pick<CauseNode, 'objects' | 'maybe'>;

/**
 * The findings, the refusals and the signs of the kernel as what can cause and be caused; the axis is the time since
 * boot. What is of one pod, driver or volume is a node of its own: two drivers of one node have nothing to do with each
 * other.
 */
export function causeNodes(facts: Facts, findings: readonly Finding[]): CauseNode[] {
  const grouped = Map.groupBy(findings, (each) => causeId(each));
  const ofFindings = [...grouped].flatMap(([id, group]): CauseNode[] => {
    const [first] = group;
    if (first === undefined) return [];
    const span = spanOnAxis(facts, group, first);
    const since = span.startNs === 0n ? { sinceBoot: true as const } : {};
    return [{ id, code: first.code, ...span, ...since, ...objectsOf(facts, group, first) }];
  });
  return [...ofFindings, ...ofRefusals(facts), ...ofSidecars(facts), ...ofKernel(facts)];
}

/** The node that a finding belongs to. */
export function causeId({ code, object, pods }: Finding): string {
  if (/^SW10\d$/.test(code)) return `${code} ${pods.join(' ')}`;
  return /^SW3\d\d$/.test(code) ? `${code} ${object.name}` : code;
}

function ofRefusals(facts: Facts): CauseNode[] {
  const refusals = standingRefusals(facts);
  if (refusals.length === 0) return [];
  const objects = new Set(refusals.map((each) => `sandbox:${each.holderId.slice(0, 13)}`));
  return [{ id: 'refused', code: 'refused', startNs: firstNs(facts, refusals), endNs: null, objects }];
}

/** All sidecars that wait in back-off at a socket that is dead still, which no single finding tells of. */
function ofSidecars(facts: Facts): CauseNode[] {
  const mine = waitingSidecars(facts).filter((each) => each.cause !== 'gone');
  if (mine.length === 0) return [];
  const objects = new Set(mine.map((each) => `driver:${each.driver.name}`));
  return [
    { id: 'sidecars', code: 'sidecars', startNs: firstNs(facts, sidecarSpans(facts, mine)), endNs: null, objects },
  ];
}

/** The containers in back-off at a driver's socket, whether its cause is gone or not, that have no other reason. */
export function waitingSidecars(facts: Facts): BackedOff[] {
  return atSockets(facts).filter((each) => each.cause !== 'own');
}

/** What the logs say of when they began to loop. */
export function sidecarSpans(facts: Facts, mine: readonly BackedOff[]): Span[] {
  return loopSpans(
    facts,
    mine.map(({ pod, container }) => ({ podUid: pod.uid, container: container.name })),
  );
}

/** All refusals of the pods that are refused still: the first of them tells since when. */
export function standingRefusals({ pods, snapshot }: Facts): NameHeld[] {
  const uids = new Set([...pods.values()].flatMap((view) => (view.errors.length > 0 ? [view.uid] : [])));
  return refusalsOf(snapshot).filter((each) => uids.has(each.asked.uid));
}

function ofKernel({ snapshot }: Facts): CauseNode[] {
  const log = snapshot.kernelLog === undefined ? undefined : valueOr(snapshot.kernelLog, undefined);
  return (log?.troubles ?? []).flatMap(({ kind, first, last }): CauseNode[] => {
    if (kind !== 'nfs-silent' && kind !== 'undervoltage') return [];
    const [startNs, endNs] = [first, last].map((each) => (each.monotonicUs ?? 0n) * 1_000n);
    const objects = new Set(kind === 'nfs-silent' ? ['hung:tasks'] : []);
    return [{ id: kind, code: kind, startNs: startNs ?? null, endNs: endNs ?? null, objects }];
  });
}

function objectsOf(facts: Facts, group: readonly Finding[], { code, object }: Finding): Objects {
  const names = [...new Set(group.flatMap((each) => each.pods))];
  if (code === 'SW401') return ofChurn(facts, names);
  if (/^SW3\d\d$/.test(code)) return ofVolumes(facts, code, object.name, names);
  const objects = new Set(names.map((each) => `pod:${each}`));
  if (/^SW10\d$/.test(code)) for (const each of names) objects.add(`plugin:${each}`);
  if (ghostCodes.includes(code)) return ofGhosts(facts, group, objects);
  if (code === 'SW201') objects.add('end:of the last boot');
  const isDown = /^SW(?:105|701)$/.test(code) && group.some((each) => each.severity === 'error');
  if (code === 'SW703' || isDown) {
    for (const each of pluginsWithout(facts, code === 'SW703')) objects.add(`plugin:${each}`);
  }
  if (code === 'SW402') {
    const stalls = stallsOf(facts);
    if (stalls?.log.tasks.some(({ task }) => isOfContainers(task))) objects.add('task:runc');
    if (stalls?.troubles.some(({ kind }) => kind === 'hung-task')) objects.add('hung:tasks');
  }
  return { objects };
}

/** Dead sandboxes hold names, by themselves or by their containers; and they are of the boot before, or may be. */
function ofGhosts(facts: Facts, group: readonly Finding[], objects: Set<string>): Objects {
  const mine = ghostsOf(facts, group);
  for (const { sandbox, error } of mine) {
    for (const id of [sandbox.id, error?.holderId ?? sandbox.id]) objects.add(`sandbox:${id.slice(0, 13)}`);
  }
  const earlier = mine.map(({ sandbox }) => isOfEarlierBoot(sandbox.createdAtNs, facts));
  const maybe = new Set(earlier.includes(false) ? [] : ['end:of the last boot']);
  return earlier.every((each) => each === true) ? { objects: new Set([...objects, ...maybe]) } : { objects, maybe };
}

const curesByUid = once((facts) => Map.groupBy(facts.cures, (each) => each.view.uid));
/** Whose containers wait in back-off at a socket, and why. */
const atSockets = once((facts) => backedOff(facts.drivers, facts.node));
const wasClockBehind = once((facts) => bootClock(facts) !== undefined);

/** The dead sandboxes of one pod that findings name. */
function ghostsOf(facts: Facts, group: readonly Finding[]): Ghost[] {
  const ids = new Set(group.map((each) => each.object.id));
  const uid = facts.sandboxById.get(group[0]?.object.id ?? '')?.uid;
  const cures = curesByUid(facts).get(uid ?? '') ?? [];
  return cures.flatMap((each) => each.ghosts.filter((ghost) => ids.has(ghost.sandbox.id)));
}

/** The node plugins of broken drivers that have no sandbox that is ready; with `network`, those that wait for CNI. */
function pluginsWithout({ drivers, pods }: Facts, network: boolean): string[] {
  return drivers
    .filter(isBroken)
    .flatMap((each) => each.plugins)
    .filter((pod) => !network || (pod.hostNetwork !== true && !pods.get(pod.uid)?.sandboxes.some(({ ready }) => ready)))
    .map(describePod);
}

/** What a finding of volumes is about: its driver, the pods that serve it, and those that wait for it. */
function ofVolumes(facts: Facts, code: string, name: string, pods: readonly string[]): Objects {
  if (code === 'SW306') return { objects: new Set(podsWaiting(facts).map((pod) => `waiting:${describePod(pod)}`)) };
  if (code === 'SW305') return ofAttachment(facts, name, pods);
  if (code === 'SW303') return ofBackedOff(facts, name);
  const driver = code === 'SW304' ? driverOfRegistration(name) : name;
  const views = facts.drivers.filter((each) => each.name === driver);
  // Without the API SW302 names the pod and not its driver, and SW301 knows no pod.
  const isPod = code === 'SW302' && views.length === 0;
  const plugins = isPod ? [name] : views.flatMap((each) => each.plugins.map(describePod));
  const objects = new Set(isPod ? [] : [`driver:${driver}`]);
  const maybe = new Set<string>();
  const waiting = views.flatMap((view) => podsWaitingFor(view, facts)).map((each) => `waiting:${describePod(each)}`);
  // While its socket is dead too, nobody would register the driver through a living one.
  if (code === 'SW304')
    return views.some(isBroken) ? { objects, maybe: new Set(waiting) } : { objects: new Set([...objects, ...waiting]) };
  for (const each of waiting) objects.add(each);
  for (const each of plugins) objects.add(`plugin:${each}`);
  const registrars = registrarPods(facts);
  const isServed = views.every((each) => each.unserved === undefined);
  if (plugins.length === 0 && isServed) for (const each of registrars) maybe.add(`plugin:${each}`);
  for (const namespace of new Set(plugins.map(namespaceOf))) {
    const all = new Set([...registrars, ...facts.drivers.flatMap((each) => each.plugins.map(describePod))]);
    const isAlone = [...all].every((each) => namespaceOf(each) !== namespace || plugins.includes(each));
    (isAlone ? objects : maybe).add(`sidecars:${namespace}`);
  }
  if (code === 'SW301' && views.some(hasAttacher)) objects.add(`attacher:${driver}`);
  return { objects, maybe };
}

function ofAttachment(facts: Facts, name: string, pods: readonly string[]): Objects {
  const stuck = stuckAttachments(facts.snapshot).find((each) => each.attachment.name === name);
  return { objects: new Set([`attacher:${stuck?.attachment.driver}`, ...pods.map((each) => `waiting:${each}`)]) };
}

function ofBackedOff(facts: Facts, name: string): Objects {
  const mine = atSockets(facts).filter((each) => describePod(each.pod) === name);
  const objects = new Set([`pod:${name}`]);
  for (const { driver, container } of mine) {
    objects.add(`driver:${driver.name}`);
    if (isAttacher(container.name)) objects.add(`attacher:${driver.name}`);
    for (const each of podsWaitingFor(driver, facts)) objects.add(`waiting:${describePod(each)}`);
  }
  return { objects };
}

/** Whether the attacher of a driver is on this node and goes through the socket of this node. */
function hasAttacher({ plugins, sidecars, folder }: DriverView): boolean {
  const containers = [...plugins, ...sidecars].flatMap((each) => each.containers ?? []);
  return containers.some(({ name, kubeletPaths }) => isAttacher(name) && kubeletPaths?.includes(folder));
}

function isAttacher(container: string): boolean {
  return /(?:^|-)attacher$/.test(container);
}

function ofChurn(facts: Facts, names: readonly string[]): Objects {
  const ties = loopTies(facts).flatMap((each) => each.objects);
  return { objects: new Set(['task:runc', ...names.map((each) => `pod:${each}`), ...ties]) };
}

/**
 * Whose sidecars loop: by the folder that they mount, where the API knows the pod. Else by their names, where all
 * containers of the pod have such names: a controller that has its driver beside them has a socket of its own.
 */
export function loopTies(facts: Facts): { loop: CrashLoop; objects: readonly string[] }[] {
  const known = new Set(valueOr(facts.snapshot.pods, []).map((each) => each.uid));
  const own = new Set(
    atSockets(facts).flatMap(({ pod, container, cause }) => (cause === 'own' ? [`${pod.uid} ${container.name}`] : [])),
  );
  return churnOf(facts).loops.map((loop) => {
    const { pod, podUid, container } = loop;
    if (known.has(podUid)) {
      const drivers = own.has(`${podUid} ${container}`) ? [] : facts.drivers;
      const needed = drivers.filter((each) => needsSocket(each, podUid, container));
      return { loop, objects: needed.map((each) => `driver:${each.name}`) };
    }
    const beside = facts.pods.get(podUid)?.containers ?? [];
    const isNamed = isSidecar(container) && beside.every((each) => isSidecar(each.name));
    return { loop, objects: isNamed ? [`sidecars:${namespaceOf(pod)}`] : [] };
  });
}

function needsSocket({ plugins, sidecars, folder }: DriverView, uid: string, name: string): boolean {
  return [...plugins, ...sidecars].some((pod) => {
    const container = pod.uid === uid ? pod.containers?.find((each) => each.name === name) : undefined;
    return container?.kubeletPaths?.includes(folder) === true && !isDriverContainer(container, pod);
  });
}

/** The node plugins of the driver that a finding names; without the API SW302 names the pod and not the driver. */
export function pluginNames({ drivers }: Facts, name: string): ReadonlySet<string> {
  const plugins = drivers.filter((each) => each.name === name).flatMap((each) => each.plugins);
  return new Set(plugins.length === 0 ? [name] : plugins.map(describePod));
}

/** The pods that have had a registrar in them, which makes them node plugins: what CRI alone can say. */
function registrarPods(facts: Facts): string[] {
  const registrars = valueOr(facts.snapshot.containers, []).filter((each) => /driver-registrar$/.test(each.name));
  return [...new Set(registrars.map((each) => each.podUid))].flatMap((uid) => {
    const view = facts.pods.get(uid);
    return view === undefined ? [] : [describePod(view)];
  });
}

const unknownSpan = { startNs: null, endNs: null } as const;

/** Since when, on the axis; null where nothing tells. A cause is dated by when it was there, not when it was seen. */
function spanOnAxis(
  facts: Facts,
  group: readonly Finding[],
  { code, object }: Finding,
): Pick<CauseNode, 'startNs' | 'endNs'> {
  if (facts.node === undefined) return unknownSpan;
  const log = valueOr(facts.snapshot.kubeletLog, undefined);
  const since = (startNs: bigint | null) => ({ startNs, endNs: null });
  if (ghostCodes.includes(code)) return since(ghostsSince(facts, ghostsOf(facts, group)));
  switch (code) {
    // The clock was wrong when the axis began; the end of the last boot is before it.
    case 'SW202':
      return { startNs: 0n, endNs: 0n };
    case 'SW106':
      return since(firstNs(facts, log?.stopFailed.filter((each) => each.sandboxId === object.id) ?? []));
    case 'SW301':
    case 'SW304':
      return since(firstNs(facts, driverFailures(facts, object.name)));
    case 'SW302': {
      const names = pluginNames(facts, object.name);
      const cures = facts.cures.filter((each) => names.has(describePod(each.view)));
      return since(
        ghostsSince(
          facts,
          cures.flatMap((each) => each.ghosts),
        ),
      );
    }
    case 'SW305':
      return since(stuckSince(facts, object.name));
    case 'SW306':
      return since(firstNs(facts, waitingFailures(facts)));
    case 'SW401':
      return since(churnStartNs(facts));
    case 'SW402': {
      const stalls = stallsOf(facts);
      return since(stalls === undefined ? null : (stalls.first.monotonicUs ?? 0n) * 1_000n);
    }
    default:
      return unknownSpan;
  }
}

/**
 * What kubelet's log says of a driver that it does not find or reach. A socket that is dead was alive when it was made:
 * what failed before was another fault, and is over.
 */
export function driverFailures(facts: Facts, name: string): Span[] {
  const log = valueOr(facts.snapshot.kubeletLog, undefined);
  const dead = facts.drivers.find((each) => each.name === name && each.state === 'refuses')?.driver?.madeAtNs;
  const aliveAtNs = dead === undefined || isOfEarlierBoot(dead, facts) !== false ? undefined : dead;
  const ofRegistration = (log?.registrationFailed ?? []).filter(({ socket }) => {
    return socket === name || driverOfRegistration(socket) === name;
  });
  const all = [...(log?.volumeFailed ?? []).filter((each) => each.driver === name), ...ofRegistration];
  if (aliveAtNs === undefined) return all;
  return all
    .filter((each) => each.last.wallNs >= aliveAtNs)
    .map((each) => (each.first.wallNs < aliveAtNs ? { ...each, first: { wallNs: aliveAtNs } } : each));
}

/** What kubelet's log says of the volumes of the pods that wait. */
export function waitingFailures(facts: Facts): Span[] {
  const uids = new Set(podsWaiting(facts).map((each) => each.uid));
  return (valueOr(facts.snapshot.kubeletLog, undefined)?.volumeFailed ?? []).filter((each) => uids.has(each.podUid));
}

/** A sandbox of an earlier boot is dead since this one began; one of this boot since its name was first refused. */
function ghostsSince(facts: Facts, ghosts: readonly Ghost[]): bigint | null {
  if (ghosts.some((each) => isOfEarlierBoot(each.sandbox.createdAtNs, facts) !== false)) return 0n;
  return firstNs(
    facts,
    ghosts.flatMap((each) => each.error ?? []),
  );
}

/**
 * Whether something of this date was there before this boot: it is dated before it, or after now, which nothing of this
 * boot can be. Undefined where nothing tells: by a clock that was behind, a date of this boot is like one of the last.
 */
export function isOfEarlierBoot(dateNs: bigint, facts: Facts): boolean | undefined {
  const { node } = facts;
  if (node === undefined || dateNs <= 0n) return undefined;
  const slackNs = BigInt(limits.clockSlackMs) * 1_000_000n;
  if (dateNs > node.wallNs + slackNs) return true;
  return wasClockBehind(facts) ? undefined : dateNs < node.wallNs - node.uptimeNs - slackNs;
}

/**
 * Since when a volume is stuck: the API server's clock tells how long ago. One that is older than this boot may have
 * been attached in between.
 */
function stuckSince(facts: Facts, name: string): bigint | null {
  const stuck = stuckAttachments(facts.snapshot).find((each) => each.attachment.name === name);
  if (stuck === undefined || facts.node === undefined) return null;
  const startNs = facts.node.uptimeNs - stuck.forNs;
  return startNs < 0n && stuck.how === 'attaching' ? null : startNs;
}

function firstNs({ node }: Facts, spans: readonly Pick<Span, 'first'>[]): bigint | null {
  if (node === undefined) return null;
  const ages = spans.flatMap((each) => agoNs(each.first, node) ?? []);
  return ages.length === 0 ? null : node.uptimeNs - (ages.toSorted(compare).at(-1) ?? 0n);
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
