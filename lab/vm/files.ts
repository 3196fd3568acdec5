import { readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import type { PodSpec } from '../../src/embedded/pod-spec.ts';
import type { GuestFile, GuestLink } from './cpio.ts';
import { guestPaths } from './guest.ts';

/** What a file of the guest holds: text, bytes, a copy of a file of this machine, or a link. */
export type GuestContent =
  | string
  | Uint8Array
  | { readonly copyFrom: string }
  | { readonly link: string }
  | { readonly data: string | Uint8Array; readonly mode: number };

/** Reads what is to be copied. A copy keeps its mode, anything else is 0644. */
export async function toGuestFiles(files: Readonly<Record<string, GuestContent>>): Promise<(GuestFile | GuestLink)[]> {
  return Promise.all(
    Object.entries(files).map(async ([path, content]): Promise<GuestFile | GuestLink> => {
      if (!path.startsWith('/')) throw new Error(`'${path}' is no absolute path of the guest`);
      if (typeof content === 'string') return { path, data: Buffer.from(content), mode: 0o644 };
      if (content instanceof Uint8Array) return { path, data: content, mode: 0o644 };
      if ('link' in content) return { path, link: content.link };
      if ('data' in content) return { path, data: Buffer.from(content.data), mode: content.mode };
      const { mode } = await stat(content.copyFrom);
      return { path, data: await readFile(content.copyFrom), mode: mode & 0o7777 };
    }),
  );
}

/** The stand-ins' bundle, their pods and version, and the units that the layout has. */
export async function layoutFiles(options: {
  readonly layout?: 'kubelet' | 'k3s';
  readonly pods?: readonly PodSpec[];
  readonly kubelet?: string;
}): Promise<(GuestFile | GuestLink)[]> {
  const units = '/etc/systemd/system';
  const files: Record<string, GuestContent> = { [guestPaths.standin]: await standinBundle() };
  if (options.pods) files[guestPaths.pods] = JSON.stringify(options.pods, null, 2);
  if (options.kubelet !== undefined) files[guestPaths.version] = `${options.kubelet}\n`;
  if (options.layout === 'k3s') {
    files[`${units}/multi-user.target.wants/k3s.service`] = { link: `${units}/k3s.service` };
    for (const unit of ['containerd', 'kubelet']) files[`${units}/${unit}.service`] = { link: '/dev/null' };
  }
  return toGuestFiles(files);
}

let bundled: Promise<Uint8Array> | undefined;

/** lab/vm/standin.ts with everything it imports, made once a process. */
function standinBundle(): Promise<Uint8Array> {
  bundled ??= bundleStandin();
  return bundled;
}

async function bundleStandin(): Promise<Uint8Array> {
  const root = resolve(import.meta.dirname, '..', '..');
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: [join(import.meta.dirname, 'standin.ts')],
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: `node${process.versions.node}`,
    minify: true,
    keepNames: true,
    write: false,
    logLevel: 'silent',
  });
  const [file] = outputFiles;
  if (!file) throw new Error('esbuild gave no bundle');
  return file.contents;
}
