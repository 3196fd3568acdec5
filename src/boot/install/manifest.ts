import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { SandwardenError } from '../../model/errors.ts';
import type { Rooted } from '../../observe/installed/rooted.ts';

/** Where the installer remembers what it wrote. */
export const manifestPath = '/var/lib/sandwarden/install.json';

const absolute = v.pipe(v.string(), v.regex(/^\/[^\0]{1,4000}$/), v.excludes('/../'));
const schema = v.object({
  format: v.literal('sandwarden.install/1'),
  /** `installing`: it was cut off, and some of what is listed may not be there. */
  state: v.picklist(['installing', 'installed']),
  version: v.string(),
  layout: v.string(),
  files: v.array(
    v.object({
      path: absolute,
      sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
      /** A foreign file that --force replaced; uninstall puts it back. */
      replaced: v.exactOptional(v.object({ mode: v.number(), base64: v.pipe(v.string(), v.base64()) })),
    }),
  ),
  links: v.array(v.object({ path: absolute, target: v.string() })),
  /** Folders that were made, outermost first. */
  folders: v.array(absolute),
});

export type Manifest = v.InferOutput<typeof schema>;

/** What was installed; undefined where nothing was. Throws ERR_CONFIG for a file that is cut off or not ours. */
export async function readManifest(files: Rooted): Promise<Manifest | undefined> {
  const text = await files.read(manifestPath);
  if (text === undefined) return undefined;
  const parsed = v.safeParse(schema, jsonOf(text));
  if (parsed.success) return parsed.output;
  throw new SandwardenError('ERR_CONFIG', `${manifestPath} is cut off or damaged: what was installed is not known`, {
    hint:
      `'sandwarden install --force' writes everything anew and makes a new one; then 'sandwarden uninstall' works. ` +
      'Nothing was changed.',
  });
}

/** The manifest as it is written. */
export function renderManifest(manifest: Manifest): string {
  return `${JSON.stringify(manifest, undefined, 1)}\n`;
}

/** SHA-256 of a file's content, in hexadecimal. */
export function sha256(content: Buffer | string): string {
  return createHash('sha256').update(content).digest('hex');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
