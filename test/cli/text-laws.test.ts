// Goal: whatever a node says, a report stays readable. Method: laws over all fixtures and over random text.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { diagnosisText } from '../../src/cli/render/diagnosis-text.ts';
import { columnsOf, hang, wrap } from '../../src/cli/render/layout.ts';
import { planText } from '../../src/cli/render/plan-text.ts';
import { isSafeText } from '../../src/model/safe-text.ts';
import { diagnoses, hostile, plan } from './fixtures.ts';

for (const [name, diagnosis] of Object.entries(diagnoses)) {
  for (const width of [40, 57, 80, 120]) {
    test(`check of ${name} fits ${width} columns, except for commands that are pasted`, () => {
      for (const line of diagnosisText(diagnosis, { colour: true, unicode: true, width }, 'all').split('\n')) {
        if (line.includes('sandwarden heal --only')) continue;
        assert.ok(columnsOf(line) <= width, `${columnsOf(line)} columns: ${line}`);
      }
    });
  }
  test(`check of ${name} is ASCII where only that is safe, and holds nothing that a terminal obeys`, () => {
    const ascii = diagnosisText(diagnosis, { colour: false, unicode: false, width: 80 }, 'all');
    assert.match(ascii, /^[\x20-\x7e\n]*$/);
    const coloured = diagnosisText(diagnosis, { colour: true, unicode: true, width: 80 }, 'all');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: our own colours are what is taken out
    const rest = coloured.replace(/\u001b\[[0-9;]*m/g, '').replaceAll('\n', '');
    assert.ok(isSafeText(rest));
  });
}

test('the plan fits a narrow terminal', () => {
  for (const line of planText(plan, { colour: true, unicode: true, width: 40 }).split('\n')) {
    assert.ok(columnsOf(line) <= 40, line);
  }
});

test('a name that is hostile does not reach the terminal in any report', () => {
  const text = diagnosisText(hostile, { colour: false, unicode: true, width: 80 }, 'all');
  assert.ok(!text.includes('\u001b'));
  assert.ok(!text.includes('\u202e'));
  assert.ok(text.includes('\\x1b[31m'));
});

test('wrapping keeps every word and never passes the width', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), fc.integer({ min: 2, max: 120 }), (text, width) => {
      const clean = stripVTControlCharacters(text).replace(/\p{C}/gu, '');
      const lines = wrap(clean, width);
      assert.ok(lines.every((line) => columnsOf(line) <= width));
      assert.equal(lines.join('').replaceAll(' ', ''), clean.replaceAll(' ', ''));
    }),
    { numRuns: 500 },
  );
});

test('hanging text has its prefix on each line', () => {
  assert.deepEqual(hang('one two three four', 16, '- '), ['- one two three', '  four']);
  assert.deepEqual(hang('', 16, '- '), ['- ']);
});
