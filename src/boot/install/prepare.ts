import { posix } from 'node:path';
import { isSandwardenError } from '../../model/errors.ts';
import { limits } from '../../model/limits.ts';
import type { Rooted } from '../../observe/installed/rooted.ts';
import { lineDiff } from './diff.ts';
import { type Standing, standingAt, trustedFolder } from './disk.ts';
import { findLayout, type Layout } from './layouts.ts';
import { type Manifest, readManifest, sha256 } from './manifest.ts';
import { findProgram, type ProgramOptions } from './program.ts';
import {
  type InstallPlan,
  type PlannedFile,
  type PlannedLink,
  type Program,
  planUnits,
  type UnitOptions,
} from './units.ts';

/** One change that installing makes. */
export type Step =
  | { readonly kind: 'write'; readonly file: PlannedFile; readonly why: 'new' | 'update' | 'replace' }
  | { readonly kind: 'link'; readonly link: PlannedLink; readonly why: 'new' | 'update' | 'replace' }
  | { readonly kind: 'remove'; readonly path: string };

/** Something of the user's that stands in the way: it is only replaced with --force. */
export interface Conflict {
  readonly path: string;
  /** `changed`: we wrote it and somebody changed it since. */
  readonly what: 'changed' | 'foreign';
  readonly says: string;
  /** What would change, as lines with `-` and `+`. */
  readonly diff: readonly string[];
}

export interface Prepared {
  readonly layout: Layout;
  readonly program: Program;
  readonly plan: InstallPlan;
  readonly before: Manifest | undefined;
  readonly steps: readonly Step[];
  readonly conflicts: readonly Conflict[];
  /** What stood where --force will write: put back by uninstall. */
  readonly replaced: ReadonlyMap<string, { readonly mode: number; readonly base64: string }>;
  /** What a person should know before: links that are followed, what is not as usual. */
  readonly notes: readonly string[];
}

export interface PrepareOptions {
  readonly units: UnitOptions;
  readonly program: ProgramOptions;
  /** A damaged manifest is no reason to stop. */
  readonly force?: boolean;
}

/**
 * What `sandwarden install` would do here, without doing any of it. Throws what findLayout, findProgram, readManifest
 * and trustedFolder throw.
 */
export async function prepare(files: Rooted, options: PrepareOptions): Promise<Prepared> {
  const layout = await findLayout(files);
  const program = await findProgram(files, options.program);
  const plan = planUnits(layout, program, options.units);
  const before = await manifestUnless(files, options.force === true);
  const notes = await followed(files, [...plan.files, ...plan.links]);
  const steps: Step[] = [];
  const conflicts: Conflict[] = [];
  const replaced = new Map(
    (before?.files ?? []).flatMap((file) => (file.replaced === undefined ? [] : [[file.path, file.replaced] as const])),
  );
  for (const file of plan.files) {
    const known = before?.files.find((each) => each.path === file.path);
    const standing = await standingAt(files, file.path);
    if (standing.kind === 'file' && standing.content.equals(Buffer.from(file.content))) continue;
    const why = judged(standing, known?.sha256);
    steps.push({ kind: 'write', file, why: why.step });
    if (why.conflict === undefined) continue;
    conflicts.push(conflictOf(file, why.conflict, standing));
    if (why.conflict === 'foreign' && standing.kind === 'file' && !OURS.test(standing.content.toString('utf8'))) {
      replaced.set(file.path, { mode: standing.mode, base64: standing.content.toString('base64') });
    }
  }
  for (const link of plan.links) await planLink(files, link, { before, steps, conflicts });
  await planRemovals(files, plan, { before, steps, conflicts });
  return { layout, program, plan, before, steps, conflicts, replaced, notes };
}

/** What an install wrote whose record was lost: it need not come back. */
const OURS = /^# Written by .sandwarden install/;

interface Draft {
  readonly before: Manifest | undefined;
  readonly steps: Step[];
  readonly conflicts: Conflict[];
}

async function planLink(files: Rooted, link: PlannedLink, { before, steps, conflicts }: Draft): Promise<void> {
  const standing = await standingAt(files, link.path);
  if (standing.kind === 'link' && standing.target === link.target) return;
  if (standing.kind === 'nothing') {
    steps.push({ kind: 'link', link, why: 'new' });
    return;
  }
  const known = before?.links.some((each) => each.path === link.path);
  steps.push({ kind: 'link', link, why: 'replace' });
  const says = standing.kind === 'link' ? `a link to ${standing.target}` : 'no link';
  conflicts.push({ path: link.path, what: known ? 'changed' : 'foreign', says, diff: [] });
}

/** What an earlier install wrote and this one does not want. */
async function planRemovals(files: Rooted, plan: InstallPlan, { before, steps, conflicts }: Draft): Promise<void> {
  const wanted = new Set([...plan.files, ...plan.links].map((each) => each.path));
  for (const { path, sha256: digest } of before?.files ?? []) {
    if (wanted.has(path)) continue;
    const standing = await standingAt(files, path);
    if (standing.kind === 'nothing') continue;
    steps.push({ kind: 'remove', path });
    if (standing.kind === 'file' && sha256(standing.content) === digest) continue;
    conflicts.push({ path, what: 'changed', says: 'not wanted any more, but it was changed', diff: [] });
  }
  for (const { path, target } of before?.links ?? []) {
    if (wanted.has(path)) continue;
    const standing = await standingAt(files, path);
    if (standing.kind === 'link' && standing.target === target) steps.push({ kind: 'remove', path });
  }
}

function judged(
  standing: Standing,
  known: string | undefined,
): { readonly step: 'new' | 'update' | 'replace'; readonly conflict?: Conflict['what'] } {
  if (standing.kind === 'nothing') return { step: 'new' };
  if (known === undefined) return { step: 'replace', conflict: 'foreign' };
  if (standing.kind === 'file' && sha256(standing.content) === known) return { step: 'update' };
  return { step: 'replace', conflict: 'changed' };
}

function conflictOf(file: PlannedFile, what: Conflict['what'], standing: Standing): Conflict {
  const { path } = file;
  switch (standing.kind) {
    case 'file':
      return {
        path,
        what,
        says: 'its content differs',
        diff: lineDiff(standing.content.toString('utf8'), file.content),
      };
    case 'link': {
      const masked = standing.target === '/dev/null' ? ': the unit was masked' : '';
      return { path, what, says: `a link to ${standing.target}${masked}`, diff: [] };
    }
    default:
      return { path, what, says: `no file, or one larger than ${limits.configBytes} bytes`, diff: [] };
  }
}

/** Also finds out, before anything is written, that each folder may be written in. */
async function followed(files: Rooted, planned: readonly { readonly path: string }[]): Promise<string[]> {
  const notes = new Set<string>();
  for (const folder of new Set(planned.map((each) => posix.dirname(each.path)))) {
    const { path, links } = await trustedFolder(files, folder);
    if (links.length > 0) notes.add(`${folder} leads to ${path} by a link of root's: it is followed`);
  }
  return [...notes];
}

async function manifestUnless(files: Rooted, force: boolean): Promise<Manifest | undefined> {
  if (!force) return await readManifest(files);
  try {
    return await readManifest(files);
  } catch (error) {
    if (isSandwardenError(error, 'ERR_CONFIG')) return undefined;
    throw error;
  }
}
