import { cpio, type GuestFile, type GuestLink } from './cpio.ts';

/**
 * Our own initramfs: a busybox, the one driver that Debian's cloud kernel has as a module, and a script. It reaches the
 * real init in a fraction of the time that Debian's (with udev in it) takes under emulation.
 */
export function bootArchive(parts: { readonly busybox: Uint8Array; readonly virtioBlk: Uint8Array }): Buffer {
  return cpio([
    ...['bin', 'dev', 'root'].map((path) => ({ path, folder: true as const })),
    { path: 'bin/busybox', data: parts.busybox, mode: 0o755 },
    { path: 'virtio_blk.ko', data: parts.virtioBlk, mode: 0o644 },
    { path: 'init', data: Buffer.from(initScript), mode: 0o755 },
  ]);
}

/**
 * Files that are laid into the guest before its init starts: an archive in an archive, appended to the first. Only
 * files are in it, so that no folder of the guest changes its mode. The kernel pads the concatenation at four bytes.
 */
export function filesArchive(files: readonly (GuestFile | GuestLink)[]): Buffer {
  return cpio([{ path: 'files.cpio', data: cpio(files), mode: 0o600 }]);
}

/**
 * A failure is said on the console and ends the boot (the kernel panics when init exits; panic=-1 ends the emulator).
 */
const initScript = `#!/bin/busybox sh
set -e
b=/bin/busybox
$b mount -t devtmpfs dev /dev
$b insmod /virtio_blk.ko
while [ ! -b /dev/vda ]; do $b sleep 0.05; done
$b mount -t ext4 /dev/vda /root
if [ -e /files.cpio ]; then
  (cd /root && $b cpio -i -d -m -u <../files.cpio)
  $b sync
fi
exec $b switch_root /root /sbin/init
`;
