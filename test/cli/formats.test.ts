// Goal: machines can read what is written for them. Method: golden files, and the rules of each format by a parser of
// its own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, test } from 'node:test';
import { jsonText } from '../../src/cli/render/json.ts';
import { junitText } from '../../src/cli/render/junit.ts';
import { sarifText } from '../../src/cli/render/sarif.ts';
import type { Diagnosis } from '../../src/model/finding.ts';
import { isSafeText } from '../../src/model/safe-text.ts';
import { diagnoses, plan, rules } from './fixtures.ts';
import { assertGolden } from './golden.ts';

const sarif = (of: Diagnosis) => sarifText(of, of.findings, rules);
const junit = (of: Diagnosis) => junitText(of, of.findings, rules, (each) => each.severity !== 'info');

describe('JSON', () => {
  for (const name of ['sick', 'hostile'] as const) {
    test(name, () => {
      const text = jsonText(diagnoses[name]);
      assertGolden(`check-${name}.json`, text);
      assert.ok(isSafeText(text.replaceAll('\n', '')), 'nothing that a terminal obeys');
      const exact = JSON.parse(
        JSON.stringify(diagnoses[name], (_, each) => (typeof each === 'bigint' ? `${each}` : each)),
      );
      assert.deepEqual(JSON.parse(text), exact, 'and nothing is lost');
    });
  }
  test('64-bit times are exact', () => {
    const parsed = JSON.parse(jsonText(plan));
    assert.equal(parsed.actions[0].guard.createdAtNs, '1795290000000000000');
  });
});

describe('SARIF', () => {
  for (const [name, diagnosis] of Object.entries(diagnoses)) {
    test(name, () => {
      const text = sarif(diagnosis);
      if (name !== 'many') assertGolden(`check-${name}.sarif`, text);
      checkSarif(JSON.parse(text));
    });
  }
});

/** The rules of sarif-v2.1.0-os that concern what we write (sections 3.13, 3.14, 3.19, 3.27, 3.33, 3.49). */
function checkSarif(log: Record<string, never>): void {
  const { version, runs } = log as unknown as { version: string; runs: Run[] };
  assert.equal(version, '2.1.0');
  assert.equal(runs.length, 1);
  const { tool, results, invocations } = runs[0] as Run;
  assert.equal(tool.driver.name, 'sandwarden');
  const ids = tool.driver.rules.map((each) => each.id);
  assert.equal(new Set(ids).size, ids.length, 'rule ids are unique');
  for (const rule of tool.driver.rules) {
    assert.ok(rule.shortDescription.text && rule.fullDescription.text && rule.help.text);
    assert.match(rule.name, /^[A-Z][A-Za-z0-9]+$/);
    assert.ok(levels.includes(rule.defaultConfiguration.level));
  }
  assert.equal(typeof invocations[0]?.executionSuccessful, 'boolean');
  for (const result of results) {
    if (result.ruleIndex !== undefined) assert.equal(ids[result.ruleIndex], result.ruleId);
    assert.ok(levels.includes(result.level));
    assert.ok(result.message.text.length > 0);
    for (const { logicalLocations } of result.locations) {
      for (const each of logicalLocations) assert.ok(each.name && each.fullyQualifiedName && each.kind);
    }
    for (const value of Object.values(result.partialFingerprints)) assert.equal(typeof value, 'string');
  }
}

const levels = ['none', 'note', 'warning', 'error'];
interface Run {
  tool: { driver: { name: string; rules: SarifRule[] } };
  invocations: { executionSuccessful: boolean }[];
  results: {
    ruleId: string;
    ruleIndex?: number;
    level: string;
    message: { text: string };
    locations: { logicalLocations: { name: string; fullyQualifiedName: string; kind: string }[] }[];
    partialFingerprints: Record<string, string>;
  }[];
}
interface SarifRule {
  id: string;
  name: string;
  shortDescription: { text: string };
  fullDescription: { text: string };
  help: { text: string };
  defaultConfiguration: { level: string };
}

describe('JUnit', () => {
  for (const [name, diagnosis] of Object.entries(diagnoses)) {
    test(name, () => {
      const text = junit(diagnosis);
      if (name !== 'many') assertGolden(`check-${name}.xml`, text);
      const counts = checkXml(text);
      const suite = /<testsuite [^>]*tests="(\d+)" failures="(\d+)" errors="(\d+)" skipped="(\d+)"/.exec(text);
      assert.deepEqual(
        [counts.testcase, counts.failure, counts.error, counts.skipped].map((each) => each ?? 0),
        suite?.slice(1).map(Number),
        'the counts say what is there',
      );
    });
  }
  test('xmllint agrees', { skip: spawnSync('xmllint', ['--version']).error && 'xmllint is not installed' }, () => {
    const result = spawnSync('xmllint', ['--noout', '-'], { input: junit(diagnoses.hostile), encoding: 'utf8' });
    assert.equal(result.stderr, '');
    assert.equal(result.status, 0);
  });
});

/**
 * Well-formed by XML 1.0: legal characters, matching tags, quoted attributes, no stray markup. Gives how often each
 * tag stands.
 */
function checkXml(text: string): Record<string, number> {
  assert.match(text, /^(?:[\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}])*$/u);
  const open: string[] = [];
  const counts: Record<string, number> = {};
  const body = text.replace(/^<\?xml version="1.0" encoding="UTF-8"\?>\n/, '');
  const rest = body.replace(/<(\/?)([a-z-]+)((?: [a-z]+="[^"<]*")*)(\/?)>/g, (_, end, tag, _attributes, empty) => {
    if (end) assert.equal(open.pop(), tag);
    else counts[tag] = (counts[tag] ?? 0) + 1;
    if (!end && !empty) open.push(tag);
    return '';
  });
  assert.deepEqual(open, []);
  assert.doesNotMatch(rest, /[<>]/);
  assert.doesNotMatch(body, /&(?!amp;|lt;|gt;|quot;)/);
  return counts;
}
