import type { Rule } from '../../diagnose/rule.ts';
import type { Diagnosis, Finding, Severity } from '../../model/finding.ts';
import { safeText } from '../../model/safe-text.ts';
import { version } from '../../model/version.ts';
import { jsonText } from './json.ts';
import { lookedAtSentence } from './looked-at.ts';
import { sentence } from './sentence.ts';
import { sourceNames } from './sources.ts';

/** A diagnosis as SARIF 2.1.0 (OASIS, sarif-v2.1.0-os): objects of a node are logical locations. */
export function sarifText(diagnosis: Diagnosis, findings: readonly Finding[], catalogue: readonly Rule[]): string {
  return jsonText({
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: 'sandwarden',
            version,
            rules: catalogue.map(ruleOf),
          },
        },
        invocations: [
          {
            executionSuccessful: diagnosis.state !== 'unobservable',
            toolExecutionNotifications: notesOf(diagnosis).map((text) => ({
              level: 'note',
              message: { text: safeText(text) },
            })),
          },
        ],
        results: findings.map((each) => resultOf(each, catalogue)),
        properties: { verdict: safeText(diagnosis.verdict), state: diagnosis.state },
      },
    ],
  });
}

function notesOf({ gaps, lookedAt }: Diagnosis): string[] {
  const choice = lookedAtSentence(lookedAt);
  const missing = gaps.map((gap) => `Not looked at: ${sourceNames[gap.source]}: ${gap.message}`);
  return choice === undefined ? missing : [...missing, choice];
}

const levels = { error: 'error', warning: 'warning', info: 'note' } as const satisfies Record<Severity, string>;

function ruleOf(rule: Rule) {
  return {
    id: rule.code,
    name: pascalCase(rule.name),
    shortDescription: { text: rule.title },
    fullDescription: { text: sentence(rule.says) },
    help: {
      text: `${rule.explanation}\n\n${sentence(rule.remedy.text)}`,
      markdown: `${rule.explanation}\n\n${sentence(rule.remedy.text)}`,
    },
    defaultConfiguration: { level: levels[rule.severity] },
  };
}

function resultOf(finding: Finding, catalogue: readonly Rule[]) {
  const index = catalogue.findIndex((each) => each.code === finding.code);
  const { object, remedy } = finding;
  const mend = remedy.command === undefined ? remedy.text : `${remedy.text} (${remedy.command})`;
  return {
    ruleId: finding.code,
    ...(index === -1 ? {} : { ruleIndex: index }),
    level: levels[finding.severity],
    message: { text: safeText(`${object.name}: ${finding.why} To mend it: ${mend}`) },
    locations: [
      {
        logicalLocations: [
          {
            name: safeText(object.name),
            fullyQualifiedName: safeText(`${object.kind}/${object.name}`),
            kind: 'resource',
          },
        ],
      },
    ],
    partialFingerprints: { 'sandwardenObject/v1': safeText(`${finding.code}/${object.id ?? object.name}`) },
    properties: {
      objectKind: object.kind,
      ...(object.id === undefined ? {} : { objectId: safeText(object.id) }),
      evidence: finding.evidence.map((each) => safeText(`${sourceNames[each.source]}: ${each.text}`)),
      tier: remedy.tier,
      pods: finding.pods.map((each) => safeText(each)),
    },
  };
}

function pascalCase(name: string): string {
  return name.replace(/(?:^|-)([a-z0-9])/g, (_, first: string) => first.toUpperCase());
}
