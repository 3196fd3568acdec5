import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A directory of the test's own, removed with everything in it at the end of the scope (`await using`). */
export async function tempDir(): Promise<AsyncDisposable & { readonly path: string; join(name: string): string }> {
  const path = await mkdtemp(join(tmpdir(), 'sandwarden-test-'));
  return {
    path,
    join: (name) => join(path, name),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}
