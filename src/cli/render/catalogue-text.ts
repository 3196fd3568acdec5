import type { Rule } from '../../diagnose/rule.ts';
import { columnsOf, hang, wrap } from './layout.ts';
import { sentence } from './sentence.ts';
import { paint, type Style, shown } from './style.ts';

/** What `explain CODE` prints: the definition of one finding, for a terminal. */
export function ruleText(rule: Rule, style: Style): string {
  const heading = (text: string) => ['', paint(style, 'bold', text)];
  const lines = [
    ...hang(`${paint(style, 'bold', rule.code)} ${shown(style, rule.title)}`, style.width, '', '      '),
    paint(style, 'dim', `${rule.name}, ${rule.severity}`),
    '',
    ...wrap(shown(style, sentence(rule.says)), style.width),
    ...heading('What is going on'),
    ...markdownLines(rule.explanation, style),
    ...heading('What the finding quotes'),
    ...markdownLines(sentence(rule.evidence), style),
    ...heading(`What mends it${rule.remedy.tier === 'none' ? '' : ` (${rule.remedy.tier})`}`),
    ...markdownLines(sentence(rule.remedy.text), style),
    ...heading('Where this comes from'),
    ...rule.sources.flatMap((each) => hang(shown(style, each), style.width, '  - ')),
  ];
  return `${lines.join('\n')}\n`;
}

/** What `findings` prints: the whole catalogue, a line or two for each. */
export function catalogueText(catalogue: readonly Rule[], style: Style): string {
  const lines = catalogue.flatMap((rule) => {
    const severity = rule.severity.padEnd(8);
    const head = `${paint(style, 'bold', rule.code)}  ${paint(style, severityPaint[rule.severity], severity)} `;
    return hang(shown(style, rule.title), style.width, head, ' '.repeat(columnsOf(head)));
  });
  return `${[...lines, '', "'sandwarden explain CODE' tells more about one."].join('\n')}\n`;
}

const severityPaint = { error: 'red', warning: 'yellow', info: 'blue' } as const;

/** Markdown as a terminal can show it: paragraphs and list items wrapped, blocks of code as they are, marks dropped. */
function markdownLines(markdown: string, style: Style): string[] {
  const lines: string[] = [];
  for (const block of markdown.trim().split(/\n{2,}/)) {
    if (lines.length > 0) lines.push('');
    if (/^( {4}|```)/.test(block)) {
      const code = block.split('\n').filter((each) => !each.startsWith('```'));
      lines.push(...code.map((each) => `    ${shown(style, each.replace(/^ {4}/, ''))}`));
      continue;
    }
    const items = block.split(/\n(?=\s*(?:[-*]|\d+\.) )/);
    for (const item of items) {
      const bullet = /^\s*([-*]|\d+\.) /.exec(item)?.[0] ?? '';
      const words = item
        .slice(bullet.length)
        .replace(/\s+/g, ' ')
        .replace(/[`]|\*\*/g, '');
      lines.push(...hang(shown(style, words), style.width, `  ${bullet}`));
    }
  }
  return lines;
}
