import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { isBuiltin } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { promisify } from 'node:util';
import type { Metafile } from 'esbuild';
import { bundle } from '../../tools/build.ts';

const run = promisify(execFile);

describe('the bundle', () => {
  let folder = '';
  let meta: Metafile;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'sandwarden-build-'));
    meta = await bundle(join(folder, 'one'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  test('is the same, byte for byte, from the same input', async () => {
    await bundle(join(folder, 'two'));
    assert.deepEqual(contents(join(folder, 'two')), contents(join(folder, 'one')));
  });

  test('imports nothing but Node', () => {
    const outside = Object.values(meta.outputs).flatMap((output) => output.imports.filter((each) => each.external));
    const foreign = outside.map((each) => each.path).filter((path) => !isBuiltin(path));
    assert.deepEqual(foreign, []);
  });

  test('says its version without loading the rest', async () => {
    const entry = Object.entries(meta.outputs).find(([path]) => path.endsWith('/sandwarden.js'));
    assert.ok(entry);
    assert.ok(entry[1].bytes < 20_000, `the entry has ${entry[1].bytes} bytes`);
    const eager = entry[1].imports.filter((each) => each.kind === 'import-statement' && !each.external);
    const heavy = eager.filter((each) => Object.keys(meta.outputs[each.path]?.inputs ?? {}).some(isPackage));
    assert.deepEqual(heavy, []);
    const { stdout } = await run(process.execPath, [join(folder, 'one/sandwarden.js'), '--version']);
    const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { version: string };
    assert.equal(stdout, `sandwarden ${version}\n`);
  });

  test('tells the licences of what is in it', () => {
    const text = readFileSync(join(folder, 'one/THIRD_PARTY.txt'), 'utf8');
    const packages = new Set(Object.keys(meta.inputs).filter(isPackage).map(packageOf));
    assert.ok(packages.has('@bufbuild/protobuf'));
    for (const name of packages) assert.match(text, new RegExp(`^${name} \\d`, 'm'));
    assert.match(text, /Copyright 2008 Google Inc\./);
  });
});

function contents(folder: string): Record<string, string> {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((each) => each.isFile());
  const paths = entries.map((each) => join(each.parentPath, each.name)).sort();
  return Object.fromEntries(paths.map((path) => [path.slice(folder.length), readFileSync(path, 'latin1')]));
}

function isPackage(input: string): boolean {
  return input.includes('node_modules/');
}

function packageOf(input: string): string {
  return /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(input)?.[1] ?? input;
}
