// Goal: a report of check fits a screen and says nothing twice, and --show all keeps everything. Method: the recorded
// nodes at 80 columns, and laws over all of them and the fixtures.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnosisText, type Show } from '../../src/cli/render/diagnosis-text.ts';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import type { Diagnosis, Finding } from '../../src/model/finding.ts';
import { type RecordingOptions, readRecording } from '../helpers/recording.ts';
import { diagnoses } from './fixtures.ts';

const style = { width: 80, colour: false, unicode: true };
const wide = { ...style, width: 1_000_000 };
const short = (words: string) => words.replace(/\b[0-9a-f]{64}\b/g, (id) => id.slice(0, 13));
const linesOf = (text: string) => text.trimEnd().split('\n');
const report = (of: Diagnosis, show: Show = 'warning') => diagnosisText(of, style, show);

const recorded = [
  ['clock-step/stuck', {}, 45],
  ['cgroup-flapping', {}, 80],
  ['cgroup-flapping', { watched: true }, 80],
] as const satisfies readonly (readonly [string, RecordingOptions, number])[];

describe('the recorded nodes at 80 columns', () => {
  for (const [name, options, most] of recorded) {
    const diagnosis = diagnose(readRecording(name, options));
    test(`${name} ${JSON.stringify(options)}: at most ${most} lines`, () => {
      const lines = linesOf(report(diagnosis));
      assert.ok(lines.length <= most, `${lines.length} lines`);
    });
    test(`${name} ${JSON.stringify(options)}: each finding has its code, object, why, evidence and command`, () => {
      const text = diagnosisText(diagnosis, wide, 'warning');
      for (const each of diagnosis.findings.filter(({ severity }) => severity !== 'info')) {
        assert.match(text, new RegExp(`^${each.severity} ${each.code} .*${each.object.name}`, 'm'));
        assert.ok(text.includes(each.why), each.why);
        const [first] = each.evidence;
        assert.ok(text.includes(short(first?.text.replace(/ \(\d+ times\)$/, '') ?? '')), first?.text);
      }
    });
    test(`${name} ${JSON.stringify(options)}: --show all loses nothing`, () => assertWhole(diagnosis));
  }
});

for (const [name, diagnosis] of Object.entries(diagnoses)) {
  if (name !== 'hostile') test(`--show all of ${name} loses nothing`, () => assertWhole(diagnosis));
}

function assertWhole(diagnosis: Diagnosis): void {
  const text = diagnosisText(diagnosis, wide, 'all');
  const has = (words: string) => assert.ok(text.includes(short(words)) || text.includes(words), words);
  for (const { object, why, evidence, remedy, pods } of diagnosis.findings) {
    for (const words of [object.name, why, remedy.text, remedy.command ?? '', ...pods]) has(words);
    for (const each of evidence) has(each.text);
  }
  const quoted = (of: Finding) => of.evidence.map((each) => short(each.text));
  for (const each of diagnosis.findings.flatMap(quoted)) {
    const wanted = diagnosis.findings.flatMap(quoted).filter((other) => other === each).length;
    assert.ok(text.split(each).length > wanted, `${each}: with each finding that has it`);
  }
  for (const link of diagnosis.chain) {
    for (const words of [link.text, link.evidence, link.because ?? '', link.ends ?? '']) has(words);
    for (const other of link.others ?? []) for (const words of [other.text, other.decidedBy]) has(words);
  }
}

test('what the chain or another finding quotes is quoted once', () => {
  const text = diagnosisText(diagnose(readRecording('clock-step/stuck')), wide, 'warning');
  assert.equal(text.split('failed to reserve sandbox name').length - 1, 1);
  const flapping = diagnosisText(diagnose(readRecording('cgroup-flapping')), wide, 'warning');
  assert.equal(flapping.split('pid 2264 (sleep)').length - 1, 1);
});

describe('findings with the same words and the same cure', () => {
  test('are written once, and one command takes them all', () => {
    const text = report(diagnose(readRecording('clock-step/stuck')));
    assert.match(text, /^error SW102 default\/be\/0, default\/web\/0: /m);
    assert.equal(text.match(/sandwarden heal --only/g)?.length, 1);
    assert.match(text, /^ {8}sandwarden heal --only SW102$/m);
  });
  test('a command for all is not given where it would take more than these', () => {
    const [first, second, ...rest] = diagnoses.sick.findings as [Finding, Finding];
    const same = { ...second, why: first.why };
    const other = { ...first, severity: 'warning' as const, object: { ...first.object, name: 'default/x/0' } };
    const text = diagnosisText({ ...diagnoses.sick, findings: [first, same, other, ...rest] }, wide, 'error');
    assert.match(text, /--only SW102\/default\/web\/0\n.*--only SW102\/default\/be\/0\n/);
    assert.doesNotMatch(text, /--only SW102\n/);
  });
});

describe('the verdict comes again at the end', () => {
  const last = (height: number | undefined) => {
    const text = diagnosisText(diagnoses.sick, { ...style, ...(height === undefined ? {} : { height }) }, 'warning');
    return { isRepeated: text.split(diagnoses.sick.verdict.slice(0, 30)).length === 3, lines: linesOf(text) };
  };
  test('where the report is longer than the terminal', () => {
    const { lines } = last(1_000);
    assert.equal(last(lines.length).isRepeated, false);
    const longer = last(lines.length - 1);
    assert.ok(longer.isRepeated);
    assert.deepEqual(longer.lines.slice(-2), longer.lines.slice(0, 2));
  });
  test('without a terminal where it is longer than 40 lines', () => {
    assert.equal(last(undefined).isRepeated, last(1_000).lines.length > 40);
    const long = report(diagnose(readRecording('cgroup-flapping')));
    assert.deepEqual(linesOf(long).slice(-2), linesOf(long).slice(0, 2));
  });
});
