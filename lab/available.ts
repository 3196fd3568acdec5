import { readdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { allFlavours, type Flavour } from './flavours.ts';
import { install } from './install.ts';
import { hasCode, run } from './run.ts';

export type Availability = { readonly ok: true } | { readonly ok: false; readonly why: string };

/**
 * Whether real containerd can run here; it installs what is missing (lab/install.ts).
 * `SANDWARDEN_SKIP_REAL=1` says no. Never throws: what is missing is said in `why`.
 */
export async function labAvailable(wanted: readonly Flavour[] = allFlavours): Promise<Availability> {
  if (process.env.SANDWARDEN_SKIP_REAL === '1') return no('SANDWARDEN_SKIP_REAL=1 is set');
  if (process.platform !== 'linux') return no('containerd runs on Linux only');
  if (process.arch !== 'x64' && process.arch !== 'arm64') return no(`no binaries for ${process.arch}`);
  if (process.getuid?.() !== 0) return no('only root can run containerd (sudo -E node --test …)');
  if (dirname(import.meta.dirname).startsWith('/var/lib/')) return no('the checkout lies in /var/lib, which is hidden');
  for (const tool of ['setpriv', 'unshare', 'nsenter', 'flock', 'mount']) {
    if (!(await onPath(tool))) return no(`${tool} is missing (apt-get install util-linux mount)`);
  }
  const space = ['--mount', '--pid', '--fork', '--propagation', 'private', 'mount', '-t', 'tmpfs', 'tmpfs', '/run'];
  const tried = await run('unshare', space, { check: false });
  if (tried.status !== 0) return no(`no mount and PID namespaces here: ${tried.stderr.trim()}`);
  try {
    await install(wanted);
  } catch (error) {
    // Whatever apt, mmdebstrap or the network had to say is the answer.
    return no(`containerd could not be installed: ${error instanceof Error ? error.message : String(error)}`);
  }
  return { ok: true };
}

function no(why: string): Availability {
  return { ok: false, why };
}

async function onPath(tool: string): Promise<boolean> {
  for (const folder of ['/usr/bin', '/bin', '/usr/sbin', '/sbin']) {
    const names: string[] = await readdir(folder).catch((error: unknown) => {
      if (hasCode(error, 'ENOENT')) return [];
      throw error;
    });
    if (names.includes(tool)) return true;
  }
  return false;
}
