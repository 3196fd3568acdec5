/** Goal: the hand-made archive is an OCI image. Method: tar reads it; every digest matches its content. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { pauseImageArchive } from '../../lab/pause-image.ts';
import { run } from '../../lab/run.ts';

test('the archive unpacks to a layout whose blobs are named by their digests', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'sandwarden-image-'));
  try {
    await writeFile(join(folder, 'image.tar'), pauseImageArchive(Buffer.from('a busybox'), 'amd64'));
    await run('tar', ['-xf', join(folder, 'image.tar'), '-C', folder]);
    const blobs = join(folder, 'blobs', 'sha256');
    const names = await readdir(blobs);
    assert.equal(names.length, 3);
    for (const name of names) {
      const content = await readFile(join(blobs, name));
      assert.equal(createHash('sha256').update(content).digest('hex'), name);
    }
    const index = JSON.parse(await readFile(join(folder, 'index.json'), 'utf8')) as {
      manifests: { digest: string; annotations: Record<string, string> }[];
    };
    assert.deepEqual(
      index.manifests.map(({ annotations }) => annotations['io.containerd.image.name']),
      ['sandwarden.test/pause:1', 'sandwarden.test/workload:1'],
    );
    const [first] = index.manifests;
    const manifest = JSON.parse(await readFile(join(blobs, first?.digest.slice(7) ?? ''), 'utf8')) as {
      layers: { digest: string }[];
    };
    const layer = join(blobs, manifest.layers[0]?.digest.slice(7) ?? '');
    const { stdout } = await run('tar', ['-tf', layer]);
    assert.ok(stdout.split('\n').includes('bin/busybox'));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});
