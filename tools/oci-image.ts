/**
 * Images as archives, made without a registry and without a daemon: the same input gives the same image.
 * Sources: opencontainers/image-spec, image-layout.md, config.md, annotations.md; the tar format is POSIX ustar;
 * docker's manifest.json: moby image/tarexport, which `docker load` wants where its store is not containerd's.
 */
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';

/** A file, folder or symbolic link of an archive. Its owner is root, its date 1970. */
export interface TarEntry {
  /** Without a leading slash; a folder's ends with one. At most 100 bytes. */
  readonly name: string;
  /** 0: file, 2: symbolic link, 5: directory. */
  readonly type: '0' | '2' | '5';
  readonly data?: Uint8Array;
  readonly link?: string;
  readonly mode?: number;
}

export interface ImageParts {
  /** As Go and Kubernetes call it: `amd64`, `arm64`. */
  readonly architecture: string;
  /** The one layer, in this order. */
  readonly entries: readonly TarEntry[];
  /** `Cmd`, `Env`, `Labels` and the like. */
  readonly config: Readonly<Record<string, unknown>>;
  /** In full, with registry and tag: containerd takes them as they are. */
  readonly names: readonly string[];
  /** Whether the layer is compressed. */
  readonly gzip?: boolean;
}

/**
 * An OCI archive (`ctr images import`, `skopeo copy oci-archive:…`), which `docker load` takes too. Throws an Error for
 * a name that is too long for a tar.
 */
export function imageArchive({ architecture, entries, config, names, gzip = false }: ImageParts): Uint8Array {
  const plain = tar(entries);
  // zlib writes neither date nor name. Its bytes may differ from CPU to CPU, the image's id (of what is in it) not.
  const layer = gzip ? gzipSync(plain) : plain;
  const image = json({
    architecture,
    os: 'linux',
    config,
    rootfs: { type: 'layers', diff_ids: [digest(plain)] },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: types.manifest,
    config: { mediaType: types.config, digest: digest(image), size: image.length },
    layers: [{ mediaType: gzip ? types.gzipLayer : types.layer, digest: digest(layer), size: layer.length }],
  });
  const named = names.map((name) => ({
    mediaType: types.manifest,
    digest: digest(manifest),
    size: manifest.length,
    platform: { architecture, os: 'linux' },
    annotations: {
      'io.containerd.image.name': name,
      'org.opencontainers.image.ref.name': name.slice(name.lastIndexOf(':') + 1),
    },
  }));
  const docker = [{ Config: blobPath(image), RepoTags: names, Layers: [blobPath(layer)] }];
  return tar([
    { name: 'oci-layout', type: '0', data: json({ imageLayoutVersion: '1.0.0' }) },
    { name: 'index.json', type: '0', data: json({ schemaVersion: 2, manifests: named }) },
    { name: 'manifest.json', type: '0', data: json(docker) },
    { name: 'blobs/', type: '5' },
    { name: 'blobs/sha256/', type: '5' },
    ...[layer, image, manifest].map((data) => ({ name: blobPath(data), type: '0' as const, data })),
  ]);
}

const types = {
  manifest: 'application/vnd.oci.image.manifest.v1+json',
  config: 'application/vnd.oci.image.config.v1+json',
  layer: 'application/vnd.oci.image.layer.v1.tar',
  gzipLayer: 'application/vnd.oci.image.layer.v1.tar+gzip',
};

const tarBlockBytes = 512;
const tarNameBytes = 100;

function tar(entries: readonly TarEntry[]): Uint8Array {
  const blocks: Uint8Array[] = [];
  for (const entry of entries) {
    const data = entry.data ?? new Uint8Array();
    blocks.push(tarHeader(entry, data.length), data);
    blocks.push(Buffer.alloc((tarBlockBytes - (data.length % tarBlockBytes)) % tarBlockBytes));
  }
  blocks.push(Buffer.alloc(2 * tarBlockBytes));
  return Buffer.concat(blocks);
}

function tarHeader(entry: TarEntry, size: number): Buffer {
  for (const name of [entry.name, entry.link ?? '']) {
    if (Buffer.byteLength(name) > tarNameBytes) throw new Error(`the name is too long for a tar: ${name}`);
  }
  const header = Buffer.alloc(tarBlockBytes);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, '0')}\0`;
  header.write(entry.name, 0, tarNameBytes);
  header.write(octal(entry.mode ?? (entry.type === '5' ? 0o755 : 0o644), 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(size, 12), 124);
  header.write(octal(0, 12), 136);
  header.write('        ', 148);
  header.write(entry.type, 156);
  header.write(entry.link ?? '', 157, tarNameBytes);
  header.write('ustar\u000000', 257);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return header;
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function digest(data: Uint8Array): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

function blobPath(data: Uint8Array): string {
  return `blobs/${digest(data).replace(':', '/')}`;
}
