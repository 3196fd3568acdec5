/**
 * What the laboratory needs on this machine: Debian's packages for making images, and a QEMU of its own. QEMU 7.2
 * (bookworm) crashed the 6.12 guest in 6 of 16 boots, 10.0 (trixie) in none, so trixie's lies in a folder below
 * `.cache/vm` and runs on its own libraries, wherever it is started.
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { exists, needPackages } from '../packages.ts';
import { run } from '../run.ts';

/** Everything that is cached: the emulator and the images. */
export const cacheDir = join(resolve(import.meta.dirname, '..', '..'), '.cache', 'vm');

/** Where Debian's packages come from where this machine's own apt does not say. */
export const debianMirror = 'http://deb.debian.org/debian';

/** Arguments of mmdebstrap that every tree here shares. A mirror may be frozen at a date; signatures are checked. */
export const debstrapArgs = [
  '--mode=root',
  '--keyring=/usr/share/keyrings/debian-archive-keyring.gpg',
  '--aptopt=Acquire::Check-Valid-Until "false"',
  ...['doc', 'man', 'locale', 'info'].map((name) => `--dpkgopt=path-exclude=/usr/share/${name}/*`),
];

const emulatorName = 'qemu-trixie-1';
const emulatorPackages = ['qemu-system-x86', 'seabios', 'qemu-utils'];

/** apt packages by a file that shows that they are there. */
const tools: Readonly<Record<string, string>> = {
  '/usr/bin/mmdebstrap': 'mmdebstrap',
  '/sbin/mke2fs': 'e2fsprogs',
  '/usr/bin/setpriv': 'util-linux',
  '/usr/share/keyrings/debian-archive-keyring.gpg': 'debian-archive-keyring',
};

/** Why no virtual machine can be had here, in words; undefined where it can (perhaps after downloads). */
export async function whyNoLaboratory(): Promise<string | undefined> {
  if (process.platform !== 'linux' || process.arch !== 'x64') return 'the virtual machine needs Linux on x86-64';
  if (process.getuid?.() !== 0) return 'only root can make the images of the virtual machine';
  if (!(await exists('/usr/bin/apt-get'))) return 'the images are made of Debian packages, and here is no apt-get';
  return undefined;
}

/** How to start a program of the emulator's tree, as argv without a chroot. */
export interface Emulator {
  readonly system: readonly string[];
  readonly img: readonly string[];
  readonly version: string;
}

/** Installs what is missing (root) and gives the emulator. Throws an Error that says what could not be had. */
export async function emulator(say: (line: string) => void = () => {}): Promise<Emulator> {
  const home = join(cacheDir, emulatorName);
  if (!(await exists(join(home, 'complete')))) {
    await needTools(say);
    say('QEMU of Debian trixie');
    await debstrap(home, ['--variant=extract', `--include=${emulatorPackages.join(',')}`, 'trixie'], [debianMirror]);
    await writeFile(join(home, 'complete'), '');
  }
  const libraries = join(home, 'usr/lib/x86_64-linux-gnu');
  // Some libraries lie in folders that ldconfig or an RPATH would have named.
  const path = ['', 'pulseaudio', 'blas', 'lapack'].map((each) => join(libraries, each)).join(':');
  const loader = [join(libraries, 'ld-linux-x86-64.so.2'), '--library-path', path];
  const firmware = ['qemu', 'seabios'].flatMap((each) => ['-L', join(home, 'usr/share', each)]);
  const img = [...loader, join(home, 'usr/bin/qemu-img')];
  const [command = '', ...args] = img;
  const { stdout } = await run(command, [...args, '--version']);
  const version = /version (\S+)/.exec(stdout)?.[1] ?? '';
  return { system: [...loader, join(home, 'usr/bin/qemu-system-x86_64'), ...firmware], img, version };
}

/** Makes a tree of Debian packages in `home`, all or nothing. `args` end with the suite. */
export async function debstrap(home: string, args: readonly string[], sources: readonly string[]): Promise<void> {
  const fresh = `${home}.${process.pid}.new`;
  await mkdir(dirname(home), { recursive: true });
  await removeTree(fresh);
  try {
    const command = ['nice', '-n', '10', 'mmdebstrap', ...debstrapArgs, ...args, fresh, ...sources];
    await run('setpriv', [...ownMounts, ...command], { timeoutMs: 600_000 });
    await removeTree(home);
    await rename(fresh, home);
  } finally {
    await removeTree(fresh);
  }
}

/**
 * mmdebstrap mounts /proc, /sys and parts of /dev into its tree. In namespaces of its own they go with it, however it
 * ends, and nobody who removes the tree later can reach through them.
 */
const ownMounts = [
  ...['--pdeathsig', 'KILL', 'unshare', '--mount', '--propagation', 'private'],
  ...['--pid', '--fork', '--kill-child=KILL', '--mount-proc'],
];

/** Removes a tree of packages; refuses where something is mounted in it. */
export async function removeTree(path: string): Promise<void> {
  const mounts = await readFile('/proc/self/mountinfo', 'utf8');
  const inside = mounts.split('\n').filter((line) => line.split(' ')[4]?.startsWith(`${path}/`));
  if (inside.length > 0)
    throw new Error(`${path} is not removed, since something is mounted in it: ${inside.join('; ')}`);
  await rm(path, { recursive: true, force: true });
}

/** Installs the Debian packages that making an image needs and that are not there. */
export function needTools(say: (line: string) => void): Promise<void> {
  return needPackages(tools, { say });
}
