/** A file that is laid into an archive or into the guest. Paths are absolute, as the guest sees them. */
export interface GuestFile {
  readonly path: string;
  readonly data: Uint8Array;
  /** Permission bits; the owner is root. */
  readonly mode: number;
}

/** A symbolic link that is laid into the guest. */
export interface GuestLink {
  readonly path: string;
  readonly link: string;
}

type Member = GuestFile | GuestLink | { readonly path: string; readonly folder: true };

const regularFile = 0o100000;
const symbolicLink = 0o120000;
const directory = 0o040000;

/**
 * A `newc` cpio archive: what the kernel unpacks as initramfs and busybox's cpio reads. Folders of files must come
 * before them for the kernel. Source: Documentation/driver-api/early-userspace/buffer-format.rst.
 */
export function cpio(members: readonly Member[]): Buffer {
  const parts: Buffer[] = [];
  members.forEach((member, index) => {
    const name = member.path.replace(/^\/+/, '');
    if ('folder' in member) parts.push(...entry(name, directory | 0o755, new Uint8Array(), index + 1));
    else if ('link' in member) parts.push(...entry(name, symbolicLink | 0o777, Buffer.from(member.link), index + 1));
    else parts.push(...entry(name, regularFile | member.mode, member.data, index + 1));
  });
  parts.push(...entry('TRAILER!!!', 0, new Uint8Array(), 0));
  return Buffer.concat(parts);
}

function entry(name: string, mode: number, data: Uint8Array, inode: number): Buffer[] {
  const modifiedAtS = 0;
  const links = 1;
  const nameBytes = Buffer.byteLength(name) + 1;
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor, namesize, check
  const fields = [inode, mode, 0, 0, links, modifiedAtS, data.length, 0, 0, 0, 0, nameBytes, 0];
  const header = `070701${fields.map((each) => each.toString(16).padStart(8, '0')).join('')}${name}\0`;
  return [padded(Buffer.from(header)), padded(Buffer.from(data.buffer, data.byteOffset, data.byteLength))];
}

function padded(bytes: Buffer): Buffer {
  const missing = (4 - (bytes.length % 4)) % 4;
  return missing === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(missing)]);
}
