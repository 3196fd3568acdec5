import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import fc from 'fast-check';
import { isSafeText, safeText } from '../../src/model/safe-text.ts';

test('what a terminal obeys is written out', () => {
  assert.equal(safeText('a\u001b[31mred'), 'a\\x1b[31mred');
  assert.equal(safeText('two\nlines\ttab'), 'two\\x0alines\\x09tab');
  assert.equal(safeText('abc\u202edef\u2066'), 'abc\\u{202e}def\\u{2066}');
  assert.equal(safeText('zero\u200bwidth\ufeff'), 'zero\\u{200b}width\\u{feff}');
  assert.equal(safeText('Jürgen 漢字 🙂'), 'Jürgen 漢字 🙂');
  assert.equal(safeText('lone \ud800 surrogate'), 'lone \\u{d800} surrogate');
});

test('it is cut at its length and says so', () => {
  assert.equal(safeText('abcdef', 3), 'abc…');
});

test('whatever comes in, nothing dangerous comes out', () => {
  const dangerous = fc.constantFrom(
    '\u001b',
    '\u0007',
    '\u009b',
    '\u202e',
    '\u2066',
    '\u2028',
    '\r',
    '\u{e0041}',
    '\udc00',
  );
  fc.assert(
    fc.property(fc.array(fc.oneof(fc.string({ unit: 'binary' }), dangerous)), (parts) => {
      const safe = safeText(parts.join(''));
      assert.ok(isSafeText(safe));
      assert.equal(stripVTControlCharacters(safe), safe);
    }),
    { numRuns: 2_000 },
  );
});
