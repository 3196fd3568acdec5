/**
 * Gets the real containerd versions for the laboratory from Debian: one extracted root per suite with containerd,
 * its shim, runc and ctr, and the hand-made pause image. Idempotent; everything lies in `.cache/lab/`.
 *
 *     node lab/install.ts      (as root, on Debian or Ubuntu)
 *
 * A newer suite's binaries need their own libc: they are patched to load it from their own root (patchelf), so that
 * containerd, the shim that re-executes itself, and `runc init` all work wherever they are started.
 */
import { copyFile, mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { allFlavours, type Flavour, flavours } from './flavours.ts';
import { exists, needPackages } from './packages.ts';
import { pauseImageArchive } from './pause-image.ts';
import { run } from './run.ts';

/** The installed parts of one version. */
export interface Installed {
  /** Holds containerd, containerd-shim-runc-v2, ctr and runc. */
  readonly bin: string;
  /** `1.7.24~ds1`. */
  readonly version: string;
  readonly imageArchive: string;
}

const cache = join(dirname(import.meta.dirname), '.cache', 'lab');
const programs = ['usr/bin/containerd', 'usr/bin/containerd-shim-runc-v2', 'usr/bin/ctr', 'usr/sbin/runc'] as const;

/** The parts of `flavour`, or undefined where they are not installed. */
export async function installed(flavour: Flavour): Promise<Installed | undefined> {
  const bin = join(cache, flavours[flavour].suite, 'bin');
  const imageArchive = join(cache, 'pause.tar');
  // The binaries hold the absolute path of their libc: a checkout that was moved is installed again.
  const stamp = await readFile(join(bin, 'stamp.json'), 'utf8').catch(() => undefined);
  if (stamp === undefined || !(await exists(imageArchive))) return undefined;
  const { path, version } = JSON.parse(stamp) as { path: string; version: string };
  return path === bin ? { bin, version, imageArchive } : undefined;
}

/**
 * Installs what is missing of `wanted`. Throws an Error that says what is missing.
 * A process of its own does it under a lock (flock(1)), since test files run side by side.
 */
export async function install(wanted: readonly Flavour[] = allFlavours): Promise<void> {
  const missing: Flavour[] = [];
  for (const flavour of wanted) if ((await installed(flavour)) === undefined) missing.push(flavour);
  if (missing.length === 0) return;
  if (process.getuid?.() !== 0) throw new Error('only root can install the laboratory');
  await mkdir(cache, { recursive: true });
  const self = [process.execPath, import.meta.filename, ...missing];
  await run('flock', [join(cache, 'lock'), ...self], { timeoutMs: 900_000 });
}

/** What `install` runs under the lock: somebody else may have installed it meanwhile. */
async function installLocked(wanted: readonly Flavour[]): Promise<void> {
  const missing: Flavour[] = [];
  for (const flavour of wanted) if ((await installed(flavour)) === undefined) missing.push(flavour);
  if (missing.length === 0) return;
  await needTools();
  await makeImage();
  const mirror = await debianMirror();
  for (const flavour of missing) await installFlavour(flavour, mirror);
}

/** apt packages by the file that shows that they are there. */
const tools: Readonly<Record<string, string>> = {
  '/usr/bin/mmdebstrap': 'mmdebstrap',
  '/usr/bin/patchelf': 'patchelf',
  '/usr/bin/busybox': 'busybox-static',
  '/usr/share/keyrings/debian-archive-keyring.gpg': 'debian-archive-keyring',
};

async function needTools(): Promise<void> {
  await needPackages(tools, { more: (await isStatic('/usr/bin/busybox')) ? [] : ['busybox-static'] });
}

async function installFlavour(flavour: Flavour, mirror: string): Promise<void> {
  const { suite, minor } = flavours[flavour];
  const home = join(cache, suite);
  const root = join(home, 'root');
  await rm(home, { recursive: true, force: true });
  await mkdir(home);
  await run(
    'mmdebstrap',
    [
      '--mode=root',
      '--variant=extract',
      '--include=containerd,runc',
      // A mirror may be frozen at a date; its signature is still checked.
      '--aptopt=Acquire::Check-Valid-Until "false"',
      '--keyring=/usr/share/keyrings/debian-archive-keyring.gpg',
      suite,
      root,
      mirror,
    ],
    { timeoutMs: 300_000 },
  );
  const bin = join(home, 'bin');
  await mkdir(bin);
  const { loader, libraries } = await libcOf(root);
  for (const program of programs) {
    const to = join(bin, program.slice(program.lastIndexOf('/') + 1));
    await copyFile(join(root, program), to);
    await run('patchelf', ['--set-interpreter', loader, '--force-rpath', '--set-rpath', libraries, to]);
  }
  const { stdout } = await run(join(bin, 'containerd'), ['--version']);
  const version = stdout.split(' ')[2]?.replace(/^v/, '') ?? '';
  if (!version.startsWith(minor)) {
    throw new Error(
      `Debian ${suite} has containerd ${version} now, the laboratory expects ${minor}x (lab/flavours.ts)`,
    );
  }
  // Last of all: without it the whole is made again.
  await writeFile(join(bin, 'stamp.json'), JSON.stringify({ path: bin, version }));
}

/** The dynamic loader of an extracted root and where its libraries are. */
async function libcOf(root: string): Promise<{ loader: string; libraries: string }> {
  const triplet = process.arch === 'arm64' ? 'aarch64-linux-gnu' : 'x86_64-linux-gnu';
  const name = process.arch === 'arm64' ? 'ld-linux-aarch64.so.1' : 'ld-linux-x86-64.so.2';
  const folders = [join(root, 'usr/lib', triplet), join(root, 'lib', triplet)];
  for (const folder of folders) {
    const loader = join(folder, name);
    if (await exists(loader)) return { loader: await realpath(loader), libraries: folders.join(':') };
  }
  throw new Error(`no ${name} in ${root}`);
}

async function makeImage(): Promise<void> {
  const goArch = process.arch === 'arm64' ? 'arm64' : 'amd64';
  await writeFile(join(cache, 'pause.tar'), pauseImageArchive(await readFile('/usr/bin/busybox'), goArch));
}

/** The mirror of this machine's own apt sources where it is a Debian one; else Debian's documented default. */
export async function debianMirror(): Promise<string> {
  const { stdout } = await run('apt-get', ['indextargets', '--format', '$(ORIGIN)|$(LABEL)|$(REPO_URI)'], {
    check: false,
  });
  for (const line of stdout.split('\n')) {
    const [origin, label, uri] = line.split('|');
    if (origin === 'Debian' && label === 'Debian' && uri) return uri.replace(/\/$/, '');
  }
  return 'http://deb.debian.org/debian';
}

/** Whether a 64-bit little-endian ELF file asks for no dynamic loader (no PT_INTERP): the image has no libc. */
async function isStatic(path: string): Promise<boolean> {
  if (!(await exists(path))) return false;
  const elf = await readFile(path);
  const [offset, size, count] = [Number(elf.readBigUInt64LE(32)), elf.readUInt16LE(54), elf.readUInt16LE(56)];
  const types = Array.from({ length: count }, (_, index) => elf.readUInt32LE(offset + index * size));
  const interpreter = 3;
  return !types.includes(interpreter);
}

/** With names of flavours: installs them, for `install`. Without: all of them, and says where they are. */
async function main(names: readonly string[]): Promise<void> {
  if (names.length > 0) return installLocked(allFlavours.filter((each) => names.includes(each)));
  await install();
  for (const flavour of allFlavours) {
    const parts = await installed(flavour);
    process.stdout.write(`containerd ${parts?.version ?? 'missing'}: ${parts?.bin ?? ''}\n`);
  }
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await main(process.argv.slice(2)).catch((error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  });
}
