/**
 * The images of the laboratory: a Debian with systemd, a real containerd and the laboratory's own units, as a raw disk
 * with its kernel beside it. Made as root from Debian's packages, kept in `.cache/vm` by the hash of the recipe.
 */
import { createHash } from 'node:crypto';
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { zstdDecompressSync } from 'node:zlib';
import { exists } from '../packages.ts';
import { pauseImageArchive } from '../pause-image.ts';
import { hasCode, run, until } from '../run.ts';
import { type ConfigVersion, guestPaths, type ImageEntry, imageEntries } from './guest.ts';
import { bootArchive } from './initrd.ts';
import { cacheDir, debianMirror, debstrap, debstrapArgs, needTools, removeTree } from './toolbox.ts';

export type ImageName = 'containerd-1.7' | 'containerd-2.1';
export const imageNames: readonly ImageName[] = ['containerd-1.7', 'containerd-2.1'];

/** A made image. `disk` is never written again: machines run on copy-on-write copies. */
export interface Image {
  readonly name: ImageName;
  readonly disk: { readonly path: string; readonly format: 'raw' };
  readonly kernel: string;
  readonly initrd: string;
}

/** Boots the fresh disk once, runs the script in it and powers off cleanly; given by the caller, who knows machines. */
export type Bake = (image: Image, script: string) => Promise<void>;

/** Changed by hand when how the image is made changes in a way that the recipe does not show. */
const recipeVersion = 1;
const diskSize = '3G';

const packages = [
  ...['systemd', 'systemd-sysv', 'dbus', 'udev', 'containernetworking-plugins', 'iproute2', 'iptables', 'kmod'],
  ...['busybox-static', 'procps', 'util-linux', 'e2fsprogs', 'linux-image-cloud-amd64'],
];

interface Recipe {
  readonly packages: readonly string[];
  readonly suites: readonly string[];
  /** What `containerd --version` in the image must begin with. */
  readonly containerd: string;
  readonly config: ConfigVersion;
}

const recipes: Readonly<Record<ImageName, Recipe>> = {
  'containerd-1.7': { packages: ['containerd', 'runc'], suites: ['trixie'], containerd: '1.7.', config: 2 },
  'containerd-2.1': {
    packages: ['containerd/sid', 'runc/sid'],
    suites: ['trixie', 'sid'],
    containerd: '2.1.',
    config: 3,
  },
};

/**
 * Gives the image, making it when it is not there (some minutes, root, network). Idempotent; a second process that
 * wants the same image waits for the first.
 */
export async function ensureImage(name: ImageName, bake: Bake, say: (line: string) => void = () => {}): Promise<Image> {
  const home = join(cacheDir, `${name}-${recipeHash(name)}`);
  const image = imageIn(home, name);
  if (await exists(image.disk.path)) return image;
  await mkdir(cacheDir, { recursive: true });
  const unlock = await lock(join(cacheDir, `${name}.lock`));
  try {
    if (await exists(image.disk.path)) return image;
    await needTools(say);
    // Under the lock nobody else builds: what is there was left by a dead process.
    for (const each of await readdir(cacheDir))
      if (each.startsWith(`${name}.new-`)) await removeTree(join(cacheDir, each));
    const fresh = await mkdtemp(join(cacheDir, `${name}.new-`));
    try {
      await make(name, fresh, bake, say);
      await rename(fresh, home);
    } finally {
      await removeTree(fresh);
    }
    await removeOld(name, home);
  } finally {
    await unlock();
  }
  return image;
}

function imageIn(home: string, name: ImageName): Image {
  return {
    name,
    disk: { path: join(home, 'disk.img'), format: 'raw' },
    kernel: join(home, 'vmlinux'),
    initrd: join(home, 'initrd.cpio'),
  };
}

function recipeHash(name: ImageName): string {
  const { config } = recipes[name];
  const recipe = [recipeVersion, packages, recipes[name], debstrapArgs, diskSize, imageEntries(config), bakeScript];
  const hash = createHash('sha256').update(JSON.stringify([...recipe, process.version]));
  return hash
    .update(bootArchive({ busybox: new Uint8Array(), virtioBlk: new Uint8Array() }))
    .digest('hex')
    .slice(0, 16);
}

async function make(name: ImageName, home: string, bake: Bake, say: (line: string) => void): Promise<void> {
  const { suites, config, containerd } = recipes[name];
  const root = join(home, 'root');
  say(`${name}: Debian ${suites.join(' + ')}`);
  const include = [...packages, ...recipes[name].packages].join(',');
  const args = ['--variant=minbase', `--include=${include}`, '--aptopt=APT::Default-Release "trixie"', 'trixie'];
  await debstrap(
    root,
    args,
    suites.map((suite) => `deb ${debianMirror} ${suite} main`),
  );
  const { stdout } = await run('chroot', [root, '/usr/bin/containerd', '--version']);
  if (!stdout.split(' ')[2]?.replace(/^v/, '').startsWith(containerd)) {
    throw new Error(
      `Debian ${suites.at(-1)} has another containerd now, the laboratory expects ${containerd}x: ${stdout}`,
    );
  }
  for (const [path, entry] of Object.entries(imageEntries(config))) await place(root, path, entry);
  const busybox = await readFile(join(root, 'usr/bin/busybox'));
  const archive = join(root, guestPaths.pauseArchive);
  await mkdir(dirname(archive), { recursive: true });
  await writeFile(archive, pauseImageArchive(busybox, 'amd64'));
  await copyFile(process.execPath, join(root, 'usr/local/bin/node'));
  await mkdir(join(root, 'var/log/journal'), { recursive: true });
  const image = imageIn(home, name);
  const modules = await moduleFolder(root);
  const kernel = await readFile(join(root, 'boot', `vmlinuz-${modules.version}`));
  await writeFile(image.kernel, uncompressedKernel(kernel));
  const virtioBlk = await unxz(join(modules.path, 'kernel/drivers/block/virtio_blk.ko.xz'));
  await writeFile(image.initrd, bootArchive({ busybox, virtioBlk }));
  await rm(join(root, 'boot'), { recursive: true });
  say(`${name}: disk and first boot`);
  const disk = `${image.disk.path}.new`;
  // Nothing is left for the kernel to initialise in the background of somebody's test.
  const ext4 = ['-q', '-t', 'ext4', '-E', 'lazy_itable_init=0,lazy_journal_init=0'];
  await run('nice', ['-n', '10', 'mke2fs', ...ext4, '-d', root, disk, diskSize], { timeoutMs: 120_000 });
  await rm(root, { recursive: true });
  await bake({ ...image, disk: { path: disk, format: 'raw' } }, bakeScript);
  await chmod(disk, 0o400);
  // Last of all: this is what says that the image is whole.
  await rename(disk, image.disk.path);
}

/** What only a running node can do: a machine id, caches, and the pause image in containerd's store. */
const bakeScript = `set -e
systemctl is-system-running --wait >/dev/null || true
ctr -n k8s.io images import ${guestPaths.pauseArchive}
systemctl stop containerd
journalctl --rotate --vacuum-time=1s 2>/dev/null
sync`;

async function place(root: string, path: string, entry: ImageEntry): Promise<void> {
  const to = join(root, path);
  await mkdir(dirname(to), { recursive: true });
  await rm(to, { force: true });
  if ('link' in entry) await symlink(entry.link, to);
  else await writeFile(to, entry.text, { mode: entry.mode ?? 0o644 });
}

async function moduleFolder(root: string): Promise<{ path: string; version: string }> {
  const [version, ...more] = await readdir(join(root, 'usr/lib/modules'));
  if (version === undefined || more.length > 0) throw new Error('the image should have exactly one kernel');
  return { path: join(root, 'usr/lib/modules', version), version };
}

async function unxz(path: string): Promise<Uint8Array> {
  const plain = path.replace(/\.xz$/, '');
  await run('xz', ['-d', '-k', '-f', path]);
  return readFile(plain);
}

/**
 * The ELF kernel inside a bzImage: QEMU starts it through its PVH entry, which saves the emulated decompression (five
 * of eight seconds). Source: Documentation/arch/x86/boot.rst (setup_sects, payload_offset, payload_length); the payload
 * ends with four bytes that hold its size.
 */
export function uncompressedKernel(bzImage: Buffer): Buffer {
  const sectorBytes = 512;
  const setupSectors = bzImage.readUInt8(0x1f1) || 4;
  const start = (setupSectors + 1) * sectorBytes + bzImage.readUInt32LE(0x248);
  const payload = bzImage.subarray(start, start + bzImage.readUInt32LE(0x24c) - 4);
  const zstdMagic = 0xfd2fb528;
  if (payload.readUInt32LE(0) !== zstdMagic) throw new Error('the kernel is not compressed with zstd any more');
  return zstdDecompressSync(payload);
}

/** Images of earlier recipes; a machine that still runs on one keeps it open. */
async function removeOld(name: ImageName, keep: string): Promise<void> {
  for (const each of await readdir(cacheDir)) {
    const path = join(cacheDir, each);
    const isImage = new RegExp(`^${name.replaceAll('.', '\\.')}-[0-9a-f]{16}$`).test(each);
    if (isImage && path !== keep) await rm(path, { recursive: true, force: true });
  }
}

/** Takes a lock file that names its process; one of a dead process is taken over. */
async function lock(path: string): Promise<() => Promise<void>> {
  await until(`the lock ${path}`, 900_000, async () => {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' });
      return true;
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    }
    const owner = Number(await readFile(path, 'utf8').catch(() => ''));
    if (owner > 0 && !(await exists(`/proc/${owner}`))) await rm(path, { force: true });
    else await new Promise((resolve) => setTimeout(resolve, 500));
    return undefined;
  });
  return () => rm(path, { force: true });
}
