import { posix } from 'node:path';
import { isSandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Rooted } from '../../observe/installed/rooted.ts';
import { uncleanBoots } from '../reboot-loop.ts';
import { type BootRecord, flags, readBootRecord, runDir } from '../record.ts';
import { standingAt } from './disk.ts';
import { manifestPath, readManifest, sha256 } from './manifest.ts';
import type { Systemd } from './systemd.ts';
import { unitNames } from './units.ts';

/** One unit of ours, as systemd has it. */
export interface UnitStatus {
  readonly name: string;
  /** `ran`, `skipped` (no reason at this boot), `waiting` (not asked for yet), `failed`, `missing`. */
  readonly state: 'ran' | 'running' | 'skipped' | 'waiting' | 'failed' | 'missing';
  readonly tookMs: number | null;
}

export interface InstallStatus {
  readonly format: 'sandwarden.status/1';
  readonly state: 'installed' | 'not-installed' | 'cut-off' | 'damaged';
  readonly version: string | null;
  readonly layout: string | null;
  /** Files and links of ours that somebody changed or removed. */
  readonly changed: readonly string[];
  readonly missing: readonly string[];
  readonly units: readonly UnitStatus[];
  /** What early.sh found at this boot. */
  readonly thisBoot: { readonly judged: boolean; readonly unclean: boolean; readonly clockBehind: boolean };
  readonly did: BootRecord | null;
  readonly lastUncleanBoot: { readonly wallNs: bigint; readonly boots: number } | null;
  readonly notes: readonly string[];
}

/** How it stands with the boot hook. Throws ERR_FORBIDDEN where the state folder may not be read. */
export async function installStatus(files: Rooted, systemd: Systemd | undefined): Promise<InstallStatus> {
  const notes: string[] = [];
  const run = files.real(runDir);
  const [manifest, damaged] = await manifestOrDamage(files, notes);
  const [changed, missing]: [string[], string[]] = [[], []];
  for (const { path, sha256: digest } of manifest?.files ?? []) {
    const standing = await standingAt(files, path);
    if (standing.kind === 'nothing') missing.push(path);
    else if (standing.kind !== 'file' || sha256(standing.content) !== digest) changed.push(path);
  }
  for (const { path, target } of manifest?.links ?? []) {
    const standing = await standingAt(files, path);
    if (standing.kind === 'nothing') missing.push(path);
    else if (standing.kind !== 'link' || standing.target !== target) changed.push(path);
  }
  const planned = (manifest?.files ?? []).map((file) => posix.basename(file.path));
  const units = Object.values(unitNames).filter((name) => planned.includes(name));
  const did = await readBootRecord(run);
  return {
    format: 'sandwarden.status/1',
    state: damaged ? 'damaged' : manifest === undefined ? 'not-installed' : stateOf(manifest.state),
    version: manifest?.version ?? null,
    layout: manifest?.layout ?? null,
    changed,
    missing,
    units: units.length === 0 || systemd === undefined ? [] : await unitsStatus(systemd, units, notes),
    thisBoot: {
      judged: await files.has(`${runDir}/${flags.booted}`),
      unclean: await files.has(`${runDir}/${flags.unclean}`),
      clockBehind: await files.has(`${runDir}/${flags.clockBehind}`),
    },
    did: did.clock === undefined && did.heal.length === 0 ? null : did,
    lastUncleanBoot: await lastUnclean(files),
    notes,
  };
}

/** Whether all is as it should be. */
export function isInOrder({ state, changed, missing, units, notes }: InstallStatus): boolean {
  const bad = units.some((unit) => unit.state === 'failed' || unit.state === 'missing');
  return state === 'installed' && changed.length === 0 && missing.length === 0 && !bad && notes.length === 0;
}

function stateOf(state: 'installing' | 'installed'): InstallStatus['state'] {
  return state === 'installed' ? 'installed' : 'cut-off';
}

async function manifestOrDamage(
  files: Rooted,
  notes: string[],
): Promise<[Awaited<ReturnType<typeof readManifest>>, boolean]> {
  try {
    return [await readManifest(files), false];
  } catch (error) {
    if (!isSandwardenError(error, 'ERR_CONFIG')) throw error;
    notes.push(error.message);
    return [undefined, true];
  }
}

async function unitsStatus(systemd: Systemd, names: readonly string[], notes: string[]): Promise<UnitStatus[]> {
  try {
    const shown = await systemd.show(names);
    if (shown.some((unit) => unit.get('NeedDaemonReload') === 'yes')) {
      notes.push("systemd has not read the units as they are on disk: 'systemctl daemon-reload'");
    }
    return names.map((name) => unitStatus(name, shown.find((unit) => unit.get('Id') === name) ?? new Map()));
  } catch (error) {
    if (!isSandwardenError(error)) throw error;
    notes.push(`what the units did is not known: ${error.message}`);
    return [];
  }
}

function unitStatus(name: string, unit: ReadonlyMap<string, string>): UnitStatus {
  const started = Number(unit.get('ExecMainStartTimestampMonotonic') ?? 0);
  const ended = Number(unit.get('ExecMainExitTimestampMonotonic') ?? 0);
  return { name, state: unitState(unit, started), tookMs: ended > started ? (ended - started) / 1_000 : null };
}

function unitState(unit: ReadonlyMap<string, string>, started: number): UnitStatus['state'] {
  if (unit.get('LoadState') !== 'loaded') return 'missing';
  const active = unit.get('ActiveState');
  if (active === 'failed') return 'failed';
  if (active === 'activating') return 'running';
  if (active === 'active') return unit.get('SubState') === 'exited' ? 'ran' : 'running';
  if (started > 0) return 'ran';
  return Number(unit.get('ConditionTimestampMonotonic') ?? 0) > 0 && unit.get('ConditionResult') === 'no'
    ? 'skipped'
    : 'waiting';
}

/** The last of the unclean boots that early.sh wrote down. */
async function lastUnclean(files: Rooted): Promise<InstallStatus['lastUncleanBoot']> {
  const path = posix.join(posix.dirname(manifestPath), 'boots');
  const boots = uncleanBoots((await files.read(path, limits.journalBytes)) ?? '');
  const last = boots.at(-1);
  return last === undefined ? null : { wallNs: BigInt(last.date) * 1_000_000_000n, boots: boots.length };
}
