import { chmod } from 'node:fs/promises';
import { posix } from 'node:path';
import { openStateDir } from '../../heal/state-dir.ts';
import type { Clock } from '../../model/clock.ts';
import { isSandwardenError, SandwardenError } from '../../model/errors.ts';
import { version } from '../../model/version.ts';
import type { Rooted } from '../../observe/installed/rooted.ts';
import { writeNote } from '../note.ts';
import { Changes } from './disk.ts';
import { type Manifest, manifestPath, renderManifest, sha256 } from './manifest.ts';
import type { Prepared, Step } from './prepare.ts';
import { refusedUnits, type Systemd } from './systemd.ts';
import { unitFolder } from './units.ts';

/** The machine that is installed on. */
export interface Machine {
  readonly files: Rooted;
  readonly clock: Clock;
  /** Absent for an image: its systemd reads the units when it boots. */
  readonly systemd?: Systemd;
}

export interface Applied {
  readonly done: readonly Step[];
  readonly notes: readonly string[];
}

const stateFolder = posix.dirname(manifestPath);

/** Where our state lies, under the root of the files. */
export function stateDirOf(files: Rooted): string {
  return files.real(stateFolder);
}

/**
 * Carries out what was prepared, all of it or nothing: what was written before a failure is taken back. A power cut in
 * the middle leaves a manifest that says so, and both install and uninstall go on from there. Throws ERR_LOCKED while
 * another Sandwarden works, ERR_FORBIDDEN, ERR_FILE, ERR_COMMAND_FAILED.
 */
export async function apply(machine: Machine, prepared: Prepared): Promise<Applied> {
  const { files, clock, systemd } = machine;
  const openState = () => openStateDir(stateDirOf(files));
  await madeFolder(machine);
  const lock = await (await openState()).lock(clock.wallNs());
  const notes: string[] = [];
  try {
    const changes = new Changes(files);
    try {
      await writeAll(changes, { ...machine, prepared, notes });
      await systemd?.reload();
      await changes.write(manifestPath, renderManifest(manifestOf(prepared, changes.folders, 'installed')), 0o600);
    } catch (error) {
      await changes.takeBack();
      await reloadAgain(systemd);
      throw error;
    }
    await started(systemd, notes);
  } finally {
    await lock.release();
  }
  if (systemd !== undefined) {
    const failed = await writeNote(
      openState,
      clock,
      `boot hook installed, version ${version}: ${prepared.layout.title}`,
    );
    if (failed !== undefined) notes.push(`this is not in the journal: ${failed.message}`);
  }
  return { done: prepared.steps, notes };
}

/** What the manifest says of a finished (or begun) installation. */
export function manifestOf(
  { plan, layout, before, replaced }: Prepared,
  folders: readonly string[],
  state: Manifest['state'],
): Manifest {
  return {
    format: 'sandwarden.install/1',
    state,
    version,
    layout: layout.title,
    files: plan.files.map(({ path, content }) => {
      const old = replaced.get(path);
      return { path, sha256: sha256(content), ...(old === undefined ? {} : { replaced: old }) };
    }),
    links: [...plan.links],
    folders: [...new Set([...(before?.folders ?? []), ...folders])].filter((path) => path !== stateFolder),
  };
}

interface Writing extends Machine {
  readonly prepared: Prepared;
  readonly notes: string[];
}

async function writeAll(changes: Changes, { files, systemd, prepared, notes }: Writing): Promise<void> {
  const { steps, plan } = prepared;
  const begun = manifestOf(prepared, await missingFolders(files, prepared), 'installing');
  await changes.write(manifestPath, renderManifest(begun), 0o600);
  for (const step of steps) {
    if (step.kind === 'write') await changes.write(step.file.path, step.file.content, step.file.mode);
    else if (step.kind === 'remove') await changes.remove(step.path);
  }
  const units = plan.files.map((file) => file.path).filter((path) => path.startsWith(unitFolder));
  const { problems = [], notes: said = [] } = (await systemd?.verify(units)) ?? {};
  notes.push(...said);
  if (problems.length > 0) throw refusedUnits(problems);
  for (const step of steps) if (step.kind === 'link') await changes.link(step.link.path, step.link.target);
}

/** What will be made, for the manifest of an installation that is cut off. */
async function missingFolders(files: Rooted, { plan }: Prepared): Promise<string[]> {
  const folders = new Set([...plan.files, ...plan.links].map((each) => posix.dirname(each.path)));
  const missing: string[] = [];
  for (const folder of folders) if (!(await files.has(folder))) missing.push(folder);
  return missing;
}

async function madeFolder({ files }: Machine): Promise<void> {
  if (await files.has(stateFolder)) return;
  // Its own parent is checked as every folder that is written in; openStateDir checks the folder itself.
  const changes = new Changes(files);
  const probe = posix.join(stateFolder, '.new');
  await changes.write(probe, '', 0o600);
  await changes.remove(probe);
  const { path } = await files.resolve(stateFolder);
  await chmod(files.real(path), 0o700);
}

/** After everything was taken back, systemd forgets the units again; the first error is the one that is told. */
export async function reloadAgain(systemd: Systemd | undefined): Promise<void> {
  try {
    await systemd?.reload();
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
  }
}

async function started(systemd: Systemd | undefined, notes: string[]): Promise<void> {
  try {
    await systemd?.start();
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    notes.push(`the units are enabled for the next boot, but could not be started now: ${error.message}`);
  }
}

/** Throws ERR_FORBIDDEN where this process is not root and the machine itself is meant. */
export function requireRoot(files: Rooted, what: string): void {
  if (files.root !== '' || process.geteuid?.() === 0) return;
  throw new SandwardenError('ERR_FORBIDDEN', `${what} needs root: it writes units of the system`, {
    hint: `sudo sandwarden ${what}; '--dry-run' shows what it would write.`,
  });
}
