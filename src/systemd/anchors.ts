import { isSandwardenError, SandwardenError } from '../model/errors.ts';
import { limits } from '../model/limits.ts';
import { safeText } from '../model/safe-text.ts';
import { ANCHOR, anchorName, isAnchorName, roleOfSlice } from './anchor-names.ts';
import type { SystemdBus, UnitState } from './bus.ts';
import { holderCommand } from './holder.ts';
import { requireCpuset } from './open.ts';

/** What is to be held. */
export interface AnchorTarget {
  /** The slice's unit: `kubepods-burstable.slice`, or a pod's. */
  readonly slice: string;
  /** How a person names it (`default/web`), for a pod's slice. */
  readonly pod?: string;
}

/** What came of it. */
export interface Held {
  readonly name: string;
  readonly slice: string;
  /** false where it was held by the same anchor before. */
  readonly made: boolean;
}

/** A unit of ours that holds a slice. */
export interface Anchor {
  readonly name: string;
  readonly slice: string;
  /** `pod`: a pod's slice, gone with it. `node`: a QoS class, for all of its pods. */
  readonly kind: 'pod' | 'node' | 'other';
  /** `default/web`, where who made it knew; else the uid of the pod, the QoS class, or the slice. */
  readonly holds: string;
  /** How long it lasts: as long as its slice, as this boot, or for each boot. */
  readonly lasts: 'slice' | 'boot' | 'always';
  readonly state: string;
  /** An anchor that is not delegated holds nothing. */
  readonly delegated: boolean;
  readonly controlGroup: string;
  /** Microseconds since boot. */
  readonly sinceUs: bigint;
  readonly memoryBytes: bigint | undefined;
}

/**
 * Puts a delegated scope with one tiny process into a slice: as long as it is there systemd gives every controller to
 * the slice and to all above it. Where it is there already nothing is done. It ends with its slice: systemd stops a
 * unit before the slice that it is in, and kubelet kills what is in the slice of a pod that it ends.
 * Throws as SystemdBus does; ERR_NOT_SUPPORTED before systemd 244; ERR_PRECONDITION where the slice is not there, or
 * went meanwhile.
 */
export async function holdSlice(bus: SystemdBus, target: AnchorTarget): Promise<Held> {
  requireCpuset(bus);
  const { slice } = target;
  const name = anchorName(slice);
  // systemd would make a slice that is not there, and kubelet would find a pod that it does not know.
  const before = await activeSlice(bus, slice);
  if (await isHeldBy(bus, name, before)) return { name, slice, made: false };
  try {
    await bus.startScope({ name, slice, description: describeTarget(target), command: await holderCommand() });
  } catch (error) {
    // Somebody else made the same one in this moment.
    if (isSandwardenError(error, 'ERR_SYSTEMD_FAILED') && (await isHeldBy(bus, name, before))) {
      return { name, slice, made: false };
    }
    throw error;
  }
  // A slice that went meanwhile was made again, by systemd for our scope or by kubelet for a new pod.
  const isSame = (await bus.unit(slice))?.activeSinceUs === before.activeSinceUs;
  if (isSame && (await isHeldBy(bus, name, before))) return { name, slice, made: true };
  await bus.stopUnit(name);
  throw vanished(slice);
}

/** Stops what holds a slice. `gone` where it was not there. Throws as SystemdBus does. */
export async function releaseAnchor(bus: SystemdBus, name: string): Promise<'released' | 'gone'> {
  if (!isAnchorName(name)) {
    throw new SandwardenError('ERR_USAGE', `'${safeText(name, 100)}' is no anchor`, {
      hint: "'sandwarden anchor list' shows them.",
    });
  }
  const unit = await bus.unit(name);
  if (unit === undefined || unit.activeState === 'inactive') return 'gone';
  await bus.stopUnit(name);
  return 'released';
}

/** Every unit of ours that holds a slice, by name; scopes that ended are gone. Throws as SystemdBus does. */
export async function listAnchors(bus: SystemdBus): Promise<Anchor[]> {
  const names = (await bus.unitNames([`${ANCHOR}*`])).filter(isAnchorName).sort().slice(0, limits.anchors);
  const units = await Promise.all(names.map((name) => bus.unit(name)));
  return units.flatMap((unit, index) => (unit === undefined ? [] : [anchorOf(names[index] ?? unit.id, unit)]));
}

/** What holding a slice means: for one pod (its uid), for the pods of a QoS class, or for something else. */
export function meaningOf(slice: string): Pick<Anchor, 'kind' | 'holds'> {
  const role = roleOfSlice(slice);
  if (role.kind === 'qos') return { kind: 'node', holds: role.qos };
  return role.kind === 'pod' ? { kind: 'pod', holds: role.uid } : { kind: 'other', holds: slice };
}

/** The slice, where it is there. Throws ERR_PRECONDITION. */
async function activeSlice(bus: SystemdBus, slice: string): Promise<UnitState> {
  const unit = await bus.unit(slice);
  if (unit?.activeState === 'active' && unit.controlGroup !== '') return unit;
  throw new SandwardenError('ERR_PRECONDITION', `there is no slice ${safeText(slice, 300)} now`, {
    hint: 'kubelet makes it when it starts (of a pod: when the pod starts); anchor it after that.',
  });
}

async function isHeldBy(bus: SystemdBus, name: string, slice: UnitState): Promise<boolean> {
  const unit = await bus.unit(name);
  if (unit?.activeState !== 'active') return false;
  return unit.delegate === true && unit.controlGroup === `${slice.controlGroup}/${name}`;
}

const POD = 'sandwarden anchor: pod ';

/** What systemd shows of it. */
export function describeTarget({ slice, pod }: AnchorTarget): string {
  return pod === undefined ? `sandwarden anchor: ${slice}` : `${POD}${safeText(pod, 300)}`;
}

function anchorOf(name: string, unit: UnitState): Anchor {
  const { kind, holds } = meaningOf(unit.slice);
  const named = unit.description.startsWith(POD) ? unit.description.slice(POD.length) : undefined;
  return {
    name,
    slice: unit.slice,
    kind,
    holds: kind === 'pod' ? (named ?? holds) : holds,
    lasts: unit.transient ? 'slice' : unit.fragmentPath.startsWith('/run/') ? 'boot' : 'always',
    state: unit.activeState,
    delegated: unit.delegate === true,
    controlGroup: unit.controlGroup,
    sinceUs: unit.activeSinceUs,
    memoryBytes: unit.memoryBytes,
  };
}

function vanished(slice: string): SandwardenError {
  return new SandwardenError('ERR_PRECONDITION', `the slice ${safeText(slice, 300)} went while it was being held`, {
    hint: 'Its pod ended or was made anew. Run it again where the pod is still wanted.',
  });
}
