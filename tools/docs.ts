/**
 * Makes docs/findings/ and the table of findings in README.md from the catalogue. With --check nothing is written
 * and the
 * exit code says whether something would be: test/cli/docs.test.ts runs the same comparison.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { findingIndex, findingPage, findingTable } from '../src/cli/render/finding-page.ts';
import { catalogue } from '../src/diagnose/catalogue.ts';

const root = resolve(import.meta.dirname, '..');
const folder = join(root, 'docs', 'findings');
const BEGIN = '<!-- findings: made by tools/docs.ts -->';
const END = '<!-- /findings -->';

/** Every file that is made, by its path from the root; undefined stands for a page that no rule has any more. */
export function generated(): Map<string, string | undefined> {
  const files = new Map<string, string | undefined>();
  for (const name of listed()) files.set(`docs/findings/${name}`, undefined);
  files.set('docs/findings/README.md', findingIndex(catalogue));
  for (const rule of catalogue) files.set(`docs/findings/${rule.code}.md`, findingPage(rule));
  files.set('README.md', withTable(readFileSync(join(root, 'README.md'), 'utf8')));
  return files;
}

/** The paths whose content on disk is not what the catalogue gives. */
export function outdated(): string[] {
  return [...generated()].filter(([path, text]) => contentOf(path) !== text).map(([path]) => path);
}

if (import.meta.main) {
  if (process.argv.includes('--check')) {
    const stale = outdated();
    for (const path of stale) process.stderr.write(`docs     ${path} is not up to date: run 'make docs'\n`);
    process.exitCode = stale.length === 0 ? 0 : 1;
  } else {
    mkdirSync(folder, { recursive: true });
    for (const [path, text] of generated()) {
      if (text === undefined) rmSync(join(root, path));
      else writeFileSync(join(root, path), text);
    }
    process.stdout.write(`docs     docs/findings (${catalogue.length} pages)\n`);
  }
}

function withTable(readme: string): string {
  const [begin, end] = [readme.indexOf(BEGIN), readme.indexOf(END)];
  if (begin === -1 || end < begin) throw new Error(`README.md has no '${BEGIN}' … '${END}'`);
  return `${readme.slice(0, begin)}${BEGIN}\n${findingTable(catalogue, 'docs/findings/')}\n${readme.slice(end)}`;
}

function contentOf(path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

function listed(): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith('.md'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
