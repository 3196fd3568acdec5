import { type DriverView, driversOf } from '../diagnose/csi-facts.ts';
import type { Pod } from '../model/node.ts';
import { type Observed, valueOr } from '../model/observed.ts';
import type { Stage, StageName, StorageGoal } from '../model/plan.ts';
import { describePod } from '../model/sandbox.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { type ApplicationsSeen, partApplications } from './applications.ts';

/** What a stage looks like now; `afterMs` is for whoever watches. */
export type StageNow = Omit<Stage, 'afterMs'>;

/**
 * How far the drivers of a goal have come, stage by stage: their sockets answer Probe, kubelet has registered them,
 * their pods are ready, their volumes are attached, the pods that waited run, and what Argo CD says where it is there.
 * What is not known is not green. Pure.
 */
export function stagesOf(
  goal: StorageGoal,
  snapshot: Snapshot,
  applications: ApplicationsSeen | undefined,
): StageNow[] {
  const drivers = driversOf(snapshot).filter((each) => goal.drivers.includes(each.name));
  const missing = goal.drivers.filter((name) => !drivers.some((each) => each.name === name));
  const whyNoCsi = whyUnknown(snapshot.csi);
  const sockets = stage('sockets', [...drivers.map(socketItem), ...missing.map((name) => gone(name))], whyNoCsi);
  return [
    sockets,
    stage('registration', drivers.map(registrationItem), whyNoCsi),
    stage('sidecars', drivers.flatMap(sidecarItems), whyUnknown(snapshot.pods)),
    stage('attachments', drivers.flatMap(attachmentItems), whyUnknown(snapshot.volumes)),
    waitingStage(goal, snapshot),
    ...(applications === undefined ? [] : [applicationStage(goal, applications)]),
  ];
}

/** Whether nothing is left to wait for: all that is known is green, and what is not known will not become known. */
export function isOver(stages: readonly StageNow[], snapshot: Snapshot): boolean {
  return stages.every((each) => each.state === 'green' || (each.state === 'unknown' && isForGood(each.name, snapshot)));
}

/** The one line of a stage: `sidecars 6 of 8: longhorn-system/csi-attacher-x (CrashLoopBackOff)`. */
export function describeStage({ name, state, green, of, red, note }: StageNow): string {
  const title = titles[name];
  const besides = note === undefined ? '' : `; ${note}`;
  if (state === 'green') return `${title}: ${of === 0 ? 'nothing to wait for' : `all ${of}`}${besides}`;
  const shown = red.slice(0, 2).map(({ object, why }) => `${object} (${why})`);
  const more = red.length > 2 ? ` and ${red.length - 2} more` : '';
  return state === 'unknown'
    ? `${title}: not known (${red[0]?.why ?? ''})`
    : `${title}: ${green} of ${of}; ${shown.join(', ')}${more}${besides}`;
}

const titles: Readonly<Record<StageName, string>> = {
  sockets: 'CSI sockets answer',
  registration: 'registered with kubelet',
  sidecars: 'CSI pods ready',
  attachments: 'volumes attached',
  pods: 'waiting pods run',
  applications: 'Argo CD applications',
};

/** What a source that does not answer is waited for: the API may come up; what is forbidden stays so. */
function isForGood(name: StageName, snapshot: Snapshot): boolean {
  const source = { attachments: snapshot.volumes, sidecars: snapshot.pods, pods: snapshot.pods }[name as string];
  return source === undefined || source.known || source.code === 'ERR_FORBIDDEN' || source.code === 'ERR_NOT_ASKED';
}

interface Item {
  readonly object: string;
  /** Why it is not green yet; undefined where it is. */
  readonly why: string | undefined;
}

function stage(name: StageName, items: readonly Item[], unknown: string | undefined): StageNow {
  if (unknown !== undefined)
    return { name, state: 'unknown', green: 0, of: 0, red: [{ object: titles[name], why: unknown }] };
  const red = items.flatMap(({ object, why }) => (why === undefined ? [] : [{ object, why }]));
  const of = items.length;
  return { name, state: red.length === 0 ? 'green' : 'red', green: of - red.length, of, red };
}

function whyUnknown(source: Observed<unknown> | undefined): string | undefined {
  if (source === undefined) return 'it was not looked at';
  return source.known ? undefined : source.message;
}

function socketItem({ name, state, says }: DriverView): Item {
  return { object: name, why: state === 'ready' ? undefined : `${state}${says === '' ? '' : `: ${says}`}` };
}

function gone(name: string): Item {
  return { object: name, why: 'nothing of it is there any more' };
}

/** By CSINode; where the API does not say, by the registration socket that accepts. */
function registrationItem({ name, registered, registration }: DriverView): Item {
  if (registered === true) return { object: name, why: undefined };
  if (registered === false) return { object: name, why: 'not in the node’s CSINode yet' };
  const why =
    registration?.state === 'accepts' ? undefined : `its registration socket: ${registration?.state ?? 'missing'}`;
  return { object: name, why };
}

function sidecarItems({ plugins, sidecars }: DriverView): Item[] {
  return [...plugins, ...sidecars].map((pod) => ({ object: describePod(pod), why: whyNotReady(pod) }));
}

/** A pod that ran to its end has run. */
function whyNotReady(pod: Pod): string | undefined {
  if (pod.phase === 'Succeeded') return undefined;
  if (pod.deleting) return 'it is being deleted';
  const waiting = (pod.containers ?? []).find((each) => !each.ready && !hasFinished(each));
  if (waiting !== undefined) return `${waiting.name} ${waiting.reason ?? waiting.state}`;
  return pod.phase === 'Running' ? undefined : `phase ${pod.phase}`;
}

/** An init container that has done its work. */
function hasFinished({ state, lastExit }: NonNullable<Pod['containers']>[number]): boolean {
  return state === 'terminated' && lastExit?.exitCode === 0;
}

function attachmentItems({ attachments }: DriverView): Item[] {
  return attachments.map(({ name, volume = name, attached, deletingSinceNs, attachError }) => {
    const why = deletingSinceNs !== undefined ? 'it is being deleted' : attached ? undefined : 'not attached';
    const detail = why !== undefined && attachError !== undefined ? `${why}: ${attachError.message}` : why;
    return { object: volume, why: detail };
  });
}

/** Who is gone is waited for no longer, and that is said. */
function waitingStage({ waiting }: StorageGoal, snapshot: Snapshot): StageNow {
  const why = whyUnknown(snapshot.pods);
  const pods = new Map(valueOr(snapshot.pods, []).map((each) => [describePod(each), each]));
  const items = waiting.flatMap((object) => {
    const pod = pods.get(object);
    return pod === undefined ? [] : [{ object, why: whyNotReady(pod) }];
  });
  const now = stage('pods', items, why);
  const gone = waiting.filter((each) => !pods.has(each));
  if (why !== undefined || gone.length === 0) return now;
  const [first] = gone;
  const note =
    gone.length === 1 ? `${first} is gone meanwhile` : `${first} and ${gone.length - 1} more are gone meanwhile`;
  return { ...now, note };
}

function applicationStage(goal: StorageGoal, { now, before }: ApplicationsSeen): StageNow {
  if (!now.known) return stage('applications', [], now.message);
  const { waitedFor, leftAlone } = partApplications(now.value, before, goal);
  const of = now.value.total - leftAlone.length;
  const red = waitedFor.map(({ name, sync, health }) => ({ object: name, why: `${sync}, ${health}` }));
  const state = red.length === 0 ? 'green' : 'red';
  const stageNow: StageNow = { name: 'applications', state, green: of - red.length, of, red };
  const [first] = leftAlone;
  if (first === undefined) return stageNow;
  const others = leftAlone.length === 1 ? first.name : `${first.name} and ${leftAlone.length - 1} more`;
  return { ...stageNow, note: `not waited for: ${others}, red before` };
}
