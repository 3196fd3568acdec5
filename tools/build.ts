/**
 * Bundles src/main.ts into dist/: ES modules in chunks, so that `--version` loads the entry and little else.
 * Names and line breaks stay, because a stack trace in a bug report must be readable.
 * The same input gives the same bytes (test/tools/build.test.ts).
 */
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { build, type Metafile } from 'esbuild';
import { thirdParty } from './third-party.ts';

const root = resolve(import.meta.dirname, '..');

/** Bundles into `outdir`, which must exist, and gives what esbuild says about the result. */
export async function bundle(outdir: string): Promise<Metafile> {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string };
  const { metafile, outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { sandwarden: 'src/main.ts' },
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    // The oldest Node of package.json's engines.
    target: 'node22.18',
    chunkNames: 'chunks/[name]-[hash]',
    define: { SANDWARDEN_VERSION: JSON.stringify(version) },
    // Its `node` flavour is CommonJS, which can be neither shaken nor imported into a module without a shim.
    alias: { yaml: './node_modules/yaml/browser/index.js' },
    legalComments: 'none',
    logLevel: 'warning',
    metafile: true,
    write: false,
  });
  for (const { path, text } of outputFiles) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, path === join(outdir, 'sandwarden.js') ? withShebang(text) : text);
  }
  chmodSync(join(outdir, 'sandwarden.js'), 0o755);
  // What runs at boot before Node: the installer looks for it beside the program.
  copyFileSync(join(root, 'src/boot/early.sh'), join(outdir, 'early.sh'));
  chmodSync(join(outdir, 'early.sh'), 0o755);
  copyNative(outdir);
  writeFileSync(join(outdir, 'package.json'), `${JSON.stringify({ name: 'sandwarden', version, type: 'module' })}\n`);
  writeFileSync(join(outdir, 'THIRD_PARTY.txt'), thirdParty(root, metafile, ['node_modules/koffi']));
  return metafile;
}

/**
 * The bridge to libc that `watch` loads (src/watch/controllers/libc.ts), for glibc and musl. The package for the other
 * architecture is fetched by `make build`; without it `watch` does without names of writers there.
 */
function copyNative(outdir: string): void {
  mkdirSync(join(outdir, 'native'));
  for (const arch of ['x64', 'arm64']) {
    const homes = ['node_modules', '.tools/native/node_modules'].map((each) => {
      return join(root, each, '@koromix', `koffi-linux-${arch}`);
    });
    const home = homes.find((each) => existsSync(each));
    if (home === undefined) continue;
    for (const libc of ['linux', 'musl']) {
      copyFileSync(join(home, `${libc}_${arch}`, 'koffi.node'), join(outdir, 'native', `koffi-${libc}-${arch}.node`));
    }
  }
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { meta: { type: 'string' } } });
  const started = performance.now();
  mkdirSync(join(root, '.cache'), { recursive: true });
  const fresh = mkdtempSync(join(root, '.cache', 'build-'));
  try {
    const metafile = await bundle(fresh);
    if (values.meta !== undefined) writeFileSync(values.meta, JSON.stringify(metafile, null, 1));
    chmodSync(fresh, 0o755);
    // A program that runs from dist/ keeps a whole one: the old folder goes after the new one stands.
    const old = `${fresh}-old`;
    if (exists(join(root, 'dist'))) renameSync(join(root, 'dist'), old);
    renameSync(fresh, join(root, 'dist'));
    rmSync(old, { recursive: true, force: true });
    const bytes = Object.values(metafile.outputs).reduce((sum, output) => sum + output.bytes, 0);
    const took = Math.round(performance.now() - started);
    process.stdout.write(`build    dist/sandwarden.js (${Math.round(bytes / 1024)} KiB in all, ${took} ms)\n`);
  } catch (error) {
    // esbuild has already said which line of which file.
    if (!(error instanceof Error && 'errors' in error)) throw error;
    process.exitCode = 1;
  } finally {
    rmSync(fresh, { recursive: true, force: true });
  }
}

function withShebang(text: string): string {
  return text.startsWith('#!') ? text : `#!/usr/bin/env node\n${text}`;
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
