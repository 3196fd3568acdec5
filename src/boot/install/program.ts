import { posix } from 'node:path';
import { SandwardenError } from '../../model/errors.ts';
import { safeText } from '../../model/safe-text.ts';
import type { Rooted } from '../../observe/installed/rooted.ts';
import { isGuarded } from './disk.ts';
import type { Program } from './units.ts';

/** Where `make install` puts the program. */
export const installedProgram = '/usr/local/lib/sandwarden/dist/sandwarden.js';

export interface ProgramOptions {
  /** --program: the sandwarden.js to run at boot. */
  readonly asked?: string;
  /** The Node and the script that run now. */
  readonly running: { readonly node: string; readonly script: string };
}

/**
 * The program that units are to start: what runs now, or `make install`'s place in an image. All of it must be root's
 * alone, since root runs it at each boot. Throws ERR_CONFIG for one that will not be there at boot (a checkout, a home,
 * /tmp), ERR_FILE where a part is missing, ERR_FORBIDDEN where others may write it.
 */
export async function findProgram(files: Rooted, { asked, running }: ProgramOptions): Promise<Program> {
  const script = asked ?? (files.root === '' ? running.script : installedProgram);
  if (!script.startsWith('/')) throw misplaced(script, 'is no absolute path');
  if (asked === undefined) await refusePassing(files, script);
  // `make install` brings Node along, one folder above.
  const own = posix.join(posix.dirname(script), '../node');
  const node = (await isFile(files, own)) ? own : running.node;
  const early = posix.join(posix.dirname(script), 'early.sh');
  for (const path of [script, node, early]) await checkPart(files, path);
  if (asked === undefined && PASSING.test(node)) throw misplaced(node, 'is not there for sure when the machine boots');
  return { node, script, early };
}

const PASSING = /^\/(home|root|tmp|var\/tmp|run|dev|proc|mnt|media)\//;

async function refusePassing(files: Rooted, script: string): Promise<void> {
  if (script.endsWith('.ts')) throw misplaced(script, 'is a source file');
  if (PASSING.test(script)) throw misplaced(script, 'is not there for sure when the machine boots');
  for (let at = posix.dirname(script); at !== '/'; at = posix.dirname(at)) {
    if (await files.has(`${at}/.git`)) throw misplaced(script, `lies in a checkout (${at})`);
  }
}

async function checkPart(files: Rooted, path: string): Promise<void> {
  const { path: found, stat, links } = await files.resolve(path);
  if (!stat?.isFile()) {
    throw new SandwardenError('ERR_FILE', `the program's ${safeText(path, 300)} is not there`, {
      hint: `'make install${files.root === '' ? '' : ' DESTDIR=…'}' puts it there; --program names another.`,
    });
  }
  const places = [found, ...links.map((link) => posix.dirname(link.from))];
  for (const place of places) {
    for (let at = place; at !== '/'; at = posix.dirname(at)) {
      const part = await files.resolve(at, { keepLast: true });
      if (part.stat === undefined || isGuarded(part.stat, files.owner)) continue;
      throw new SandwardenError('ERR_FORBIDDEN', `${safeText(at, 300)} can be changed by others than root`, {
        hint: `root would run it at each boot: 'make install', or chown root: and chmod go-w '${safeText(at, 300)}'.`,
      });
    }
  }
}

async function isFile(files: Rooted, path: string): Promise<boolean> {
  return (await files.resolve(path)).stat?.isFile() === true;
}

function misplaced(path: string, why: string): SandwardenError {
  return new SandwardenError('ERR_CONFIG', `the units cannot start '${safeText(path, 300)}': it ${why}`, {
    hint: "Run 'make install' and then '/usr/local/bin/sandwarden install', or name what is to run with --program.",
  });
}
