import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const folder = join(import.meta.dirname, 'golden');

/** Compares `actual` with the file test/cli/golden/NAME.golden; with UPDATE_GOLDEN=1 the file is written instead. */
export function assertGolden(name: string, actual: string): void {
  const path = join(folder, `${name}.golden`);
  if (process.env.UPDATE_GOLDEN === '1') {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, actual);
    return;
  }
  assert.equal(actual, readFileSync(path, 'utf8'), `${name} differs: look, then run again with UPDATE_GOLDEN=1`);
}
