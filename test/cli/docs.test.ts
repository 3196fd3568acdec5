// Goal: what is written for people is what the program does. Method: generated files against their source, tables
// against the code.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { commands } from '../../src/cli/frame/commands.ts';
import { ExitCode } from '../../src/model/errors.ts';
import { outdated } from '../../tools/docs.ts';

const read = (path: string) => readFileSync(join(resolve(import.meta.dirname, '../..'), path), 'utf8');

test('docs/findings and the table in README.md are what the catalogue gives', () => {
  assert.deepEqual(outdated(), [], "run 'make docs'");
});

test('every exit code is documented', () => {
  const table = read('docs/exit-codes.md');
  for (const [name, code] of Object.entries(ExitCode)) assert.match(table, new RegExp(`^\\| ${code} \\|`, 'm'), name);
});

test('every format that a command can write is documented', () => {
  const text = read('docs/output.md');
  for (const format of commands.flatMap((each) => each.options.find((one) => one.name === 'output')?.choices ?? [])) {
    assert.ok(text.toLowerCase().includes(format), format);
  }
});

test('what README.md links to is there', () => {
  for (const [, path] of read('README.md').matchAll(/\]\(([^)#:]+)\)/g)) read(path ?? '');
});
