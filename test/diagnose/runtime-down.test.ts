// Goal: a missing socket is a finding exactly where SW701's words say so, and nothing to observe elsewhere.
// Method: a node without the socket, with one further fact at a time.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { diagnose } from '../../src/diagnose/diagnose.ts';
import { sw701 } from '../../src/diagnose/rules/sw701.ts';
import { known, unknown } from '../../src/model/observed.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { nowNs, snapshotOf } from './build.ts';

const codesOf = (snapshot: Snapshot) => diagnose(snapshot).findings.map((each) => `${each.code} ${each.severity}`);
const missing = {
  runtime: unknown('ERR_SOCKET_MISSING', 'there is no socket'),
  sandboxes: unknown('ERR_SOCKET_MISSING', 'there is no socket'),
};
const unit = (activeState: string) => known({ name: 'containerd.service', activeState, subState: 'x' });
const noUnit = unknown('ERR_NOT_SUPPORTED', 'no unit');

function node(more: object, kubeletRunning = false, runtimeLog: object = {}) {
  return snapshotOf({ kubeletRunning, runtimeLog, more: { ...missing, runtimeUnit: noUnit, ...more } });
}

describe('a missing socket', () => {
  const fatal = {
    fatal: [{ text: 'failed to load plugin', count: 1, first: { wallNs: nowNs }, last: { wallNs: nowNs } }],
  };
  const findings = {
    'kubelet runs': node({}, true),
    'the unit has failed': node({ runtimeUnit: unit('failed') }),
    'the unit starts': node({ runtimeUnit: unit('activating') }),
    'the unit runs': node({ runtimeUnit: unit('active') }),
    'the log has a fatal line': node({ runtimeUnit: unit('inactive') }, false, fatal),
  };
  for (const [title, snapshot] of Object.entries(findings)) {
    test(`is SW701 where ${title}`, () => assert.deepEqual(codesOf(snapshot), ['SW701 error']));
  }

  const nothing = {
    'the unit is inactive': node({ runtimeUnit: unit('inactive') }),
    'there is no unit': node({}),
    'whether kubelet runs is not known': node({ kubelet: unknown('ERR_NOT_SUPPORTED', 'nobody can say') }),
  };
  for (const [title, snapshot] of Object.entries(nothing)) {
    test(`is nothing to observe where ${title}`, () => {
      assert.deepEqual([codesOf(snapshot), diagnose(snapshot).state], [[], 'unobservable']);
    });
  }

  test('the words of the finding name these conditions and no more', () => {
    assert.match(
      sw701.says,
      /or it is missing, and kubelet runs, the runtime's unit is not inactive, or its log has a fatal line$/,
    );
    assert.doesNotMatch(sw701.says.split(';')[0] ?? '', /missing/);
  });
});
