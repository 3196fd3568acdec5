/**
 * Installs what the tests use of Debian and is missing, with one call; tests skip with a reason where it is not there.
 * The real containerd's own packages are lab/install.ts's.
 */
import { spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** Package by the command it brings, or by the file where that is on no path. */
const wanted = {
  zsh: 'zsh',
  fish: 'fish',
  shellcheck: 'shellcheck',
  xmllint: 'libxml2-utils',
  kubectl: 'kubernetes-client',
  '/lib/systemd/systemd-journal-remote': 'systemd-journal-remote',
  chromium: 'chromium',
  'dbus-daemon': 'dbus-daemon',
  busctl: 'systemd',
};

const missing = Object.entries(wanted).filter(([command]) => !isOnPath(command));
const packages = missing.map(([, name]) => name);
if (packages.length > 0) {
  if (process.getuid?.() !== 0) fail(`${packages.join(', ')} missing, and only root may install them`);
  process.stdout.write(`setup    ${packages.join(', ')}\n`);
  if (!apt('install', '-y', '-q', '--no-install-recommends', ...packages)) {
    // A machine that never updated its lists, or whose lists are old.
    const ok = apt('update', '-q') && apt('install', '-y', '-q', '--no-install-recommends', ...packages);
    if (!ok) process.stdout.write(`setup    without ${packages.join(', ')}: apt-get could not install them\n`);
  }
}

function isOnPath(command: string): boolean {
  const onPath = (process.env.PATH ?? '').split(':').filter((folder) => folder !== '');
  const folders = command.startsWith('/') ? ['/'] : onPath;
  return folders.some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK);
      return true;
    } catch (error) {
      if (['ENOENT', 'EACCES', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
      throw error;
    }
  });
}

function apt(...args: string[]): boolean {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  return spawnSync('apt-get', args, { stdio: ['ignore', 'ignore', 'ignore'], env }).status === 0;
}

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
