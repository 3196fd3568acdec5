import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { type ClockNow, type FloorBounds, families, judgeClock, type Witness } from '../../src/boot/witnesses.ts';
import { runs } from '../helpers/fuzz.ts';

const S = 1_000_000_000n;
const HOUR = 3_600n * S;
const nowNs = 1_795_284_081n * S;
const bounds: FloorBounds = { forwardNs: 30n * 24n * HOUR, neverSetUntilNs: 2_400_000_000n * S, agreeNs: HOUR / 4n };
const now: ClockNow = { wallNs: nowNs, neverSet: false };

function witness(family: Witness['family'], fromNow: bigint, slackNs = 5n * S): Witness {
  return { family, from: `${family} file`, dateNs: nowNs + fromNow, slackNs };
}

describe('the clock', () => {
  test('two hours behind, two families agree: just after the newest, with the commit interval', () => {
    const found = judgeClock([witness('containerd', 2n * HOUR), witness('journal', 2n * HOUR - 60n * S)], now, bounds);
    assert.equal(found.toNs, nowNs + 2n * HOUR + 6n * S);
  });

  test('a quiet runtime: a journal three days later stands alone, but confirms what containerd says', () => {
    const found = judgeClock([witness('containerd', HOUR), witness('journal', 72n * HOUR)], now, bounds);
    assert.equal(found.toNs, nowNs + HOUR + 6n * S);
    assert.match(found.distrusted[0]?.why ?? '', /nothing else/);
  });

  test('one witness never moves it', () => {
    const found = judgeClock([witness('containerd', HOUR), witness('containerd', HOUR)], now, bounds);
    assert.equal(found.toNs, undefined);
    assert.match(found.why, /only containerd/);
  });

  test('a whole boot in 2099 does not move a clock that was set, and not one that never was', () => {
    const year = 365n * 24n * HOUR;
    const all = families.map((family) => witness(family, 73n * year));
    for (const neverSet of [false, true]) {
      const found = judgeClock(all, { ...now, neverSet }, bounds);
      assert.equal(found.toNs, undefined);
      assert.equal(found.distrusted.length, 4);
    }
  });

  test('ghosts of 2099 do not hide the honest dates beside them', () => {
    const all = [witness('containerd', 640_000n * HOUR), witness('containerd', HOUR), witness('heartbeat', HOUR)];
    assert.equal(judgeClock(all, now, bounds).toNs, nowNs + HOUR + 6n * S);
  });

  test('a clock at its epoch moves by years', () => {
    const never = { wallNs: 0n, neverSet: true };
    const found = judgeClock([witness('timesync', 0n, 0n), witness('journal', -HOUR / 8n)], never, bounds);
    assert.equal(found.toNs, nowNs + S);
  });

  test('what is before now says nothing', () => {
    const found = judgeClock([witness('containerd', -HOUR), witness('journal', -HOUR)], now, bounds);
    assert.deepEqual([found.toNs, found.why], [undefined, 'no date is after now']);
  });
});

const arbitraryWitness = fc.record({
  family: fc.constantFrom(...families),
  from: fc.string({ maxLength: 4 }),
  dateNs: fc.oneof(
    fc.bigInt({ min: -(10n ** 18n), max: 10n ** 20n }),
    fc.bigInt({ min: nowNs - 40n * 24n * HOUR, max: nowNs + 40n * 24n * HOUR }),
    fc.bigInt({ min: nowNs - 60n * S, max: nowNs + 60n * S }),
  ),
  slackNs: fc.bigInt({ min: 0n, max: 60n * S }),
});
const arbitraryNow = fc.record({
  wallNs: fc.oneof(fc.constant(nowNs), fc.bigInt({ min: 0n, max: 5n * 10n ** 18n })),
  neverSet: fc.boolean(),
});

test('never backwards, never beyond the bound, never on the word of one family, in any order', () => {
  const input = [fc.array(arbitraryWitness, { maxLength: 8 }), arbitraryNow, fc.infiniteStream(fc.nat())] as const;
  let moved = 0;
  fc.assert(
    fc.property(...input, (witnesses, clock, dice) => {
      const found = judgeClock(witnesses, clock, bounds);
      const shuffled = witnesses.toSorted(() => ((dice.next().value ?? 0) % 3) - 1);
      assert.deepEqual(judgeClock(shuffled, clock, bounds), found);
      if (found.toNs === undefined) return;
      moved++;
      assert.ok(found.toNs > clock.wallNs);
      assert.ok(found.toNs <= (clock.neverSet ? bounds.neverSetUntilNs : clock.wallNs + bounds.forwardNs));
      const floor = found.floorNs ?? 0n;
      assert.ok(found.toNs >= floor && found.toNs <= floor + 61n * S);
      const reached = new Set(
        witnesses.filter((each) => each.dateNs >= floor - bounds.agreeNs).map((each) => each.family),
      );
      assert.ok(reached.size >= 2);
      // Taking any one family away leaves a date that is not later than with it.
      for (const family of families) {
        const less = judgeClock(
          witnesses.filter((each) => each.family !== family),
          clock,
          bounds,
        );
        assert.ok(less.toNs === undefined || less.toNs <= found.toNs + 60n * S);
      }
    }),
    runs(2_000),
  );
  assert.ok(moved > 100, `only ${moved} cases moved the clock`);
});
