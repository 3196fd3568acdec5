import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import type { Rooted } from '../../observe/installed/rooted.ts';
import { anchorName } from '../../systemd/anchor-names.ts';
import type { SystemdBus } from '../../systemd/bus.ts';
import { holderCommand } from '../../systemd/holder.ts';
import { requireCpuset } from '../../systemd/open.ts';
import { Changes, standingAt } from '../install/disk.ts';
import { HEADER, type Lasting, type NodeUnit, nodeUnit, unitFolders } from './node-units.ts';

/** What came of holding one slice. */
export interface HeldNode {
  readonly name: string;
  readonly slice: string;
  /** `waits`: the slice is not there yet; systemd starts the anchor with it. */
  readonly result: 'held' | 'already' | 'waits';
}

/**
 * Holds the slices of QoS classes by a unit each, written and started; systemd makes each anew with its slice, at this
 * boot or (`always`) at each one. All files are written or none. Throws as SystemdBus and Changes do; ERR_PRECONDITION
 * where a file of that name is somebody else's; ERR_NOT_SUPPORTED before systemd 244.
 */
export async function holdNode(
  files: Rooted,
  bus: SystemdBus,
  { slices, lasting }: { readonly slices: readonly string[]; readonly lasting: Lasting },
): Promise<HeldNode[]> {
  requireCpuset(bus);
  const command = await holderCommand(files.root);
  const units = slices.map((slice) => nodeUnit(slice, command, lasting));
  const changes = new Changes(files);
  const held: HeldNode[] = [];
  try {
    let changed = false;
    for (const unit of units) changed = (await write(files, changes, unit)) || changed;
    // Started before systemd reads its files anew: that is one of the moments at which it takes controllers away.
    for (const unit of units) held.push(await start(bus, unit));
    if (changed) await bus.reload();
    for (const { slice } of units) await bus.stopUnit(anchorName(slice));
    return held;
  } catch (error) {
    await changes.takeBack();
    await stopStarted(bus, held);
    throw error;
  }
}

/**
 * Stops the anchor of this name and removes its files, of each boot and of this one. `gone` where nothing of it was
 * there. Throws as SystemdBus and Changes do; ERR_PRECONDITION for a file that is somebody else's.
 */
export async function releaseNode(files: Rooted, bus: SystemdBus, slice: string): Promise<'released' | 'gone'> {
  const changes = new Changes(files);
  const name = anchorName(slice, 'service');
  let found = false;
  for (const lasting of lastings) {
    const { path, link } = nodeUnit(slice, [], lasting);
    if ((await standingAt(files, path)).kind === 'nothing' && (await standingAt(files, link.path)).kind === 'nothing') {
      continue;
    }
    await checkOurs(files, path);
    await changes.remove(link.path);
    await changes.removeFolder(link.path.slice(0, link.path.lastIndexOf('/')));
    await changes.remove(path);
    found = true;
  }
  const unit = await bus.unit(name);
  if (unit !== undefined && unit.activeState !== 'inactive') {
    await bus.stopUnit(name);
    found = true;
  }
  if (found) await bus.reload();
  return found ? 'released' : 'gone';
}

/** The slices that units on the disk hold, whether systemd has loaded them or not. */
export async function slicesWithUnits(files: Rooted): Promise<{ slice: string; lasting: Lasting }[]> {
  const found = new Map<string, Lasting>();
  for (const lasting of lastings) {
    const folder = unitFolders[lasting];
    for (const entry of await files.names(folder)) {
      const slice = /^(.*\.slice)\.wants$/.exec(entry)?.[1];
      if (slice === undefined || found.has(slice)) continue;
      const names = await files.names(`${folder}/${entry}`);
      if (names.includes(anchorName(slice, 'service'))) found.set(slice, lasting);
    }
  }
  return [...found].map(([slice, lasting]) => ({ slice, lasting }));
}

/** The first error is the one that is told; one that cannot be stopped is in the list of anchors. */
async function stopStarted(bus: SystemdBus, held: readonly HeldNode[]): Promise<void> {
  try {
    for (const { name, result } of held) if (result === 'held') await bus.stopUnit(name);
    await bus.reload();
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
  }
}

const lastings = ['always', 'boot'] as const satisfies readonly Lasting[];

/** Whether it wrote anything. */
async function write(files: Rooted, changes: Changes, { path, text, link }: NodeUnit): Promise<boolean> {
  const now = await checkOurs(files, path);
  const isLinked = (await files.linkAt(link.path)) === link.target;
  if (now === text && isLinked) return false;
  if (now !== text) await changes.write(path, text, 0o644);
  if (!isLinked) await changes.link(link.path, link.target);
  return true;
}

/** The text that stands there, undefined for nothing. Throws ERR_PRECONDITION for what is not ours. */
async function checkOurs(files: Rooted, path: string): Promise<string | undefined> {
  const standing = await standingAt(files, path);
  if (standing.kind === 'nothing') return undefined;
  if (standing.kind === 'file') {
    const text = standing.content.toString('utf8');
    if (text.startsWith(`${HEADER}\n`)) return text;
  }
  throw new SandwardenError('ERR_PRECONDITION', `in the way: ${path} was not written by Sandwarden`, {
    hint: 'Look at it, and move it away if nobody needs it.',
  });
}

/** Starts it where its slice is there: it would make a slice that kubelet has not made yet. */
async function start(bus: SystemdBus, { name, slice }: NodeUnit): Promise<HeldNode> {
  if ((await bus.unit(slice))?.activeState !== 'active') return { name, slice, result: 'waits' };
  if ((await bus.unit(name))?.activeState === 'active') return { name, slice, result: 'already' };
  try {
    await bus.startUnit(name);
  } catch (error) {
    if (!isSandwardenError(error, 'ERR_PRECONDITION')) throw error;
    // A systemd that looks for new files only when it is told to.
    await bus.reload();
    await bus.startUnit(name);
  }
  return { name, slice, result: 'held' };
}
