import { posix } from 'node:path';
import type { Offence, Source } from './source.ts';

/** Each relative link of a Markdown file leads to a file that is there and, with `#`, to a heading in it. */
export function links(sources: readonly Source[], exists: (path: string) => boolean): Offence[] {
  const documents = sources.filter((source) => source.path.endsWith('.md'));
  return documents.flatMap((source) => {
    const lines = withoutBlocks(source.lines).map((line) => line.replace(/`[^`]*`/g, ''));
    return lines.flatMap((text, index) => {
      const targets = [...text.matchAll(/\]\(<?([^)\s>]+)>?[^)]*\)|<(?:img|a)[^>]+(?:src|href)="([^"]+)"/g)];
      const broken = targets
        .map((match) => match[1] ?? match[2] ?? '')
        .filter((target) => isBroken(source.path, target, documents, exists));
      return broken.map((target) => ({ path: source.path, line: index + 1, what: `${target} is not there` }));
    });
  });
}

/** Each file of src/diagnose/rules is named by its code, defines that code and is in the catalogue. */
export function rules(sources: readonly Source[]): Offence[] {
  const catalogue = sources.find((source) => source.path === 'src/diagnose/catalogue.ts');
  const listed = new Set(catalogue?.imports.map((each) => posix.basename(each.specifier)));
  const files = sources.filter((source) => source.path.startsWith('src/diagnose/rules/'));
  return files.flatMap((source) => {
    const file = posix.basename(source.path);
    const problems: string[] = [];
    const code = /^(sw\d{3})\.ts$/.exec(file)?.[1]?.toUpperCase();
    if (code === undefined) problems.push('is not named by a code');
    else if (!source.text.includes(`code: '${code}'`)) problems.push(`does not define ${code}`);
    if (!listed.has(file)) problems.push('is not in src/diagnose/catalogue.ts');
    return problems.map((what) => ({ path: source.path, line: 1, what }));
  });
}

function isBroken(
  from: string,
  target: string,
  documents: readonly Source[],
  exists: (path: string) => boolean,
): boolean {
  if (/^[a-z][a-z+.-]*:|^\/\//i.test(target)) return false;
  const [file = '', anchor] = decodeURI(target).split('#');
  const path = file === '' ? from : posix.normalize(posix.join(posix.dirname(from), file));
  if (!exists(path)) return true;
  const document = documents.find((each) => each.path === path);
  return anchor !== undefined && document !== undefined && !anchorsOf(document).has(anchor);
}

/** The anchors that a page of headings gets: lower case, punctuation gone, spaces as hyphens, numbers for twins. */
function anchorsOf(document: Source): Set<string> {
  const anchors = new Set<string>();
  for (const line of withoutBlocks(document.lines)) {
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const text = heading.toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '');
    const slug = text.trim().replace(/\s/g, '-');
    let anchor = slug;
    for (let twin = 1; anchors.has(anchor); twin++) anchor = `${slug}-${twin}`;
    anchors.add(anchor);
  }
  return anchors;
}

/** The lines with those of code blocks blanked, so that the numbers stay. */
function withoutBlocks(lines: readonly string[]): string[] {
  let fenced = false;
  return lines.map((line) => {
    const fence = /^\s*(```|~~~)/.test(line);
    if (fence) fenced = !fenced;
    return fenced || fence ? '' : line;
  });
}
