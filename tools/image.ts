/**
 * Puts the program and the Node that runs it into an image, as an archive that needs no registry to be made:
 * `image.ts --name NAME --node FOLDER`, with the folder of a node-linux-* package, writes
 * dist/sandwarden-image-<amd64|arm64>.tar. Nothing else is in the image: the debug pod of `sandwarden --node NAME
 * --program-image IMAGE` copies it to the node, whose own libraries it needs.
 */
import { existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { imageFolder } from '../src/cli/remote/put.ts';
import { imageArchive, type TarEntry } from './oci-image.ts';

const root = resolve(import.meta.dirname, '..');

export interface ProgramImage {
  /** As one would write it for docker: `sandwarden:0.1.0`. */
  readonly name: string;
  /** The bundle, with sandwarden.js in it. */
  readonly dist: string;
  /** A folder with bin/node and LICENSE. */
  readonly node: string;
  /** Without it the archive is three times as large and made in a second. */
  readonly gzip?: boolean;
}

/**
 * The image's archive, and what it is for. Throws an Error for a name that is none, and for a Node that is none for
 * Linux on amd64 or arm64.
 */
export function programImage(of: ProgramImage): { archive: Uint8Array; architecture: string } {
  const { name, dist, node, gzip = true } = of;
  const names = [fullName(name)];
  const binary = readFileSync(join(node, 'bin/node'));
  const architecture = architectureOf(binary);
  const { version } = JSON.parse(readFileSync(join(dist, 'package.json'), 'utf8')) as { version: string };
  const folder = `${imageFolder.slice(1)}/`;
  const file = (path: string, data: Uint8Array, mode = 0o644): TarEntry => {
    return { name: folder + path, type: '0', data, mode };
  };
  const entries: TarEntry[] = [
    { name: folder, type: '5' },
    file('LICENSE', readFileSync(join(root, 'LICENSE'))),
    file('LICENSE.node', readFileSync(join(node, 'LICENSE'))),
    file('architecture', Buffer.from(`${architecture}\n`)),
    { name: `${folder}dist/`, type: '5' },
    ...bundleEntries(dist, `${folder}dist/`),
    file('node', binary, 0o755),
  ];
  const Labels = {
    'org.opencontainers.image.title': 'sandwarden',
    'org.opencontainers.image.version': version,
    'org.opencontainers.image.licenses': 'Apache-2.0',
    'org.opencontainers.image.description': 'The program of sandwarden --node NAME --program-image IMAGE COMMAND',
  };
  // No entrypoint: there is no libc in it, so by itself it runs nowhere.
  return { archive: imageArchive({ architecture, entries, config: { Labels }, names, gzip }), architecture };
}

/** All of the bundle, in one order everywhere; an image of before that lies there is not part of it. */
function bundleEntries(dist: string, into: string): TarEntry[] {
  const found = readdirSync(dist, { recursive: true, withFileTypes: true });
  const paths = found.map((each) => {
    const path = join(each.parentPath, each.name).slice(dist.length + 1);
    return each.isDirectory() ? `${path}/` : path;
  });
  const wanted = paths.filter((path) => !/^[^/]*\.tar$/.test(path)).sort((a, b) => (a < b ? -1 : 1));
  return wanted.map((path) => {
    if (path.endsWith('/')) return { name: into + path, type: '5' };
    const isProgram = (statSync(join(dist, path)).mode & 0o100) !== 0;
    return { name: into + path, type: '0', data: readFileSync(join(dist, path)), mode: isProgram ? 0o755 : 0o644 };
  });
}

/** By the head of an ELF file. Source: elf(5), e_ident and e_machine; 62 is EM_X86_64, 183 EM_AARCH64. */
function architectureOf(binary: Uint8Array): string {
  const head = Buffer.from(binary.subarray(0, 20));
  const machine = head.length === 20 && head.readUInt32BE(0) === 0x7f454c46 ? head.readUInt16LE(18) : 0;
  const name = { 62: 'amd64', 183: 'arm64' }[machine];
  if (name === undefined) throw new Error('bin/node is no program for Linux on amd64 or arm64');
  return name;
}

/**
 * A name as a node's runtime looks for it: with its registry, and with a tag. Source: distribution/reference,
 * reference.go and normalize.go.
 */
export function fullName(typed: string): string {
  const [, path = '', tag = 'latest'] = /^(.*?)(?::([^/:]*))?$/.exec(typed) ?? [];
  const [first = '', ...rest] = path.split('/');
  const hasRegistry = rest.length > 0 && (/[.:]/.test(first) || first === 'localhost');
  const folder = rest.length > 0 ? '' : 'library/';
  const full = hasRegistry ? path : `docker.io/${folder}${path}`;
  const part = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
  const whole = new RegExp(`^[a-zA-Z0-9.-]+(?::\\d+)?(?:/${part})+$`);
  if (!whole.test(full) || !/^\w[\w.-]{0,127}$/.test(tag)) throw new Error(`'${typed}' is no name of an image`);
  return `${full}:${tag}`;
}

if (import.meta.main) main();

function main(): void {
  const { values } = parseArgs({ options: { name: { type: 'string' }, node: { type: 'string' } } });
  const { name, node } = values;
  const dist = join(root, 'dist');
  try {
    if (name === undefined || node === undefined) throw new Error('--name NAME and --node FOLDER are missing');
    if (!existsSync(join(dist, 'sandwarden.js'))) throw new Error('dist/ is not built (make build)');
    const { archive, architecture } = programImage({ name, dist, node });
    const path = `dist/sandwarden-image-${architecture}.tar`;
    const fresh = join(dist, `sandwarden-image-${architecture}.new.tar`);
    writeFileSync(fresh, archive);
    renameSync(fresh, join(root, path));
    const megabytes = Math.round(archive.length / 1_000_000);
    process.stdout.write(`image    ${path} (${fullName(name)}, ${megabytes} MB)\n`);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
