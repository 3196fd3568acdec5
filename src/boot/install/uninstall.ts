import { rm } from 'node:fs/promises';
import { posix } from 'node:path';
import { openStateDir } from '../../heal/state-dir.ts';
import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { type Rooted, translated } from '../../observe/installed/rooted.ts';
import { writeNote } from '../note.ts';
import { runDir } from '../record.ts';
import { type Machine, reloadAgain, stateDirOf } from './apply.ts';
import { Changes, standingAt } from './disk.ts';
import { type Manifest, manifestPath, readManifest, sha256 } from './manifest.ts';

/** What uninstalling takes away. */
export interface Removal {
  readonly manifest: Manifest;
  /** Files and links as they were written. */
  readonly paths: readonly string[];
  /** Foreign files that --force had replaced: they come back. */
  readonly restored: readonly string[];
  /** Files and links that were changed since: they stay without --force. */
  readonly changed: readonly string[];
}

/**
 * What `sandwarden uninstall` would take away; undefined where nothing is installed. Throws ERR_CONFIG for a damaged
 * manifest, ERR_FORBIDDEN.
 */
export async function prepareRemoval(files: Rooted): Promise<Removal | undefined> {
  const manifest = await readManifest(files);
  if (manifest === undefined) return undefined;
  const [paths, changed]: [string[], string[]] = [[], []];
  for (const { path, sha256: digest } of manifest.files) {
    const standing = await standingAt(files, path);
    if (standing.kind === 'nothing') continue;
    (standing.kind === 'file' && sha256(standing.content) === digest ? paths : changed).push(path);
  }
  for (const { path, target } of manifest.links) {
    const standing = await standingAt(files, path);
    if (standing.kind === 'nothing') continue;
    (standing.kind === 'link' && standing.target === target ? paths : changed).push(path);
  }
  const restored = manifest.files.filter((file) => file.replaced !== undefined).map((file) => file.path);
  return { manifest, paths, changed, restored };
}

/**
 * Takes away what was installed, all of it or nothing; the journal of what was done stays unless `purge`. Gives what
 * a person should know. Throws ERR_LOCKED, ERR_FORBIDDEN, ERR_FILE, ERR_COMMAND_FAILED.
 */
export async function removeInstalled(
  machine: Machine,
  { manifest, paths, changed }: Removal,
  { purge = false } = {},
): Promise<string[]> {
  const { files, clock, systemd } = machine;
  const openState = () => openStateDir(stateDirOf(files));
  const notes: string[] = [];
  const lock = await (await openState()).lock(clock.wallNs());
  try {
    await stopped(machine, manifest, notes);
    const changes = new Changes(files);
    try {
      const back = new Map(manifest.files.map((file) => [file.path, file.replaced]));
      for (const path of [...paths, ...changed].toReversed()) {
        const old = back.get(path);
        if (old === undefined) await changes.remove(path);
        else await changes.write(path, Buffer.from(old.base64, 'base64'), old.mode);
      }
      for (const folder of manifest.folders.toReversed()) await changes.removeFolder(folder);
      await systemd?.reload();
      for (const name of stateFiles) await changes.remove(posix.join(posix.dirname(manifestPath), name));
      await changes.remove(manifestPath);
    } catch (error) {
      await changes.takeBack();
      await reloadAgain(systemd);
      throw error;
    }
  } finally {
    await lock.release();
  }
  if (systemd !== undefined) await removeTree(runDir);
  if (purge) await removeTree(stateDirOf(files));
  else if (systemd !== undefined) {
    const failed = await writeNote(openState, clock, 'boot hook uninstalled');
    if (failed !== undefined) notes.push(`this is not in the journal: ${failed.message}`);
  }
  return notes;
}

/** What early.sh keeps beside the journal. */
const stateFiles = ['clean', 'heartbeat', 'boots'];

async function stopped({ systemd }: Machine, manifest: Manifest, notes: string[]): Promise<void> {
  const units = manifest.files
    .map((file) => posix.basename(file.path))
    .filter((name) => /\.(service|timer)$/.test(name));
  if (units.length === 0) return;
  for (const step of ['stop', 'resetFailed'] as const) {
    try {
      await systemd?.[step](units);
    } catch (error) {
      if (!isSandwardenError(error, 'ERR_COMMAND_FAILED')) throw error;
      // Units that were never loaded cannot be stopped, and need not be.
      notes.push(error.message);
    }
  }
}

async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true });
  } catch (error) {
    throw translated(error, path);
  }
}

/** The error for files that were changed since, where --force was not given. */
export function changedSince(paths: readonly string[]): SandwardenError {
  return new SandwardenError('ERR_PRECONDITION', `changed since they were installed: ${paths.join(', ')}`, {
    hint: 'Nothing was removed. Keep what you need of them; --force removes them too.',
  });
}
