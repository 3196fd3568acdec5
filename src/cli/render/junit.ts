import type { Rule } from '../../diagnose/rule.ts';
import type { Diagnosis, Finding } from '../../model/finding.ts';
import { safeText } from '../../model/safe-text.ts';
import { lookedAtSentence } from './looked-at.ts';
import { sourceNames } from './sources.ts';

/**
 * A diagnosis as JUnit XML: a test case for each finding and for each rule that found nothing.
 * `fails` decides which findings are failures (--fail-on); the others pass and are written to system-out.
 * What could not be looked at is a skipped test case, and so is a rule that needs it: it has not passed.
 */
export function junitText(
  diagnosis: Diagnosis,
  findings: readonly Finding[],
  catalogue: readonly Rule[],
  fails: (finding: Finding) => boolean,
): string {
  const found = new Set(diagnosis.findings.map((each) => each.code));
  const quiet = catalogue.filter((rule) => !found.has(rule.code));
  const failures = findings.filter(fails).length;
  const { gaps } = diagnosis;
  const lookedAt = lookedAtSentence(diagnosis.lookedAt);
  const blind = new Map(diagnosis.notJudged.map((each) => [each.code, each]));
  const skipped = gaps.length + quiet.filter((rule) => blind.has(rule.code)).length;
  const errors = diagnosis.state === 'unobservable' ? 1 : 0;
  const tests = findings.length + quiet.length + gaps.length + errors;
  const counts = attributes({ tests, failures, errors, skipped });
  const lines = [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites ${attributes({ name: 'sandwarden', tests, failures, errors })}>`,
    `  <testsuite ${attributes({ name: 'sandwarden check' })} ${counts}>`,
    '    <properties>',
    `      <property ${attributes({ name: 'verdict', value: diagnosis.verdict })}/>`,
    `      <property ${attributes({ name: 'state', value: diagnosis.state })}/>`,
    ...(lookedAt === undefined ? [] : [`      <property ${attributes({ name: 'lookedAt', value: lookedAt })}/>`]),
    '    </properties>',
  ];
  if (errors > 0) {
    const name = attributes({ classname: 'sandwarden', name: 'the node can be observed' });
    lines.push(`    <testcase ${name}>`);
    lines.push(`      <error ${attributes({ message: diagnosis.verdict })}/>`, '    </testcase>');
  }
  for (const each of findings) lines.push(...findingCase(each, titleOf(each, catalogue), fails(each)));
  for (const rule of quiet) {
    const testcase = `<testcase ${attributes({ classname: `sandwarden.${rule.code}`, name: rule.title })}`;
    const missing = blind.get(rule.code);
    if (missing === undefined) {
      lines.push(`    ${testcase}/>`);
      continue;
    }
    const message = `not judged without ${sourceNames[missing.source]}: ${missing.message}`;
    lines.push(`    ${testcase}>`, `      <skipped ${attributes({ message })}/>`, '    </testcase>');
  }
  for (const gap of gaps) {
    const name = attributes({ classname: 'sandwarden.observe', name: sourceNames[gap.source] });
    const message = attributes({ message: `${gap.message}${gap.hint === '' ? '' : ` ${gap.hint}`}` });
    lines.push(`    <testcase ${name}>`, `      <skipped ${message}/>`, '    </testcase>');
  }
  lines.push('  </testsuite>', '</testsuites>');
  return `${lines.join('\n')}\n`;
}

function findingCase(finding: Finding, title: string, fails: boolean): string[] {
  const name = attributes({ classname: `sandwarden.${finding.code}`, name: `${finding.object.name}: ${title}` });
  const { remedy } = finding;
  const body = [
    finding.why,
    ...finding.evidence.map((each) => `${sourceNames[each.source]}: ${each.text}`),
    `mend: ${remedy.text}${remedy.command === undefined ? '' : `: ${remedy.command}`}`,
  ]
    .map(escapeXml)
    .join('\n');
  const message = attributes({ message: finding.why, type: finding.severity });
  const inner = fails ? `      <failure ${message}>${body}</failure>` : `      <system-out>${body}</system-out>`;
  return [`    <testcase ${name}>`, inner, '    </testcase>'];
}

function titleOf(finding: Finding, catalogue: readonly Rule[]): string {
  return catalogue.find((each) => each.code === finding.code)?.title ?? finding.code;
}

function attributes(of: Readonly<Record<string, string | number>>): string {
  return Object.entries(of)
    .map(([name, value]) => `${name}="${escapeXml(String(value))}"`)
    .join(' ');
}

/**
 * safeText has made every character visible that XML 1.0 forbids; what is left are its own marks and the two
 * noncharacters.
 */
function escapeXml(text: string): string {
  return safeText(text)
    .replace(/[\ufffe\uffff]/g, '\ufffd')
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
