import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measure, median, peakMemory } from '../../bench/measure.ts';
import { type Figure, isOver, table } from '../../bench/report.ts';

const figure: Figure = { name: 'start', value: 1.2, unit: '×', limit: 1.5, from: '12.00 ms against 10.00 ms' };

test('a figure at its limit holds, one beyond it or unknown does not', () => {
  assert.equal(isOver({ ...figure, value: 1.5 }), false);
  assert.equal(isOver({ ...figure, value: 1.501 }), true);
  assert.equal(isOver({ ...figure, value: Number.NaN }), true);
});

test('the table says value, limit, verdict and where it comes from', () => {
  const lines = table([figure, { ...figure, name: 'help', value: 1.7 }]);
  assert.deepEqual(lines, [
    'start     1.20 ×  ≤ 1.5 ×   ok    12.00 ms against 10.00 ms',
    'help      1.70 ×  ≤ 1.5 ×   OVER  12.00 ms against 10.00 ms',
  ]);
});

test('the median of an odd and of an even number, in any order', () => {
  assert.equal(median([9, 1, 5]), 5);
  assert.equal(median([10, 1, 3, 2]), 2.5);
});

test('a process that ends otherwise than it should stops the bench', async () => {
  const failing = { name: 'failing', args: ['-e', 'process.exitCode = 3'] };
  await assert.rejects(measure([failing], 1), /failing ended with 3, expected 0/);
  const [measured] = await measure([{ ...failing, exits: [3] }], 1);
  assert.ok(measured && measured.wallMs > 0);
});

test('the peak is that of the process alone, and of what it once held', async () => {
  const small = await peakMemory({ name: 'small', args: ['-e', ''] });
  const big = await peakMemory({ name: 'big', args: ['-e', 'Buffer.alloc(200 * 1024 * 1024, 1)'] });
  assert.ok(small > 20e6 && small < 150e6, `${small} bytes`);
  assert.ok(big - small > 190e6, `${big} bytes against ${small}`);
});
