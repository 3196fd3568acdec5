import type { Rule } from '../../diagnose/rule.ts';
import { sentence } from './sentence.ts';

/** docs/findings/CODE.md of one rule. */
export function findingPage(rule: Rule): string {
  const tier = rule.remedy.tier === 'none' ? 'nothing to do, or by hand' : rule.remedy.tier;
  return `<!-- Made from the catalogue by tools/docs.ts: change src/diagnose/rules/, then run it again. -->
# ${rule.code}: ${rule.title}

\`${rule.name}\` · severity: ${rule.severity} · remedy: ${tier}

${sentence(rule.says)}

## What is going on

${rule.explanation.trim()}

## What the finding quotes

${sentence(rule.evidence)}

## What mends it

${sentence(rule.remedy.text)}

What may be done by whom is in [safety.md](../safety.md).

## Where this comes from

${rule.sources.map((each) => `- ${each}`).join('\n')}
`;
}

/** docs/findings/README.md: the list of all. */
export function findingIndex(catalogue: readonly Rule[]): string {
  return `<!-- Made from the catalogue by tools/docs.ts. -->
# Findings

Codes are stable and never reused. error: pods are down because of it. warning: they will be, or something is fragile.
info: explains.

${findingTable(catalogue, '')}
`;
}

/** The table of all findings, in Markdown; \`base\` is where the pages lie from the file that holds it. */
export function findingTable(catalogue: readonly Rule[], base: string): string {
  const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ');
  const rows = catalogue.map(
    (rule) =>
      `| [${rule.code}](${base}${rule.code}.md) | ${rule.severity} | ${cell(rule.says)} | ${rule.remedy.tier} |`,
  );
  return ['| code | severity | what it says | remedy |', '|---|---|---|---|', ...rows].join('\n');
}
