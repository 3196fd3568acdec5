/** The licences of what is bundled, as one text. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

/**
 * Name, version and licence of each package of which the bundle holds at least one byte, and of those whose files are
 * `copied` beside it (folders from `root`), sorted by folder, with its
 * licence files; where a package has none, with the notices at the heads of the bundled files.
 * Throws where a package states no licence: then it must not be shipped before somebody looked.
 */
export function thirdParty(root: string, metafile: Metafile, copied: readonly string[] = []): string {
  const packages = new Map<string, string[]>(copied.map((folder) => [folder, []]));
  for (const output of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const folder = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0];
      if (folder === undefined || bytesInOutput === 0) continue;
      packages.set(folder, [...(packages.get(folder) ?? []), input]);
    }
  }
  const parts = [...packages]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([folder, inputs]) => part(root, folder, inputs));
  return `Sandwarden contains the following works of others. Apache-2.0 is the licence in LICENSE.\n${parts.join('')}`;
}

function part(root: string, folder: string, inputs: readonly string[]): string {
  const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Manifest;
  if (license === undefined) throw new Error(`${name}@${version} states no licence`);
  const files = readdirSync(join(root, folder)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file));
  const texts = files.sort().map((file) => readFileSync(join(root, folder, file), 'utf8').trim());
  if (texts.length === 0) {
    const heads = inputs.map((input) => headOf(readFileSync(join(root, input), 'utf8')));
    texts.push(...[...new Set(heads)].filter((head) => /copyright/i.test(head)).sort());
  }
  return `\n${'='.repeat(80)}\n${name} ${version} (${license})\n\n${texts.join('\n\n')}\n`;
}

/** The comment lines that a file begins with. */
function headOf(text: string): string {
  const head = /^(?:\s*\/\/.*\n)+/.exec(text)?.[0] ?? '';
  return head.replace(/^\s*\/\/ ?/gm, '').trim();
}
