import { createHash } from 'node:crypto';
import { pauseImage, workloadImage } from './flavours.ts';

/**
 * An OCI archive of one static busybox, made by hand so that no registry is needed: `/bin/busybox` with
 * `/bin/sleep` and `/bin/sh` beside it, under two names (sandbox and workload). Deterministic.
 * Source: opencontainers/image-spec, image-layout.md; the tar format is POSIX ustar.
 */
export function pauseImageArchive(busybox: Uint8Array, goArch: string): Uint8Array {
  const layer = tar([
    { name: 'bin/', type: '5' },
    { name: 'etc/', type: '5' },
    { name: 'proc/', type: '5' },
    { name: 'sys/', type: '5' },
    { name: 'dev/', type: '5' },
    { name: 'tmp/', type: '5' },
    { name: 'bin/busybox', type: '0', data: busybox, mode: 0o755 },
    { name: 'bin/sleep', type: '2', link: 'busybox' },
    { name: 'bin/sh', type: '2', link: 'busybox' },
  ]);
  const config = json({
    architecture: goArch,
    os: 'linux',
    config: { Cmd: ['/bin/sleep', '1000000'], Env: ['PATH=/bin'] },
    rootfs: { type: 'layers', diff_ids: [digest(layer)] },
  });
  const manifest = json({
    schemaVersion: 2,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    config: { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest(config), size: config.length },
    layers: [{ mediaType: 'application/vnd.oci.image.layer.v1.tar', digest: digest(layer), size: layer.length }],
  });
  const named = [pauseImage, workloadImage].map((name) => ({
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
    digest: digest(manifest),
    size: manifest.length,
    annotations: { 'io.containerd.image.name': name },
  }));
  return tar([
    { name: 'oci-layout', type: '0', data: json({ imageLayoutVersion: '1.0.0' }) },
    { name: 'index.json', type: '0', data: json({ schemaVersion: 2, manifests: named }) },
    { name: 'blobs/', type: '5' },
    { name: 'blobs/sha256/', type: '5' },
    ...[layer, config, manifest].map((data) => ({
      name: `blobs/sha256/${digest(data).slice('sha256:'.length)}`,
      type: '0' as const,
      data,
    })),
  ]);
}

interface TarEntry {
  readonly name: string;
  /** 0: file, 2: symbolic link, 5: directory. */
  readonly type: '0' | '2' | '5';
  readonly data?: Uint8Array;
  readonly link?: string;
  readonly mode?: number;
}

const tarBlockBytes = 512;

function tar(entries: readonly TarEntry[]): Uint8Array {
  const blocks: Buffer[] = [];
  for (const entry of entries) {
    const data = entry.data ?? new Uint8Array();
    blocks.push(tarHeader(entry, data.length), Buffer.from(data));
    blocks.push(Buffer.alloc((tarBlockBytes - (data.length % tarBlockBytes)) % tarBlockBytes));
  }
  blocks.push(Buffer.alloc(2 * tarBlockBytes));
  return Buffer.concat(blocks);
}

function tarHeader(entry: TarEntry, size: number): Buffer {
  const header = Buffer.alloc(tarBlockBytes);
  const octal = (value: number, length: number) => `${value.toString(8).padStart(length - 1, '0')}\0`;
  header.write(entry.name, 0, 100);
  header.write(octal(entry.mode ?? (entry.type === '5' ? 0o755 : 0o644), 8), 100);
  header.write(octal(0, 8), 108);
  header.write(octal(0, 8), 116);
  header.write(octal(size, 12), 124);
  header.write(octal(0, 12), 136);
  header.write('        ', 148);
  header.write(entry.type, 156);
  header.write(entry.link ?? '', 157, 100);
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
