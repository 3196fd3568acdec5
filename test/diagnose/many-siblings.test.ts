// Goal: a pod that left hundreds of sandboxes is told in a few words, in time that grows with them and not with their
// square. Method: the evidence of each is measured.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { container, sandbox, snapshotOf } from './build.ts';

test('beside each of them a few are named, what lives first', () => {
  const dead = Array.from({ length: 300 }, (_, attempt) => sandbox('web', attempt, 'notready', 7_000 + attempt));
  const living = sandbox('web', 300, 'ready', -12);
  const { findings } = diagnose(snapshotOf({ sandboxes: [...dead, living], containers: [container(living)] }));
  const texts = findings.flatMap((each) => each.evidence.map(({ text }) => text));
  const besides = texts.filter((each) => each.includes('; beside it '));
  assert.equal(besides.length, 300);
  for (const text of besides) {
    assert.match(text, /; beside it attempt 300 READY, .*; and 290 more$/);
    assert.ok(text.length < 1_000, text);
  }
});
