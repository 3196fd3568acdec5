// Goal: the image of our own is what the debug pod looks for, and the same from the same input. Method: tar reads what
// was written, and every digest is compared; the bundle and Node are small ones.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { run } from '../../lab/run.ts';
import { imageFolder } from '../../src/cli/remote/put.ts';
import { fullName, programImage } from '../../tools/image.ts';
import { tempDir } from '../helpers/temp.ts';

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
  readonly annotations?: Record<string, string>;
}

/** A bundle and a Node for a machine of that number (elf(5), e_machine). */
async function parts(folder: string, machine: number) {
  const [dist, node] = [`${folder}/dist`, `${folder}/node`];
  await mkdir(`${dist}/chunks`, { recursive: true });
  await mkdir(`${node}/bin`, { recursive: true });
  await writeFile(`${dist}/sandwarden.js`, 'the program', { mode: 0o755 });
  await writeFile(`${dist}/chunks/one.js`, 'a chunk');
  await writeFile(`${dist}/package.json`, '{"version":"1.2.3"}');
  await writeFile(`${dist}/sandwarden-image-amd64.tar`, 'an image of before');
  await writeFile(`${node}/LICENSE`, 'of Node');
  const elf = Buffer.alloc(1_000, 'x');
  elf.write('\x7fELF', 0, 'latin1');
  elf.writeUInt16LE(machine, 18);
  await writeFile(`${node}/bin/node`, elf, { mode: 0o755 });
  return { name: 'sandwarden:1.2.3', dist, node };
}

test('the archive is an OCI layout with the program, for the architecture that its Node is for', async () => {
  for (const [machine, architecture] of [
    [62, 'amd64'],
    [183, 'arm64'],
  ] as const) {
    await using folder = await tempDir();
    const made = programImage(await parts(folder.path, machine));
    assert.equal(made.architecture, architecture);
    await writeFile(folder.join('image.tar'), made.archive);
    await mkdir(folder.join('layout'));
    await run('tar', ['-xf', folder.join('image.tar'), '-C', folder.join('layout')]);
    const json = async (path: string) => JSON.parse(await readFile(folder.join(`layout/${path}`), 'utf8'));
    const blob = async ({ digest, size }: Descriptor) => {
      const path = `blobs/${digest.replace(':', '/')}`;
      const content = await readFile(folder.join(`layout/${path}`));
      assert.equal(`sha256:${createHash('sha256').update(content).digest('hex')}`, digest);
      assert.equal(content.length, size);
      return path;
    };
    const { manifests } = (await json('index.json')) as { manifests: Descriptor[] };
    assert.deepEqual(
      manifests.map((each) => each.annotations),
      [
        {
          'io.containerd.image.name': 'docker.io/library/sandwarden:1.2.3',
          'org.opencontainers.image.ref.name': '1.2.3',
        },
      ],
    );
    const manifest = await json(await blob(manifests[0] ?? assert.fail()));
    const configPath = await blob(manifest.config);
    const config = await json(configPath);
    assert.deepEqual([config.architecture, config.os], [architecture, 'linux']);
    assert.equal(config.config.Labels['org.opencontainers.image.version'], '1.2.3');
    assert.equal(manifest.layers.length, 1);
    const layer = await blob(manifest.layers[0]);
    const docker = [{ Config: configPath, RepoTags: ['docker.io/library/sandwarden:1.2.3'], Layers: [layer] }];
    assert.deepEqual(await json('manifest.json'), docker);
    assert.deepEqual(await listed(folder.join(`layout/${layer}`)), [
      'drwxr-xr-x 0/0 1970-01-01 /sandwarden/',
      '-rw-r--r-- 0/0 1970-01-01 /sandwarden/LICENSE',
      '-rw-r--r-- 0/0 1970-01-01 /sandwarden/LICENSE.node',
      '-rw-r--r-- 0/0 1970-01-01 /sandwarden/architecture',
      'drwxr-xr-x 0/0 1970-01-01 /sandwarden/dist/',
      'drwxr-xr-x 0/0 1970-01-01 /sandwarden/dist/chunks/',
      '-rw-r--r-- 0/0 1970-01-01 /sandwarden/dist/chunks/one.js',
      '-rw-r--r-- 0/0 1970-01-01 /sandwarden/dist/package.json',
      '-rwxr-xr-x 0/0 1970-01-01 /sandwarden/dist/sandwarden.js',
      '-rwxr-xr-x 0/0 1970-01-01 /sandwarden/node',
    ]);
    const { stdout } = await run('tar', ['-xOf', folder.join(`layout/${layer}`), 'sandwarden/architecture']);
    assert.equal(stdout, `${architecture}\n`);
  }
});

/** `MODE OWNER DATE /NAME` of each entry. */
async function listed(archive: string): Promise<string[]> {
  assert.equal(imageFolder, '/sandwarden');
  const env = { ...process.env, TZ: 'UTC', LC_ALL: 'C' };
  const { stdout } = await run('tar', ['--numeric-owner', '-tvzf', archive], { env });
  const lines = stdout.trim().split('\n');
  return lines.map((line) => line.replace(/^(\S+) +(\S+) +\d+ (\S+) 00:00 (.*)$/, '$1 $2 $3 /$4'));
}

test('the same input gives the same bytes, wherever it lies and whenever it was written', async () => {
  await using one = await tempDir();
  await using other = await tempDir();
  const archives = [];
  for (const { path } of [one, other]) archives.push(programImage(await parts(path, 62)).archive);
  assert.ok(Buffer.from(archives[0] ?? []).equals(archives[1] ?? new Uint8Array()));
});

test('a name is made whole as a runtime does it; what is none, and a Node that is none, is refused', async () => {
  const cases = {
    'sandwarden:0.1.0': 'docker.io/library/sandwarden:0.1.0',
    'me/sw': 'docker.io/me/sw:latest',
    'localhost:5000/sw:1': 'localhost:5000/sw:1',
    'localhost/sw': 'localhost/sw:latest',
    'registry.example/a/b__c:x-1': 'registry.example/a/b__c:x-1',
  };
  for (const [typed, full] of Object.entries(cases)) assert.equal(fullName(typed), full);
  for (const typed of ['', 'a:', ':1', 'A/b:1', 'a//b', 'a b', 'registry.example/', `x@sha256:${'0'.repeat(64)}`]) {
    assert.throws(() => fullName(typed), /is no name of an image/, typed);
  }
  await using folder = await tempDir();
  const windows = await parts(folder.path, 62);
  await writeFile(`${windows.node}/bin/node`, 'MZ');
  assert.throws(() => programImage(windows), /no program for Linux on amd64 or arm64/);
  const riscv = await parts(folder.path, 243);
  assert.throws(() => programImage(riscv), /no program for Linux on amd64 or arm64/);
});
