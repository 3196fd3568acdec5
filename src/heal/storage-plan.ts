import {
  type BackedOff,
  backedOff,
  type DriverView,
  hasVolumes,
  stuckAttachments,
  whyAttachmentStays,
} from '../diagnose/csi-facts.ts';
import { podsWaiting } from '../diagnose/csi-waiting.ts';
import type { Facts } from '../diagnose/facts.ts';
import { whyKept } from '../diagnose/rules/sw303.ts';
import { deadRegistrations } from '../diagnose/rules/sw304.ts';
import { driverOfRegistration, type VolumeAttachment } from '../model/csi.ts';
import { valueOr } from '../model/observed.ts';
import type { Action, Plan, Refusal, StorageGoal } from '../model/plan.ts';
import { describePod } from '../model/sandbox.ts';
import { isWanted } from './chosen.ts';
import type { PlanOptions } from './plan.ts';

/**
 * What may be done for CSI once `removals` are done: dead registration sockets go, then the pods that wait in back-off
 * for a socket that is back or that comes back with these removals. A VolumeAttachment only where a person names it and
 * allows it. Pure.
 */
export function planStorage(facts: Facts, options: PlanOptions, removals: readonly Action[]): Plan {
  const coming = new Set(removals.flatMap(({ guard }) => (guard.kind === 'remove-sandbox' ? [guard.podUid] : [])));
  const parts = [
    ...deadRegistrations(facts).map((each) => unlinkPlan(each, options)),
    ...deletePlans(facts, options, coming),
    ...attachmentPlans(facts, options),
  ];
  const actions = parts.flatMap((each) => each.actions);
  const goal = goalOf(facts, options, actions, coming);
  const refusals = parts.flatMap((each) => each.refusals);
  return { actions, refusals, pods: [], ...(goal === undefined ? {} : { storage: goal }) };
}

type Part = Pick<Plan, 'actions' | 'refusals'>;
const nothing: Part = { actions: [], refusals: [] };

function unlinkPlan({ socket, keep }: ReturnType<typeof deadRegistrations>[number], options: PlanOptions): Part {
  const { path, device, inode } = socket;
  if (!isWanted(options, 'SW304', path, path, path)) return nothing;
  if (keep !== undefined)
    return { actions: [], refusals: [{ object: path, target: path, code: 'SW304', reason: keep }] };
  const action: Action = {
    kind: 'unlink-socket',
    target: `${path}@${inode}`,
    object: path,
    code: 'SW304',
    tier: 'safe',
    reason: `nobody listens there, and kubelet waits for it before it takes ${driverOfRegistration(path)} up again`,
    precondition: 'the same file still refuses connections and no process has it bound',
    expects: 'its registrar makes a new one when it starts',
    guard: { kind: 'unlink-socket', path, device, inode },
  };
  return { actions: [action], refusals: [] };
}

function deletePlans(facts: Facts, options: PlanOptions, coming: ReadonlySet<string>): Part[] {
  const waiting = Map.groupBy(backedOff(facts.drivers, facts.node), (each) => each.pod.uid);
  return [...waiting.values()].map((all): Part => {
    const [first] = all;
    if (first === undefined) return nothing;
    const name = describePod(first.pod);
    if (!isWanted(options, 'SW303', name, name, first.pod.uid)) return nothing;
    const why = whyNotDeleted(all, coming);
    return why === undefined
      ? { actions: [deletion(first, name)], refusals: [] }
      : { actions: [], refusals: [{ object: name, target: first.pod.uid, code: 'SW303', reason: why }] };
  });
}

/** Why a pod in back-off stays; undefined where its cause is gone, or goes with the removals of this plan. */
function whyNotDeleted(all: readonly BackedOff[], coming: ReadonlySet<string>): string | undefined {
  const [first] = all;
  if (first === undefined) return 'nothing of it waits';
  const other = all.find((each) => each.cause !== 'gone' && !isComing(each, coming));
  if (other !== undefined) return `${other.container.name}: ${other.why}`;
  return whyKept(first, all);
}

function isComing({ cause, driver }: BackedOff, coming: ReadonlySet<string>): boolean {
  return cause === 'socket-down' && driver.plugins.some((pod) => coming.has(pod.uid));
}

function deletion({ driver, pod, cause, container }: BackedOff, name: string): Action {
  const { namespace, uid } = pod;
  return {
    kind: 'delete-pod',
    target: uid,
    object: name,
    code: 'SW303',
    tier: 'safe',
    reason:
      cause === 'gone'
        ? `${container.name} ended before ${driver.name} was back, and waits up to 5 min before it is tried again`
        : `${container.name} waits for ${driver.name}, which comes back with this plan, and then up to 5 min more`,
    precondition: `${driver.name} answers its Probe, and this very pod still waits in back-off since before that`,
    expects: `its ${pod.owner?.kind ?? 'owner'} makes a new pod at once`,
    guard: {
      kind: 'delete-pod',
      namespace,
      name: pod.name,
      uid,
      driver: driver.name,
      folder: driver.folder,
      socket: driver.socket,
    },
  };
}

/** Only one that a person names, and only with the tier: everything else is said and left alone. */
function attachmentPlans(facts: Facts, options: PlanOptions): Part[] {
  const { volumes } = facts.snapshot;
  const all = volumes === undefined ? [] : (valueOr(volumes, undefined)?.attachments ?? []);
  const stuck = new Set(stuckAttachments(facts.snapshot).map((each) => each.attachment.name));
  return all.flatMap((attachment): Part[] => {
    const { name } = attachment;
    const named = options.only.some((each) => each.code === 'SW305' && each.object === name);
    if (!named && (options.only.length > 0 || !stuck.has(name))) return [];
    const refuse = (reason: string, lift?: string): Part => {
      const refusal: Refusal = { object: name, target: name, code: 'SW305', reason };
      return { actions: [], refusals: [lift === undefined ? refusal : { ...refusal, lift }] };
    };
    const against = againstAttachment(attachment, stuck.has(name));
    if (against !== undefined) return [refuse(against)];
    if (!named || !options.allow.includes('destructive')) {
      const lift = `--allow=destructive --only SW305/${name}`;
      return [refuse('deleting it while the volume is in use destroys data; it is for a person to decide', lift)];
    }
    return [{ actions: [attachmentDeletion(attachment)], refusals: [] }];
  });
}

function againstAttachment(attachment: VolumeAttachment, stuck: boolean): string | undefined {
  const why = whyAttachmentStays(attachment);
  if (why !== undefined) return why;
  if (!stuck) return 'it is younger than 5 minutes by the API server’s clock, and may still go on by itself';
  return attachment.volume === undefined ? 'it has no PersistentVolume by which its use could be told' : undefined;
}

function attachmentDeletion({ name, uid, driver, volume = '' }: VolumeAttachment): Action {
  return {
    kind: 'delete-attachment',
    target: uid,
    object: name,
    code: 'SW305',
    tier: 'destructive',
    reason:
      `${volume} of ${driver} stands still; its controller makes a new one where the volume is still wanted. ` +
      'RISK: if the backend still has the disk attached, a second writer destroys its data',
    precondition:
      'its attach failed and never succeeded, no node has the volume in use or attached, and it is not mounted here',
    expects: 'the attacher lets it go, and the volume is attached anew where a pod wants it',
    guard: { kind: 'delete-attachment', name, uid, driver, volume },
  };
}

/** The drivers that come back, and who follows; undefined where the plan has nothing to do with any. */
function goalOf(
  facts: Facts,
  options: PlanOptions,
  actions: readonly Action[],
  coming: ReadonlySet<string>,
): StorageGoal | undefined {
  const touched = new Set(
    actions.flatMap(({ guard }) => {
      if (guard.kind === 'delete-pod' || guard.kind === 'delete-attachment') return [guard.driver];
      return guard.kind === 'unlink-socket' ? [driverOfRegistration(guard.path)] : [];
    }),
  );
  const isBlocked = (driver: DriverView) => driver.plugins.some((pod) => coming.has(pod.uid));
  // For a driver that nothing of this node serves there is nothing to wait for.
  const drivers = facts.drivers
    .filter((each) => each.unserved === undefined)
    .filter((each) => touched.has(each.name) || (options.only.length === 0 && isBlocked(each)));
  if (drivers.length === 0) return undefined;
  const own = drivers.flatMap((each) => [...each.plugins, ...each.sidecars]).map(describePod);
  // Who has volumes waits for them once its name is free: kubelet tries a driver that it did not find again after up to
  // 2 min 2 s (exponential_backoff.go maxDurationBeforeRetry).
  const freed = valueOr(facts.snapshot.pods, []).filter((pod) => coming.has(pod.uid) && hasVolumes(pod));
  const all = new Set([...podsWaiting(facts), ...freed].map(describePod));
  const waiting = [...all].filter((each) => !own.includes(each)).sort();
  return {
    drivers: [...new Set(drivers.map((each) => each.name))].sort(),
    follow: [...new Set([...waiting, ...own])].sort(),
    waiting,
  };
}
